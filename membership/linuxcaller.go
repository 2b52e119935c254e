package membership

import (
	"errors"
	"fmt"
	"net"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// linuxCallerSocket is a caller's socket in the kernel.
type linuxCallerSocket struct {
	*linuxSocket
	number uint64 // SO_COOKIE
}

func (s linuxCallerSocket) cookie() cookie { return cookie(s.number) }

// callersConn is a caller's descriptor. Control fails where it is closed, and
// says so in different words for connections and files.
type callersConn struct{ syscall.RawConn }

func (c callersConn) SyscallConn() (syscall.RawConn, error) { return c, nil }

func (c callersConn) Control(f func(fd uintptr)) error {
	if c.RawConn.Control(f) != nil {
		return net.ErrClosed
	}
	return nil
}

func (k linux) caller(f ifwatch.Family, c syscall.Conn) (callersMemberSocket, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	socket, err := newLinuxSocket(f, callersConn{raw}, k.request)
	if err != nil {
		return nil, err
	}
	s := linuxCallerSocket{linuxSocket: socket}
	controlErr := socket.conn.Control(func(fd uintptr) {
		if err = receives(int(fd), f); err == nil {
			s.number, err = unix.GetsockoptUint64(int(fd), unix.SOL_SOCKET, unix.SO_COOKIE)
		}
	})
	return s, errors.Join(controlErr, err)
}

// receives returns an error where a socket cannot receive multicast datagrams
// of a family, though the kernel might take the joins.
func receives(fd int, f ifwatch.Family) error {
	domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return err
	}
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	switch {
	case err != nil:
		return err
	case kind != unix.SOCK_DGRAM && kind != unix.SOCK_RAW:
		return errors.New("it is no datagram socket")
	case domain == unix.AF_INET6 && f == ifwatch.IPv6, domain == unix.AF_INET && f == ifwatch.IPv4:
		return nil
	case domain == unix.AF_INET6:
		only6, err := unix.GetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY)
		if err != nil || only6 == 0 {
			return err
		}
	}
	return fmt.Errorf("it receives nothing of %s", f)
}

func (s linuxCallerSocket) rebind(index, lost int) error {
	var bound int
	var err error
	controlErr := s.conn.Control(func(fd uintptr) {
		bound, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX)
		if err != nil || bound == 0 || bound == index || bound != lost && indexOccupied(int(fd), bound, s.family) {
			return
		}
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX, index)
	})
	switch {
	case controlErr != nil:
		return controlErr
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("bind socket to interface %d instead of %d: %w (needs CAP_NET_RAW)", index, bound, err)
	case err != nil:
		return fmt.Errorf("bind socket to interface %d: %w", index, err)
	}
	return nil
}
