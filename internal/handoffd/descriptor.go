package handoffd

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/control"
	"github.com/ssmd-project/ssmd/handoff"
)

// descriptor is an application's socket. It stays out of the runtime's poller,
// which would wake the daemon with each datagram, and its flags are left alone:
// the application has the same open file.
type descriptor struct {
	mu sync.RWMutex
	fd int // -1 once it is closed
}

func (d *descriptor) SyscallConn() (syscall.RawConn, error) { return d, nil }

// Control implements syscall.RawConn. After Close it returns net.ErrClosed.
func (d *descriptor) Control(f func(fd uintptr)) error {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.fd < 0 {
		return net.ErrClosed
	}
	f(uintptr(d.fd))
	return nil
}

// Read is not supported: what arrives is the application's.
func (d *descriptor) Read(func(fd uintptr) (done bool)) error { return errors.ErrUnsupported }

// Write is not supported.
func (d *descriptor) Write(func(fd uintptr) (done bool)) error { return errors.ErrUnsupported }

// close closes it. More calls do nothing.
func (d *descriptor) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fd >= 0 {
		_ = unix.Close(d.fd)
	}
	d.fd = -1
}

// takeDescriptor returns the only one of those that came, which must be a UDP
// socket. Otherwise all are closed.
func takeDescriptor(fds []int) (*descriptor, *control.Problem) {
	wrong := func() string {
		switch {
		case len(fds) == 0:
			return "no descriptor came with the request, want the socket in SCM_RIGHTS (unix(7))"
		case len(fds) > 1:
			return "more than one descriptor came with the request, want one"
		}
		return unsuitable(fds[0])
	}()
	if wrong == "" {
		return &descriptor{fd: fds[0]}, nil
	}
	closeAll(fds)
	return nil, &control.Problem{Type: handoff.ProblemDescriptor, Title: "Unsuitable descriptor", Status: 400, Detail: wrong}
}

// unsuitable says why a descriptor is not taken, nothing where it is.
func unsuitable(fd int) string {
	get := func(option int) (int, error) { return unix.GetsockoptInt(fd, unix.SOL_SOCKET, option) }
	domain, err := get(unix.SO_DOMAIN)
	if err != nil {
		return fmt.Sprintf("the descriptor is no socket (%v), want a UDP socket", err)
	}
	kind, errKind := get(unix.SO_TYPE)
	protocol, errProtocol := get(unix.SO_PROTOCOL)
	if err := errors.Join(errKind, errProtocol); err != nil {
		return fmt.Sprintf("ask for the kind of socket: %v", err)
	}
	switch {
	case domain != unix.AF_INET && domain != unix.AF_INET6:
		return fmt.Sprintf("the socket is of address family %d, want IPv4 (%d) or IPv6 (%d)", domain, unix.AF_INET, unix.AF_INET6)
	case kind == unix.SOCK_DGRAM && protocol == unix.IPPROTO_UDP:
		return ""
	case kind == unix.SOCK_STREAM:
		return fmt.Sprintf("it is a stream socket of protocol %d, want a UDP socket", protocol)
	case kind == unix.SOCK_RAW:
		return fmt.Sprintf("it is a raw socket of protocol %d, want a UDP socket", protocol)
	}
	return fmt.Sprintf("it is a socket of type %d and protocol %d, want a UDP socket", kind, protocol)
}

func closeAll(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}
