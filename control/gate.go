package control

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"
)

// gate is a listener that knows who connects, and bounds how many there are.
// Others than root and the daemon's own user are turned away where they have
// too many connections; these two wait.
type gate struct {
	net.Listener
	quota *quota
	log   *slog.Logger

	open context.Context // until Close
	shut context.CancelFunc

	mu      sync.Mutex
	pauses  int
	waits   bool          // Accept does, so that nobody is let in
	resumed chan struct{} // closed once there is no pause any more
}

func newGate(l net.Listener, q *quota, log *slog.Logger) *gate {
	g := &gate{Listener: l, quota: q, log: log}
	g.open, g.shut = context.WithCancel(context.Background())
	return g
}

// Accept waits for a connection that may be served.
func (g *gate) Accept() (net.Conn, error) {
	for {
		c, err := g.Listener.Accept()
		if errors.Is(err, os.ErrDeadlineExceeded) && g.wait() {
			continue
		}
		if err != nil {
			return nil, err
		}
		p, err := peerOf(c)
		if err != nil {
			g.log.Warn("take a connection for a stranger's", "error", err)
		}
		got := g.quota.take(p)
		if got == none && p.privileged() && g.quota.wait(g.open) {
			got = fair
		}
		if got != none {
			return &guest{Conn: c, peer: p, over: got == over, leave: sync.OnceFunc(func() { g.quota.give(p) })}, nil
		}
		_ = c.Close() // there is no room for an answer
	}
}

// pause has whoever connects wait, until resume is called as often. A listener
// without deadlines goes on.
func (g *gate) pause() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.pauses++; g.pauses == 1 {
		g.resumed = make(chan struct{})
		g.setDeadline(time.Unix(1, 0))
	}
}

func (g *gate) resume() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.pauses--; g.pauses == 0 {
		g.setDeadline(time.Time{})
		g.waits = false
		close(g.resumed)
	}
}

// paused reports whether nobody is let in any more.
func (g *gate) paused() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.waits
}

func (g *gate) setDeadline(at time.Time) {
	if l, ok := g.Listener.(interface{ SetDeadline(time.Time) error }); ok {
		_ = l.SetDeadline(at) // or it is closed
	}
}

// wait waits for the end of a pause, and reports false where that of the gate
// came first.
func (g *gate) wait() bool {
	g.mu.Lock()
	resumed := g.resumed
	g.waits = g.pauses > 0
	g.mu.Unlock()
	select {
	case <-resumed:
		return true
	case <-g.open.Done():
		return false
	}
}

// Close closes the listener, also for who waits.
func (g *gate) Close() error {
	g.shut()
	return g.Listener.Close()
}

// guest is a connection that was let in.
type guest struct {
	net.Conn
	peer  peer
	over  bool // only to be told that there are too many
	leave func()
}

// Close closes the connection, and makes room for another.
func (c *guest) Close() error {
	defer c.leave()
	return c.Conn.Close()
}

// CloseWrite lets net/http finish an answer to a request that it did not read
// to its end: a socket that is closed with something unread resets the other
// end.
func (c *guest) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

type overKey struct{}

// introduce puts who connected into the context of the requests.
func introduce(ctx context.Context, c net.Conn) context.Context {
	guest, ok := c.(*guest)
	if !ok {
		return ctx
	}
	return context.WithValue(withPeer(ctx, guest.peer), overKey{}, guest.over)
}
