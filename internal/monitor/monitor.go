// Package monitor counts what comes in on the channels of memberships, and tells
// when a stream stalls and when it resumes.
//
// It hears what others joined, on sockets of its own that join nothing, and
// follows the attachments of the memberships: where there is none it has no socket,
// so it keeps neither an interface nor a network namespace alive.
package monitor

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/membership"
)

// Manager is what the monitor asks of a *membership.Manager.
type Manager interface {
	StatusOf(ctx context.Context, name string) (membership.Status, error)
	Reannounce(ctx context.Context, name string) error
	Subscribe() *membership.Subscription
	Publish(membership.Event)
}

// Monitor counts. New makes one. One goroutine, Run's, owns what is counted; the
// other methods are safe for concurrent use, ask it, and return
// membership.ErrStopped once Run has returned, or ctx's error.
type Monitor struct {
	manager Manager
	epoll   int
	wakeup  int // an eventfd: there are requests; at first there may be

	mu       sync.Mutex
	requests []func()
	names    map[string]struct{} // of the targets
	dirty    map[string]struct{} // those whose attachments are to be asked for
	ended    chan struct{}
	looked   chan struct{} // something is dirty

	// The owner's.
	targets map[string]*target
	sockets map[place]*socket
	byFD    map[int32]*socket
	ready   [256]unix.EpollEvent
	batch   *batch
	clock   clock
	due     time.Time // of the next look
	acting  *errgroup.Group
	running context.Context // of what acting runs
}

// New returns a monitor of nothing. It starts nothing: Run does.
func New(m Manager) *Monitor {
	return &Monitor{
		manager: m, epoll: -1, wakeup: -1,
		clock: clock{time.Now()},
		dirty: make(map[string]struct{}), ended: make(chan struct{}), looked: make(chan struct{}, 1),
		targets: make(map[string]*target), sockets: make(map[place]*socket), byFD: make(map[int32]*socket),
	}
}

// Run counts until ctx is cancelled, closes every socket and returns nil. It is
// called once, in the network namespace that the manager works in.
func (m *Monitor) Run(ctx context.Context) error {
	defer m.end()
	if err := m.open(); err != nil {
		return err
	}
	events := m.manager.Subscribe()
	defer events.Close()
	parts, ctx := errgroup.WithContext(ctx)
	stop := context.AfterFunc(ctx, m.wake)
	defer stop()
	m.acting, m.running = new(errgroup.Group), ctx
	parts.Go(func() error { m.hear(ctx, events); return nil })
	parts.Go(func() error { m.follow(ctx); return nil })
	err := m.work(ctx)
	_ = parts.Wait() // nil, and both end with ctx
	_ = m.acting.Wait()
	return err
}

func (m *Monitor) open() (err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("open epoll: %w", err)
	}
	if m.wakeup, err = unix.Eventfd(1, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return fmt.Errorf("open eventfd: %w", err)
	}
	m.batch = newBatch()
	return m.listen(m.wakeup)
}

func (m *Monitor) listen(fd int) error {
	return unix.EpollCtl(m.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
}

// end refuses further requests and closes what is open.
func (m *Monitor) end() {
	for _, t := range m.targets {
		m.drop(t.flows)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	close(m.ended)
	for _, fd := range []int{m.epoll, m.wakeup} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
	m.epoll, m.wakeup = -1, -1
}

// do has the owner call f, and waits for it.
func (m *Monitor) do(ctx context.Context, f func()) error {
	done := make(chan struct{})
	m.mu.Lock()
	m.requests = append(m.requests, func() { defer close(done); f() })
	m.mu.Unlock()
	m.wake()
	select {
	case <-done:
		return nil
	case <-m.ended:
		return membership.ErrStopped
	case <-ctx.Done():
		return ctx.Err()
	}
}

// wake has the owner look at its requests.
func (m *Monitor) wake() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.wakeup >= 0 {
		_, _ = unix.Write(m.wakeup, []byte{1, 0, 0, 0, 0, 0, 0, 0}) // where it is full, it was woken
	}
}

// Set makes targets the whole of what is monitored, by the names of memberships.
// What is counted of a channel goes on where it is monitored on the same port.
func (m *Monitor) Set(ctx context.Context, targets map[string]Target) error {
	targets = maps.Clone(targets)
	maps.DeleteFunc(targets, func(_ string, t Target) bool { return t.Port == 0 })
	return m.do(ctx, func() {
		m.set(targets, time.Now())
		names := make(map[string]struct{}, len(targets))
		for name := range targets {
			names[name] = struct{}{}
		}
		m.mu.Lock()
		m.names = names
		m.mu.Unlock()
		m.soil("")
	})
}

// Status returns how every monitored membership's streams come in, by name.
func (m *Monitor) Status(ctx context.Context) (map[string]Status, error) {
	all := make(map[string]Status)
	err := m.do(ctx, func() {
		for name, t := range m.targets {
			all[name] = t.status()
		}
	})
	return all, err
}

// StatusOf returns that of one membership, and nil where it is not monitored.
func (m *Monitor) StatusOf(ctx context.Context, name string) (*Status, error) {
	var s *Status
	err := m.do(ctx, func() {
		if t := m.targets[name]; t != nil {
			one := t.status()
			s = &one
		}
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (t *target) status() Status {
	s := Status{Port: t.Port, Streams: make([]Stream, 0, len(t.flows))}
	for _, f := range t.flows {
		if f.stalled {
			s.Stalled++
		}
		s.Streams = append(s.Streams, f.status())
	}
	slices.SortStableFunc(s.Streams, func(a, b Stream) int {
		if c := a.Channel.Compare(b.Channel); c != 0 {
			return c
		}
		return int(a.Instance) - int(b.Instance)
	})
	return s
}
