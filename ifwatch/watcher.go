package ifwatch

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Options configure a Watcher. The zero value works.
type Options struct {
	// ReceiveBuffer is the size in bytes of the socket's receive buffer.
	// Zero means 4 MiB, or what the system allows an unprivileged process.
	ReceiveBuffer int

	// Eager, where it is not nil, is called by the goroutine that reads
	// from the kernel when it read something to Take, before Changed says
	// so, with what there is to take, unless that is much or comes from a
	// new dump after events were lost. It may Take; Changed speaks of what
	// it leaves. No events are read before it returns, so it must not take
	// long. It saves a consumer the switch to another goroutine.
	Eager func(pending []Change)

	// Within runs a function on a thread in the network namespace to watch.
	// Nil means the one that the caller of Run is in.
	Within func(func() error) error
}

// Watcher follows the interface instances of one network namespace. One
// consumer may use it while Run runs.
type Watcher struct {
	options Options
	wake    chan struct{}

	mu       sync.Mutex
	table    *table
	mailbox  *mailbox
	synced   bool // no dump is under way
	counters Counters
}

// New returns a watcher that knows nothing. It starts nothing: Run does.
func New(o Options) *Watcher {
	w := &Watcher{options: o, wake: make(chan struct{}, 1), mailbox: newMailbox()}
	w.table = newTable(
		func(now Interface) { w.mailbox.changed(now, w.table.read) },
		func(healthy Interface) { w.mailbox.removed(healthy, w.table.read) },
	)
	return w
}

// Changed returns a channel that receives whenever there is something to Take.
func (w *Watcher) Changed() <-chan struct{} { return w.wake }

// Take returns the changes since the last call, none while a dump is under
// way: the first changes are those of the first dump, whole. It never blocks
// on the kernel.
func (w *Watcher) Take() Changes {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.synced {
		return Changes{}
	}
	select {
	case <-w.wake: // it is for what is taken now
	default:
	}
	return w.mailbox.take()
}

// Expire tells the watcher that an instance it reports as alive has ended, and
// another lives at its index: what a dump cannot show after lost events. The
// changes then hold the removal and a new instance. An ID that is not alive is
// ignored.
func (w *Watcher) Expire(id ID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.table.read = time.Now()
	w.table.expire(id)
	w.notify()
}

// Counters returns what the watcher did so far.
func (w *Watcher) Counters() Counters {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.counters
}

// tell lets the consumer know where there is something to take.
func (w *Watcher) tell() {
	if w.options.Eager != nil {
		if few := w.pendingFew(); len(few) > 0 {
			w.options.Eager(few)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.notify()
}

// mostEager is how many changes an eager consumer is offered.
const mostEager = 64

// pendingFew returns what there is for an eager consumer.
func (w *Watcher) pendingFew() []Change {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.synced || w.mailbox.resynced || len(w.mailbox.pending) > mostEager {
		return nil
	}
	return w.mailbox.list()
}

func (w *Watcher) takeable() bool { return w.synced && !w.mailbox.empty() }

// notify wakes the consumer where there is something to take.
func (w *Watcher) notify() {
	if !w.takeable() {
		return
	}
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// The wait before a new dump after an overrun that follows another closely.
const (
	firstPause = 10 * time.Millisecond
	lastPause  = time.Second
	calmAfter  = 5 * time.Second
)

// Run watches until ctx is cancelled and then returns nil. It returns an error
// only where it cannot begin. Whatever goes wrong later, above all events lost
// because the receive buffer was full, leads to a new socket, a new dump and a
// comparison with what was known.
func (w *Watcher) Run(ctx context.Context) error {
	s, err := openSocket(w.options, make([]byte, 64<<10))
	if err != nil {
		return err
	}
	pause := firstPause
	for {
		began := time.Now()
		err := w.follow(ctx, s)
		if ctx.Err() != nil {
			return nil
		}
		w.lost(err)
		buffer := s.buffer
		if time.Since(began) > calmAfter {
			pause = firstPause
		}
		for s = nil; s == nil; pause = min(2*pause, lastPause) {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(pause):
			}
			s, _ = openSocket(w.options, buffer) // short of descriptors or memory: again
		}
	}
}

// lost notes that what is known may be wrong until the next dump is complete.
func (w *Watcher) lost(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.synced = false
	w.mailbox.resynced = true
	if errors.Is(err, errOverrun) {
		w.counters.Overruns++
	}
}

// follow dumps links, then addresses, and takes events, all from one socket,
// until an error. It closes the socket.
func (w *Watcher) follow(ctx context.Context, s *socket) error {
	defer s.close()
	defer context.AfterFunc(ctx, s.close)()

	d := dump{socket: s, kind: unix.RTM_GETLINK}
	if err := w.firstDump(&d); err != nil {
		return err
	}
	for {
		messages, err := s.receive()
		for n := 1; messages != nil && err == nil; n++ {
			if err = w.take(messages, &d); err != nil || n == mostTogether {
				break
			}
			messages, err = s.receiveQueued()
		}
		if err != nil {
			return err
		}
		w.tell()
	}
}

// mostTogether bounds how many times is read before the consumer is told.
// A change mostly comes in several: as an interface comes up, its address is
// told before its flags, and nobody should decide anything in between.
const mostTogether = 64

func (w *Watcher) firstDump(d *dump) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.table.beginDump()
	return w.request(d)
}

// request asks for the links or the addresses, or asks again.
func (w *Watcher) request(d *dump) error {
	w.table.requested()
	return d.begin()
}

// take applies messages that were received together.
func (w *Watcher) take(messages []syscall.NetlinkMessage, d *dump) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.table.read = time.Now()
	for _, m := range messages {
		switch m.Header.Type {
		case unix.NLMSG_DONE, unix.NLMSG_ERROR:
			if err := w.endOfDump(m, d); err != nil {
				return err
			}
			continue
		}
		d.note(m.Header)
		switch decoded, err := decode(m); {
		case err != nil:
			w.counters.Undecodable++
		case decoded != nil:
			w.counters.count(decoded)
			w.table.apply(decoded, d.socket.answers(m.Header))
		}
	}
	return nil
}

func (w *Watcher) endOfDump(m syscall.NetlinkMessage, d *dump) error {
	if !d.socket.answers(m.Header) {
		return nil
	}
	if err := dumpError(m); err != nil {
		return err
	}
	d.note(m.Header)
	if d.interrupted {
		return w.request(d)
	}
	if d.kind == unix.RTM_GETLINK {
		w.table.sweepLinks()
		d.kind = unix.RTM_GETADDR
		return w.request(d)
	}
	w.table.sweepAddresses()
	w.table.endDump()
	w.counters.Dumps++
	w.synced = true
	return nil
}

// dump is the dump under way on a socket.
type dump struct {
	socket      *socket
	kind        uint16
	interrupted bool // the tables changed while they were dumped: not to be trusted
}

func (d *dump) begin() error {
	d.interrupted = false
	return d.socket.requestDump(d.kind)
}

func (d *dump) note(h syscall.NlMsghdr) {
	if h.Flags&unix.NLM_F_DUMP_INTR != 0 && d.socket.answers(h) {
		d.interrupted = true
	}
}

// dumpError returns the error number that ends a dump, as NLMSG_ERROR or in
// NLMSG_DONE, where it is not zero.
func dumpError(m syscall.NetlinkMessage) error {
	if len(m.Data) < 4 {
		return nil
	}
	if number := int32(binary.NativeEndian.Uint32(m.Data)); number < 0 {
		return fmt.Errorf("dump: %w", unix.Errno(-number))
	}
	return nil
}
