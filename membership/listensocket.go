package membership

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// open opens the socket. It does not use net.ListenPacket, which binds to every
// address where it is asked for a group's, and shares the port.
func (c ListenConfig) open() (*net.UDPConn, error) {
	within := c.Options.Watch.Within
	if within == nil {
		within = func(f func() error) error { return f() }
	}
	var fd int
	err := within(func() (err error) {
		fd, err = unix.Socket(domainOf(c.family()), unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open socket: %w", err)
	}
	file := os.NewFile(uintptr(fd), "udp")
	defer file.Close() // the connection has a duplicate
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("open socket: %w", err)
	}
	if err := c.prepare(raw); err != nil {
		return nil, err
	}
	conn, err := net.FilePacketConn(file)
	if err != nil {
		return nil, fmt.Errorf("open socket: %w", err)
	}
	return conn.(*net.UDPConn), nil
}

// prepare sets the options and binds.
func (c ListenConfig) prepare(raw syscall.RawConn) error {
	var err error
	if controlErr := raw.Control(func(fd uintptr) { err = c.setOptions(int(fd)) }); controlErr != nil {
		return controlErr
	}
	if err == nil && c.Control != nil {
		err = c.Control(raw)
	}
	if err != nil {
		return fmt.Errorf("set socket options: %w", err)
	}
	address := netip.AddrPortFrom(c.bindAddress(), c.Port)
	if controlErr := raw.Control(func(fd uintptr) { err = unix.Bind(int(fd), sockaddr(address)) }); controlErr != nil {
		return controlErr
	}
	if err != nil {
		return fmt.Errorf("bind to %s: %w", address, err)
	}
	return nil
}

func (c ListenConfig) setOptions(fd int) error {
	type option struct{ level, name, value int }
	options := []option{
		{unix.IPPROTO_IP, unix.IP_MULTICAST_ALL, 0},
		{unix.IPPROTO_IP, unix.IP_PKTINFO, 1},
	}
	if c.family() == ifwatch.IPv6 {
		options = []option{
			{unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1},
			{unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_ALL, 0},
			{unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1},
		}
	}
	options = append(options, option{unix.SOL_SOCKET, unix.SO_TIMESTAMPNS_NEW, 1})
	if c.Share == ShareAddress {
		options = append(options, option{unix.SOL_SOCKET, unix.SO_REUSEADDR, 1})
	}
	for _, o := range options {
		if err := unix.SetsockoptInt(fd, o.level, o.name, o.value); err != nil {
			return err
		}
	}
	return nil
}

// bindAddress is the group, where that is one and every interface may have it. A
// group of less than global scope is bound to an index in the kernel, which would
// not outlive the interface.
func (c ListenConfig) bindAddress() netip.Addr {
	group := c.Channels[0].Group
	for _, other := range c.Channels {
		if other.Group != group {
			return anyAddress(c.family())
		}
	}
	if group.IsLinkLocalMulticast() && group.Is6() || group.IsInterfaceLocalMulticast() {
		return anyAddress(c.family())
	}
	return group
}

func anyAddress(f ifwatch.Family) netip.Addr {
	if f == ifwatch.IPv6 {
		return netip.IPv6Unspecified()
	}
	return netip.IPv4Unspecified()
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}
