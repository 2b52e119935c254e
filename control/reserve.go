package control

import (
	"errors"
	"net"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// reserved is how many connections are still accepted where the memberships
// have taken every descriptor that the process may have.
const reserved = 4

// reserve holds descriptors back for connections.
type reserve struct {
	mu     sync.Mutex
	spare  []int
	closed bool
}

// give closes a spare descriptor, and reports whether there was one.
func (r *reserve) give() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(r.spare) - 1
	if n < 0 {
		return false
	}
	_ = unix.Close(r.spare[n])
	r.spare = r.spare[:n]
	return true
}

// fill takes descriptors until there are enough, or no more to be had.
func (r *reserve) fill() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for !r.closed && len(r.spare) < reserved {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0) // the cheapest that needs no file
		if err != nil {
			return
		}
		r.spare = append(r.spare, fd)
	}
}

func (r *reserve) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	for r.give() {
	}
}

// Accept waits for a connection. Where there is no descriptor left for it, a
// reserved one goes for it, and is taken back when the connection is closed.
func (l *Listener) Accept() (net.Conn, error) {
	connection, err := l.AcceptUnix()
	for outOfDescriptors(err) && l.reserve.give() {
		connection, err = l.AcceptUnix()
	}
	if err != nil {
		return nil, err
	}
	return &refilling{UnixConn: connection, reserve: &l.reserve}, nil
}

func outOfDescriptors(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// refilling is a connection whose descriptor goes to the reserve.
type refilling struct {
	*net.UnixConn
	reserve *reserve
}

// Close closes the connection.
func (c *refilling) Close() error {
	err := c.UnixConn.Close()
	c.reserve.fill()
	return err
}
