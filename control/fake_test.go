package control

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/membership"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeManager answers from its fields.
type fakeManager struct {
	statuses   []membership.Status
	interfaces []membership.InterfaceStatus
	slow       time.Duration // what a drain takes
	err        error         // answered by everything, where it is set
	hang       bool          // answers only when the asker gives up
}

func (m *fakeManager) wait(ctx context.Context) error {
	if m.hang {
		<-ctx.Done()
		return ctx.Err()
	}
	return m.err
}

func (m *fakeManager) Status(ctx context.Context) ([]membership.Status, error) {
	return m.statuses, m.wait(ctx)
}

func (m *fakeManager) StatusOf(ctx context.Context, name string) (membership.Status, error) {
	if err := m.wait(ctx); err != nil {
		return membership.Status{}, err
	}
	for _, s := range m.statuses {
		if s.Name == name {
			return s, nil
		}
	}
	return membership.Status{}, fmt.Errorf("membership %q: %w", name, membership.ErrNotFound)
}

func (m *fakeManager) Explain(ctx context.Context, name string) (membership.Explanation, error) {
	status, err := m.StatusOf(ctx, name)
	return membership.Explanation{Status: status}, err
}

func (m *fakeManager) Interfaces(ctx context.Context) ([]membership.InterfaceStatus, error) {
	return m.interfaces, m.wait(ctx)
}

// Approve approves instance 7, or the only one, which that is.
func (m *fakeManager) Approve(ctx context.Context, name string, id ifwatch.ID) error {
	if _, err := m.StatusOf(ctx, name); err != nil {
		return err
	}
	if id != 0 && id != 7 {
		return fmt.Errorf("membership %q: %w: instance %d does not await it", name, membership.ErrNotApproved, id)
	}
	return nil
}

// Reannounce is put off while the manager is slow.
func (m *fakeManager) Reannounce(ctx context.Context, name string) error {
	if m.slow > 0 {
		return fmt.Errorf("membership %q: %w: eth0 is down", name, membership.ErrPutOff)
	}
	_, err := m.StatusOf(ctx, name)
	return err
}

// Drain knows the interfaces of its fields.
func (m *fakeManager) Drain(ctx context.Context, netns, name string) error {
	if err := m.wait(ctx); err != nil {
		return err
	}
	for n := range m.interfaces {
		if m.interfaces[n].Name == name && netns == "" {
			select {
			case <-time.After(m.slow):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return fmt.Errorf("interface %q: %w", name, membership.ErrNoInterface)
}

func (m *fakeManager) Undrain(ctx context.Context, netns, name string) error {
	return m.Drain(ctx, netns, name)
}

// fakeEvents is a subscription that keeps one event, the latest, and counts
// the others as missed.
type fakeEvents struct {
	mu     sync.Mutex
	latest *membership.Event
	missed uint64
	wake   chan struct{}
	closed chan struct{}
	end    chan struct{}
	since  *membership.Since // what it was made for
}

const noSuchEvent = 999

func newFakeEvents() *fakeEvents {
	return &fakeEvents{wake: make(chan struct{}, 1), closed: make(chan struct{}), end: make(chan struct{})}
}

func (f *fakeEvents) publish(e membership.Event) {
	f.mu.Lock()
	if f.latest != nil {
		f.missed++
	}
	e.Missed = f.missed
	f.latest = &e
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

func (f *fakeEvents) pop() *membership.Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.latest
	f.latest = nil
	return e
}

func (f *fakeEvents) Next(ctx context.Context) (membership.Event, error) {
	for {
		if e := f.pop(); e != nil {
			return *e, nil
		}
		select {
		case <-f.wake:
		case <-f.end:
			return membership.Event{}, io.EOF
		case <-ctx.Done():
			return membership.Event{}, ctx.Err()
		}
	}
}

func (f *fakeEvents) Finish() { close(f.end) }

func (f *fakeEvents) Close() { close(f.closed) }

// harness is a server on a socket with fakes behind it.
type harness struct {
	client *Client
	socket string
	events chan *fakeEvents // a subscription for each reader
	stop   func()           // ends the server and checks that it ended well
}

// serve starts a server with the limits that change adjusts.
func serve(t *testing.T, m Manager, change func(*limits)) *harness {
	t.Helper()
	return serveAll(t, ServerOptions{Manager: m}, change)
}

func serveWith(t *testing.T, m Manager, e Editor) *harness {
	t.Helper()
	return serveAll(t, ServerOptions{Manager: m, Editor: e}, nil)
}

// serveAll completes the options.
func serveAll(t *testing.T, o ServerOptions, change func(*limits)) *harness {
	t.Helper()
	h := &harness{socket: socketPath(t), events: make(chan *fakeEvents, 16)}
	if o.Access == (Access{}) {
		o.Access.mode = 0o600
	}
	l := defaultLimits
	l.grace = 50 * time.Millisecond
	if change != nil {
		change(&l)
	}
	listener, err := Listen(h.socket, o.Access.Mode(), "")
	if err != nil {
		t.Fatal(err)
	}
	o.Info = Info{Version: "v1.2.3", PID: 42, Started: time.Unix(1000, 0).UTC(), ConfigFile: "a.yaml"}
	o.Subscribe = func(since *membership.Since) (Subscription, error) {
		if since != nil && since.Seq == noSuchEvent {
			return nil, fmt.Errorf("%w: 999", membership.ErrNoEvent)
		}
		e := newFakeEvents()
		e.since = since
		h.events <- e
		return e, nil
	}
	server := newServer(o, l)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, listener) }()
	h.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Serve: %v, want nil", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("Serve did not return")
		}
	})
	t.Cleanup(h.stop)
	h.client = NewClient(h.socket)
	return h
}

// socketPath returns a path in a directory of its own, short enough for a
// socket whatever the test is called.
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ssmd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

func mustListen(t *testing.T, socket string) net.Listener {
	t.Helper()
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func mustDial(t *testing.T, socket string) net.Conn {
	t.Helper()
	c, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}
