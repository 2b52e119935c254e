package control

import (
	"context"
	"log/slog"
	"net"
	"sync"
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
