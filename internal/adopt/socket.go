package adopt

import (
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Socket is a UDP socket of a process.
type Socket struct {
	FD     int
	Local  netip.AddrPort // zero where it is not bound
	Device string         // the interface that it is bound to (SO_BINDTODEVICE)

	inode, cookie uint64
	namespace     uint64 // its network namespace, by inode; zero where we may not ask
}

// describe asks a descriptor what it is, and reports whether it is a UDP socket
// of IPv4 or IPv6.
func describe(fd int) (s Socket, isUDP bool) {
	domain, err1 := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	kind, err2 := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	protocol, err3 := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PROTOCOL)
	cookie, err4 := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_COOKIE)
	switch {
	case errors.Join(err1, err2, err3, err4) != nil, kind != unix.SOCK_DGRAM, protocol != unix.IPPROTO_UDP,
		domain != unix.AF_INET && domain != unix.AF_INET6:
		return Socket{}, false
	}
	s.cookie = cookie
	s.Local = localOf(fd)
	s.namespace = socketNamespace(fd)
	s.Device, _ = unix.GetsockoptString(fd, unix.SOL_SOCKET, unix.SO_BINDTODEVICE)
	return s, true
}

func localOf(fd int) netip.AddrPort {
	address, err := unix.Getsockname(fd)
	if err != nil {
		return netip.AddrPort{}
	}
	switch a := address.(type) {
	case *unix.SockaddrInet4:
		return bound(netip.AddrFrom4(a.Addr), a.Port)
	case *unix.SockaddrInet6:
		return bound(netip.AddrFrom16(a.Addr), a.Port)
	}
	return netip.AddrPort{}
}

func bound(a netip.Addr, port int) netip.AddrPort {
	if port == 0 {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(a, uint16(port))
}

// nameOf returns the name of the interface that lives at an index in the network
// namespace of a socket, empty where none does, and false where nobody can tell.
func nameOf(fd, index int) (name string, known bool) {
	request, err := unix.NewIfreq("ssmd")
	if err != nil {
		return "", false
	}
	request.SetUint32(uint32(index))
	err = unix.IoctlIfreq(fd, unix.SIOCGIFNAME, request)
	if errors.Is(err, unix.ENODEV) {
		return "", true
	}
	return request.Name(), err == nil
}

// socketNamespace asks a socket for its network namespace, which takes
// CAP_NET_ADMIN there.
func socketNamespace(fd int) uint64 {
	namespace, err := unix.IoctlRetInt(fd, unix.SIOCGSKNS)
	if err != nil {
		return 0
	}
	defer unix.Close(namespace)
	return inodeOf(namespace)
}

// inodeOf is zero where there is none.
func inodeOf(fd int) uint64 {
	var info unix.Stat_t
	if unix.Fstat(fd, &info) != nil {
		return 0
	}
	return info.Ino
}

// namespaceOf returns the network namespace of a process, zero where nobody may
// know.
func namespaceOf(p *Process) uint64 {
	var info unix.Stat_t
	if unix.Stat(p.path("ns/net"), &info) != nil {
		return 0
	}
	return info.Ino
}
