package membership

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"
)

// ReadFrom reads the payload of a datagram. What is longer than the buffer is cut.
func (c *Conn) ReadFrom(b []byte) (int, net.Addr, error) {
	if !c.anywhere && c.config.Leftovers == KeepLeftovers {
		return c.socket.ReadFrom(b) // there is nothing to look at
	}
	d, err := c.ReadDatagram(b)
	if err != nil {
		return 0, nil, err
	}
	return d.Size, net.UDPAddrFromAddrPort(d.From), nil
}

// ReadDatagram reads the payload of a datagram into b, and what else is known of
// it. It allocates nothing.
func (c *Conn) ReadDatagram(b []byte) (Datagram, error) {
	control := controls.Get().(*[controlRoom]byte)
	defer controls.Put(control)
	for {
		n, oobn, _, from, err := c.socket.ReadMsgUDPAddrPort(b, control[:])
		if err != nil {
			return Datagram{}, err
		}
		d := Datagram{Size: n, From: from}
		d.readControl(control[:oobn])
		if c.anywhere && !slices.Contains(*c.groups.Load(), d.Group) {
			continue // sent to the host, or to a group that was wanted
		}
		d.Leftover = c.leftovers.Include(d.Index, d.Received)
		if !d.Leftover || c.config.Leftovers == KeepLeftovers {
			return d, nil
		}
	}
}

var controls = sync.Pool{New: func() any { return new([controlRoom]byte) }}

// WriteTo sends from the connection's port, for example a receiver's report. The
// kernel chooses the interface by its routes.
func (c *Conn) WriteTo(b []byte, to net.Addr) (int, error) { return c.socket.WriteTo(b, to) }

// LocalAddr returns the address and port that the connection is bound to.
func (c *Conn) LocalAddr() net.Addr { return c.socket.LocalAddr() }

// SetDeadline sets the deadlines of reads and writes. The zero time means none.
func (c *Conn) SetDeadline(t time.Time) error { return c.socket.SetDeadline(t) }

// SetReadDeadline sets the deadline of reads, also of those that wait.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.socket.SetReadDeadline(t) }

// SetWriteDeadline sets the deadline of writes.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.socket.SetWriteDeadline(t) }

// SetReadBuffer sets the size in bytes of the kernel's receive buffer.
func (c *Conn) SetReadBuffer(bytes int) error { return c.socket.SetReadBuffer(bytes) }

// SyscallConn gives access to the socket. What is read there is not looked at:
// the caller tells the rest by Leftovers and its own options.
func (c *Conn) SyscallConn() (syscall.RawConn, error) { return c.socket.SyscallConn() }

// Status returns where the membership stands. The error wraps net.ErrClosed once
// the connection is closed, and ErrNotFound where somebody took the membership
// from a manager that is shared.
func (c *Conn) Status(ctx context.Context) (Status, error) {
	status, err := c.manager.StatusOf(ctx, c.config.Name)
	if c.ended.Load() { // somebody else may have the name
		return Status{}, fmt.Errorf("ask for %s: %w", c.config.Name, net.ErrClosed)
	}
	return status, err
}

// Subscribe returns the events of the manager since Listen was called, and those
// that follow; with a shared one also those of other memberships. It ends after
// the last event, which is that the connection's own manager has left, or with its
// Close.
func (c *Conn) Subscribe() *Subscription {
	s, err := c.manager.SubscribeSince(Since{Seq: c.since})
	if err != nil { // there is no such number that is later than the last
		return c.manager.Subscribe()
	}
	return s
}

// Name returns the membership's.
func (c *Conn) Name() string { return c.config.Name }

// Manager returns what keeps the membership, for whatever else is to be asked of
// it.
func (c *Conn) Manager() *Manager { return c.manager }
