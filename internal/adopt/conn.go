package adopt

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// errAnother says that a descriptor leads to another socket by now. It is tried
// again.
var errAnother = fmt.Errorf("the descriptor leads to another socket: %w", unix.EAGAIN)

// handle is a descriptor of a process that leads to a socket.
type handle struct {
	process *Process
	fd      int
}

// Conn is a socket of another process, fetched anew for each call of Control: in
// between nothing of it is held but its cookie, by which it is recognised.
// Several processes may have it. It is safe for concurrent use.
type Conn struct {
	inode, cookie uint64

	mu      sync.Mutex
	handles []handle
}

// SyscallConn returns the Conn itself.
func (c *Conn) SyscallConn() (syscall.RawConn, error) { return c, nil }

// Read is not for sockets of others.
func (*Conn) Read(func(fd uintptr) bool) error { return errors.ErrUnsupported }

// Write is not for sockets of others.
func (*Conn) Write(func(fd uintptr) bool) error { return errors.ErrUnsupported }

// Control calls f with a descriptor of the socket, and closes that. The error
// wraps net.ErrClosed where no process has the socket any more, and an errno where
// it cannot be fetched now.
func (c *Conn) Control(f func(fd uintptr)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := fmt.Errorf("%w: no process has the socket any more", net.ErrClosed)
	for n := range c.handles {
		fd, refusal := c.fetch(&c.handles[n])
		if refusal == nil {
			defer unix.Close(fd)
			f(uintptr(fd))
			return nil
		}
		if !errors.Is(refusal, net.ErrClosed) && !errors.Is(refusal, ErrEnded) {
			err = refusal // it may be there yet
		}
	}
	return err
}

// mostSearches is how often a socket is searched that a process moves to another
// number meanwhile. One that is moved while the numbers are read is at neither.
const mostSearches = 2

// fetch returns a duplicate of the socket by a handle, which it corrects where the
// process has the socket by another number now.
func (c *Conn) fetch(h *handle) (fd int, err error) {
	fd, err = c.fetchFrom(h.process, h.fd)
	for n := 0; isElsewhere(err) && n < mostSearches; n++ {
		sockets, readErr := h.process.sockets()
		if readErr != nil {
			return -1, readErr
		}
		number, found := sockets[c.inode]
		switch {
		case found:
			h.fd = number
			fd, err = c.fetchFrom(h.process, number)
		case n > 0:
			return -1, net.ErrClosed
		}
	}
	if isElsewhere(err) {
		err = errAnother // it was found, if not fetched
	}
	return fd, err
}

// isElsewhere reports whether the socket may have another number.
func isElsewhere(err error) bool { return errors.Is(err, errAnother) || errors.Is(err, unix.EBADF) }

func (c *Conn) fetchFrom(p *Process, number int) (fd int, err error) {
	if fd, err = p.fetch(number); err != nil {
		return -1, err
	}
	if cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_COOKIE); err != nil || cookie != c.cookie {
		_ = unix.Close(fd)
		return -1, errAnother
	}
	return fd, nil
}

// setHandles says which processes have the socket.
func (c *Conn) setHandles(handles []handle) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.handles = handles
}
