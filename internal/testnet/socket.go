package testnet

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// listen opens a UDP socket of the address's family in a namespace. The
// socket shares its address with others that do so too.
//
// It does not use [net.ListenPacket], which binds to every address where it is
// asked for a group's.
func listen(n *Namespace, addr netip.AddrPort) (conn *net.UDPConn, err error) {
	err = n.Do(func() error {
		fd, err := bound(addr)
		if err != nil {
			return err
		}
		file := os.NewFile(uintptr(fd), "udp")
		defer file.Close() // the connection has a copy
		c, err := net.FilePacketConn(file)
		if err != nil {
			return err
		}
		conn = c.(*net.UDPConn)
		return nil
	})
	return conn, err
}

func bound(addr netip.AddrPort) (fd int, err error) {
	family, sa := unix.AF_INET, unix.Sockaddr(nil)
	if addr.Addr().Is4() {
		sa = &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}
	} else {
		family, sa = unix.AF_INET6, &unix.SockaddrInet6{Port: int(addr.Port()), Addr: addr.Addr().As16()}
	}
	fd, err = unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open socket: %w", err)
	}
	err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	if err == nil && family == unix.AF_INET6 {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1)
	}
	if err == nil {
		err = unix.Bind(fd, sa)
	}
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("bind to %s: %w", addr, err)
	}
	return fd, nil
}

// join makes the socket a member of (source, group) on an interface, or of
// any source's group where source is invalid.
func join(c net.PacketConn, ifindex int, source, group netip.Addr) error {
	ifi := &net.Interface{Index: ifindex}
	g, s := &net.UDPAddr{IP: group.AsSlice()}, &net.UDPAddr{IP: source.AsSlice()}
	switch {
	case group.Is4() && source.IsValid():
		return ipv4.NewPacketConn(c).JoinSourceSpecificGroup(ifi, g, s)
	case group.Is4():
		return ipv4.NewPacketConn(c).JoinGroup(ifi, g)
	case source.IsValid():
		return ipv6.NewPacketConn(c).JoinSourceSpecificGroup(ifi, g, s)
	default:
		return ipv6.NewPacketConn(c).JoinGroup(ifi, g)
	}
}

// hearOnlyOwn clears IP_MULTICAST_ALL or IPV6_MULTICAST_ALL.
func hearOnlyOwn(c *net.UDPConn, v6 bool) error {
	return control(c, func(fd int) error {
		if v6 {
			return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_ALL, 0)
		}
		return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_ALL, 0)
	})
}

// hops is how many routers a datagram may pass, and one.
const hops = 4

// sendOn makes the socket send multicast on an interface and not back to this
// host.
func sendOn(c *net.UDPConn, ifindex int, v6 bool) error {
	return control(c, func(fd int) error {
		if v6 {
			return setInts(fd, unix.IPPROTO_IPV6, map[int]int{unix.IPV6_MULTICAST_IF: ifindex,
				unix.IPV6_MULTICAST_HOPS: hops, unix.IPV6_MULTICAST_LOOP: 0})
		}
		mreqn := &unix.IPMreqn{Ifindex: int32(ifindex)}
		if err := unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_IF, mreqn); err != nil {
			return fmt.Errorf("set IP_MULTICAST_IF: %w", err)
		}
		return setInts(fd, unix.IPPROTO_IP, map[int]int{unix.IP_MULTICAST_TTL: hops, unix.IP_MULTICAST_LOOP: 0})
	})
}

// control calls f with the socket's descriptor.
func control(c syscall.Conn, f func(fd int) error) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	if failure := raw.Control(func(fd uintptr) { err = f(int(fd)) }); failure != nil {
		return failure
	}
	return err
}

func setInts(fd, level int, options map[int]int) error {
	for name, value := range options {
		if err := unix.SetsockoptInt(fd, level, name, value); err != nil {
			return fmt.Errorf("set option %d: %w", name, err)
		}
	}
	return nil
}
