package adopt

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"syscall"

	"net/netip"

	"golang.org/x/sys/unix"
)

// errChanged refuses work on a socket whose process has left something since:
// what it left has to be known before anything is joined.
var errChanged = errors.New("the process has changed what it joined: looking at it again")

// errAnother says that a descriptor leads to another socket by now.
var errAnother = errors.New("the descriptor leads to another socket")

// handle is a descriptor of a process that leads to a socket.
type handle struct {
	process *Process
	fd      int
}

// Conn is a socket of another process, fetched for each call of Control. In
// between nothing of it is held but its number, the cookie. Several processes
// may have it.
//
// It watches what the process does: whatever of the socket changes between two
// calls of Control, and not within one, the process has done. Where it left
// something, Control returns an error until that was taken note of, so that
// nobody joins anew what the process left.
type Conn struct {
	inode, cookie uint64
	changed       func() // tells that the process left something; does not wait

	mu       sync.Mutex
	handles  []handle
	expected map[place]map[netip.Addr]bool // the sources that the socket has
	blocked  bool
}

// SyscallConn returns the Conn itself.
func (c *Conn) SyscallConn() (syscall.RawConn, error) { return c, nil }

// Read is not for sockets of others.
func (*Conn) Read(func(fd uintptr) bool) error { return errors.ErrUnsupported }

// Write is not for sockets of others.
func (*Conn) Write(func(fd uintptr) bool) error { return errors.ErrUnsupported }

// Control calls f with a descriptor of the socket that is closed afterwards. The
// error wraps net.ErrClosed where no process has the socket any more.
func (c *Conn) Control(f func(fd uintptr)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.with(func(fd int) error {
		if c.blocked {
			return errChanged
		}
		if c.hasLeft(fd) {
			c.blocked = true
			c.changed()
			return errChanged
		}
		f(uintptr(fd))
		c.reread(fd)
		return nil
	})
}

// hasLeft reports whether the socket lacks anything that it had after the last
// call.
func (c *Conn) hasLeft(fd int) bool {
	for p, sources := range c.expected {
		now, _, err := readFilter(fd, p)
		for source := range sources {
			if err == nil && !slices.Contains(now.sources, source) {
				return true
			}
		}
	}
	return false
}

// reread notes what the socket has now of what it had. What is more, whoever did
// it, is found at the next look at the whole.
func (c *Conn) reread(fd int) {
	for p, sources := range c.expected {
		now, _, err := readFilter(fd, p)
		if err != nil {
			continue
		}
		maps.DeleteFunc(sources, func(source netip.Addr, _ bool) bool { return !slices.Contains(now.sources, source) })
		if len(sources) == 0 {
			delete(c.expected, p)
		}
	}
}

// with fetches the socket for one call. The lock is held.
func (c *Conn) with(f func(fd int) error) error {
	err := fmt.Errorf("%w: no process has it any more", net.ErrClosed)
	for n, h := range c.handles {
		fd, refusal := c.fetch(&c.handles[n])
		if refusal == nil {
			defer unix.Close(fd)
			return f(fd)
		}
		_, isRefused := errors.AsType[*RefusedError](refusal)
		if isRefused || !errors.Is(refusal, net.ErrClosed) && !h.process.ended() {
			err = refusal // it may be there yet
		}
	}
	return err
}

// fetch returns a duplicate of the socket by a handle, which it corrects where the
// process has the socket by another number now. The error wraps net.ErrClosed where
// the process does not have it.
func (c *Conn) fetch(h *handle) (fd int, err error) {
	fd, err = c.fetchFrom(h.process, h.fd)
	if err == nil || !errors.Is(err, errAnother) && !errors.Is(err, unix.EBADF) {
		return fd, err
	}
	sockets, err := h.process.sockets()
	if err != nil {
		return -1, err
	}
	number, found := sockets[c.inode]
	if !found {
		return -1, net.ErrClosed
	}
	if fd, err = c.fetchFrom(h.process, number); err == nil {
		h.fd = number
	}
	return fd, err
}

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

// resume lets Control work again.
func (c *Conn) resume() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.blocked = false
}
