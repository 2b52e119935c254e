package testnet

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// ReceiverConfig says what a [Receiver] listens to.
type ReceiverConfig struct {
	Listen netip.AddrPort // the group and port to be bound to; 0.0.0.0 or ::, any group

	// Join, the name of an interface, makes the receiver a member of
	// (Source, Listen) there, as receivers usually do: such a one goes deaf
	// with that interface. Empty: it hears what other sockets joined.
	Join   string
	Source netip.Addr

	// OwnOnly makes the receiver hear nothing but what it joined itself
	// (IP_MULTICAST_ALL and IPV6_MULTICAST_ALL are 0). Without it, it hears
	// what any socket of the namespace joined. The kernel compares the
	// interface for IPv4 only: over IPv6, a receiver whose interface is gone
	// hears its channel again when another socket joins it on the next one.
	OwnOnly bool
}

// Receiver counts a [Sender]'s datagrams to one group.
type Receiver struct {
	conn *net.UDPConn
	bell Bell

	mu    sync.Mutex
	stats Stats
	fresh map[*waiter]struct{}
}

// Stats is what a [Receiver] heard.
type Stats struct {
	Count uint64    // datagrams
	Last  uint64    // the number of the last one
	Lost  uint64    // how many numbers were skipped between the first and the last
	Sent  time.Time // when the last one was sent
}

// waiter counts the datagrams that were sent after it began.
type waiter struct {
	since time.Time
	count int
}

// NewReceiver opens the receiver's socket in a namespace, which collects
// datagrams from then on. They are counted while Run runs. Close it.
func NewReceiver(n *Namespace, c ReceiverConfig) (*Receiver, error) {
	conn, err := listen(n, c.Listen)
	if err != nil {
		return nil, fmt.Errorf("open receiver: %w", err)
	}
	if err := c.apply(n, conn); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("open receiver: %w", err)
	}
	return &Receiver{conn: conn, fresh: map[*waiter]struct{}{}}, nil
}

func (c ReceiverConfig) apply(n *Namespace, conn *net.UDPConn) error {
	if c.OwnOnly {
		if err := hearOnlyOwn(conn, c.Listen.Addr().Is6()); err != nil {
			return fmt.Errorf("set MULTICAST_ALL: %w", err)
		}
	}
	if c.Join == "" {
		return nil
	}
	ifindex, err := n.Index(c.Join)
	if err != nil {
		return err
	}
	if err := join(conn, ifindex, c.Source, c.Listen.Addr()); err != nil {
		return fmt.Errorf("join on %s: %w", c.Join, err)
	}
	return nil
}

// Conn returns the receiver's socket, for joins and options. It belongs to
// the receiver.
func (r *Receiver) Conn() *net.UDPConn { return r.conn }

// Run counts until ctx ends, and then returns nil, or until Close. Call it
// once.
func (r *Receiver) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = r.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	var b [payload]byte
	for {
		size, err := r.conn.Read(b[:])
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			return fmt.Errorf("receive: %w", err)
		case size == payload:
			r.count(binary.BigEndian.Uint64(b[:8]), time.Unix(0, int64(binary.BigEndian.Uint64(b[8:]))))
		}
	}
}

func (r *Receiver) count(number uint64, sent time.Time) {
	r.mu.Lock()
	if r.stats.Count > 0 && number > r.stats.Last+1 {
		r.stats.Lost += number - r.stats.Last - 1
	}
	r.stats.Count++
	r.stats.Last, r.stats.Sent = number, sent
	for w := range r.fresh {
		if !sent.Before(w.since) {
			w.count++
		}
	}
	r.mu.Unlock()
	r.bell.Ring()
}

// Stats returns what was counted so far.
func (r *Receiver) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stats
}

// WaitNew waits for count datagrams that are sent after the call. What was
// sent before it and is still on its way does not count.
func (r *Receiver) WaitNew(ctx context.Context, count int) error {
	w := &waiter{since: time.Now()}
	r.mu.Lock()
	r.fresh[w] = struct{}{}
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.fresh, w)
		r.mu.Unlock()
	}()
	err := r.bell.Until(ctx, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return w.count >= count
	})
	if err != nil {
		return fmt.Errorf("wait for %d new datagrams on %s: %w", count, r.conn.LocalAddr(), err)
	}
	return nil
}

// Close closes the socket and ends Run.
func (r *Receiver) Close() error { return r.conn.Close() }
