package handoff

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/ssmd-project/ssmd/internal/mailbox"
	"github.com/ssmd-project/ssmd/internal/pause"
	"github.com/ssmd-project/ssmd/membership"
)

// The types of events that a Handoff has besides those of the daemon.
const (
	EventLost    membership.EventType = "lost"    // there is no daemon; what is joined stays joined
	EventResumed membership.EventType = "resumed" // the socket is with a daemon again, in the event's State
)

// ErrEnded is wrapped where the daemon keeps the membership no more: it was
// removed, or the configuration has its name.
var ErrEnded = errors.New("the hand-over was ended")

// ErrLost is wrapped by the errors of Put where the connection was lost before
// the answer came.
var ErrLost = errors.New("connection to the daemon lost")

// Handoff is a socket that is with the daemon. Its methods are safe for
// concurrent use.
type Handoff struct {
	path   string
	socket syscall.Conn
	box    *mailbox.Mailbox
	puts   chan put
	end    context.CancelFunc
	ended  chan struct{} // the goroutine has

	mu     sync.Mutex
	status membership.Status
	err    error // why it is over

	entry []byte // of the goroutine
}

// put is a request for another wish.
type put struct {
	entry []byte
	reply chan answered // of room for one
}

type answered struct {
	status membership.Status
	err    error
}

// HandOver hands the socket of a connection over to the daemon, and returns once
// it has it: its Status says whether it is joined. The connection is what
// membership.SocketOf takes, and the caller's: the daemon only joins and leaves
// on it. It must stay open as long as the Handoff, which has a goroutine of its
// own until Close.
//
// The error wraps ErrNoDaemon where no daemon listens, unless it is to be waited
// for, until ctx ends; what the daemon refuses is a *control.Problem, whose Type
// is one of the control API's, ProblemNameInUse or ProblemDescriptor.
func HandOver(ctx context.Context, conn any, entry Entry, o Options) (*Handoff, error) {
	socket, err := membership.SocketOf(conn)
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(entry)
	if err != nil {
		return nil, fmt.Errorf("hand over: %w", err)
	}
	h := &Handoff{path: o.path(), socket: socket, box: mailbox.New(), puts: make(chan put), ended: make(chan struct{}), entry: data}
	wait := again()
	var c *net.UnixConn
	for {
		if c, h.status, err = connect(ctx, h.path, socket, data); err == nil {
			break
		}
		if !o.Wait || !passes(err) || !wait.Next(ctx) {
			return nil, err
		}
	}
	running, end := context.WithCancel(context.Background())
	h.end = end
	go func() {
		defer close(h.ended)
		h.run(running, c)
	}()
	return h, nil
}

// Status returns how the membership stood at the daemon's last answer. What has
// happened since is told by Next.
func (h *Handoff) Status() membership.Status {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.status
}

// Next waits for the next event of the membership: those of the daemon, from the
// hand-over on, and EventLost and EventResumed. Of a reader that is slow the
// oldest are dropped, and it gets an EventMissed; nobody has to read them. After
// the last event the error is io.EOF where the Handoff was closed, wraps ErrEnded
// or net.ErrClosed where the daemon, or the end of the socket, ended it, or is
// what a daemon refused that came later.
func (h *Handoff) Next(ctx context.Context) (membership.Event, error) {
	for {
		e, found, last := h.box.Take()
		switch {
		case last:
			h.mu.Lock()
			defer h.mu.Unlock()
			return membership.Event{}, h.err
		case found:
			return e, nil
		}
		select {
		case <-h.box.Wake():
		case <-ctx.Done():
			return membership.Event{}, ctx.Err()
		}
	}
}

// Put replaces channels and rules, and returns how the membership stands then.
// What stays wished for is left alone. Its name stays. After an error everything
// is as before, but with ErrLost, after which the former wish holds. While there
// is no daemon it waits for one.
func (h *Handoff) Put(ctx context.Context, entry Entry) (membership.Status, error) {
	data, err := json.Marshal(entry)
	if err != nil {
		return membership.Status{}, fmt.Errorf("hand over: %w", err)
	}
	p := put{data, make(chan answered, 1)}
	select {
	case h.puts <- p:
	case <-h.ended:
		return membership.Status{}, h.why()
	case <-ctx.Done():
		return membership.Status{}, ctx.Err()
	}
	select {
	case a := <-p.reply:
		return a.status, a.err
	case <-ctx.Done():
		return membership.Status{}, ctx.Err()
	}
}

func (h *Handoff) why() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.err
}

// Close takes the socket back: the daemon leaves what it had joined on it. It
// waits for nothing but its own goroutine. More calls do nothing.
func (h *Handoff) Close() error {
	h.end()
	<-h.ended
	return nil
}

// run follows one connection after the other.
func (h *Handoff) run(ctx context.Context, c *net.UnixConn) {
	for {
		err := h.follow(ctx, c)
		if err == nil {
			err = h.resume(ctx, &c)
		}
		if err != nil {
			h.mu.Lock()
			h.err = err
			h.mu.Unlock()
			h.box.Finish(membership.Event{})
			return
		}
	}
}

// resume hands the socket to the next daemon.
func (h *Handoff) resume(ctx context.Context, c **net.UnixConn) error {
	h.box.Put(membership.Event{Time: time.Now(), Type: EventLost, Membership: h.Status().Name, Reason: "no connection to the daemon; what is joined stays joined"})
	wait := again()
	for {
		if !wait.Next(ctx) {
			return io.EOF
		}
		next, status, err := connect(ctx, h.path, h.socket, h.entry)
		switch {
		case err == nil:
			h.set(status)
			h.box.Put(membership.Event{Time: time.Now(), Type: EventResumed, Membership: status.Name, State: status.State, Reason: status.Reason})
			*c = next
			return nil
		case ctx.Err() != nil:
			return io.EOF
		case !passes(err) && !errors.Is(err, fs.ErrPermission): // a socket that is just made is nobody's
			return err
		}
	}
}

func (h *Handoff) set(s membership.Status) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.status = s
}

// follow passes on what comes over a connection, which it closes. It returns nil where that is
// lost, and otherwise why it is over.
func (h *Handoff) follow(ctx context.Context, c *net.UnixConn) error {
	messages := make(chan received)
	done := make(chan struct{})
	var reader sync.WaitGroup
	defer func() {
		close(done)
		_ = c.Close()
		reader.Wait()
	}()
	reader.Go(func() {
		defer close(messages)
		buffer := make([]byte, MaxMessage)
		for {
			m, err := receive(c, buffer)
			if err != nil {
				return
			}
			select {
			case messages <- m:
			case <-done:
				return
			}
		}
	})
	var asked *put
	defer func() {
		if asked != nil {
			asked.reply <- answered{err: ErrLost}
		}
	}()
	for {
		puts := h.puts
		if asked != nil {
			puts = nil // one at a time
		}
		select {
		case <-ctx.Done():
			return io.EOF
		case p := <-puts:
			asked = &p
			_ = c.SetWriteDeadline(time.Now().Add(patience)) // its errors are those of Write
			if _, err := c.Write(p.entry); err != nil {
				return nil
			}
		case m, open := <-messages:
			if !open || m.Type == TypeEnded && m.Cause == CauseShutdown {
				return nil
			}
			if m.Type == TypeEnded {
				return fmt.Errorf("%w: %s", ErrEnded, m.Reason)
			}
			asked = h.take(m, asked)
		}
	}
}

// take takes a message, and returns what is still to be answered.
func (h *Handoff) take(m received, asked *put) *put {
	var a answered
	switch {
	case m.Answer != nil:
		a.status = *m.Answer
		h.set(a.status)
		if asked != nil {
			h.entry = asked.entry
		}
	case m.Refused != nil:
		a.err = m.Refused
	default:
		h.box.Put(m.Event)
		return asked
	}
	if asked != nil {
		asked.reply <- a
	}
	return nil
}

// again is a pause between tries to reach the daemon.
func again() pause.Doubling {
	return pause.Doubling{First: 10 * time.Millisecond, Most: time.Second}
}
