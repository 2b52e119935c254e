package membership

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
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
// says so in different words for connections and files. One that is fetched from
// elsewhere for each call may fail with an errno instead.
type callersConn struct{ syscall.RawConn }

func (c callersConn) SyscallConn() (syscall.RawConn, error) { return c, nil }

func (c callersConn) Control(f func(fd uintptr)) error {
	err := c.RawConn.Control(f)
	if err == nil {
		return nil
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok && errno != unix.EBADF {
		return errno
	}
	return net.ErrClosed
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

func (k linux) netns() uint64 {
	s, err := k.open(ifwatch.IPv4)
	if err != nil {
		return 0
	}
	defer s.close()
	return netnsCookie(int(s.(ownedSocket).fd))
}

// netnsOf returns what netns does of the namespace of a caller's socket.
func netnsOf(c syscall.Conn) (cookie uint64) {
	if raw, err := c.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { cookie = netnsCookie(int(fd)) })
	}
	return cookie
}

// netnsCookie is zero where the kernel has none to tell.
func netnsCookie(fd int) uint64 {
	cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	if err != nil {
		return 0
	}
	return cookie
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

// firstSources is how many sources of a group there is room for at first.
const firstSources = 64

func (s linuxCallerSocket) sources(index int, group netip.Addr) (sources []netip.Addr, err error) {
	controlErr := s.conn.Control(func(fd uintptr) {
		for most := firstSources; ; most *= 2 {
			sources, err = filterOf(int(fd), index, group, most)
			if err != nil || len(sources) < most {
				return
			}
		}
	})
	if errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.ENODEV) {
		err = nil
	}
	return sources, errors.Join(controlErr, err)
}

// These bound the search for a stale entry. Indexes are given in ascending
// order, so those of dead interfaces are below those of new ones, unless
// somebody chose them.
const (
	leastSearched = 256
	mostSearched  = 1 << 14
)

func (s linuxCallerSocket) staleIndex(group netip.Addr, but int) (found int) {
	_ = s.conn.Control(func(fd uintptr) {
		for index := min(max(but, leastSearched), mostSearched); index > 0; index-- {
			if index == but {
				continue
			}
			if _, err := filterOf(int(fd), index, group, 1); err == nil && !indexOccupied(int(fd), index, s.family) {
				found = index
				return
			}
		}
	})
	return found
}
