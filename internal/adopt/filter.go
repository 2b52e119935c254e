package adopt

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// place is where a socket may be a member: of a group, on an index.
type place struct {
	group netip.Addr
	index int
}

// filter is what a socket has joined of a group on an index.
type filter struct {
	sources   []netip.Addr
	anySource bool // everything but the sources
}

// The kernel's struct group_filter: the index, a struct sockaddr_storage for
// the group, the mode, how many sources there are, and one for each of these.
const (
	groupAt     = int(unsafe.Sizeof(uintptr(0))) // the index before it is padded
	storageSize = 128
	modeAt      = groupAt + storageSize
	countAt     = modeAt + 4
	sourcesAt   = countAt + 4
)

// usualSources is enough for most: the kernel takes as many at most by default,
// 10 on IPv4 and 64 on IPv6. mostSources bounds what is read where the sysctls
// are raised.
const (
	usualSources = 64
	mostSources  = 4096
)

// readFilter asks a socket what it has at a place, and reports whether it has
// anything. The answer is of the socket: it may be of a dead life of the index
// (K1, K5).
func readFilter(fd int, p place) (f filter, joined bool, err error) {
	f, total, err := askFilter(fd, p, usualSources)
	if err == nil && total > usualSources {
		f, _, err = askFilter(fd, p, min(total, mostSources))
	}
	switch {
	case err == nil:
		return f, true, nil
	case errors.Is(err, unix.EADDRNOTAVAIL), errors.Is(err, unix.ENOPROTOOPT):
		return filter{}, false, nil
	}
	return filter{}, false, err
}

// askFilter returns at most room sources, and how many there are.
func askFilter(fd int, p place, room int) (f filter, total int, err error) {
	request := make([]byte, sourcesAt+room*storageSize)
	binary.NativeEndian.PutUint32(request, uint32(p.index))
	putSockaddr(request[groupAt:], p.group)
	binary.NativeEndian.PutUint32(request[countAt:], uint32(room))
	length := uint32(len(request))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), levelOf(p.group), unix.MCAST_MSFILTER,
		uintptr(unsafe.Pointer(&request[0])), uintptr(unsafe.Pointer(&length)), 0)
	if errno != 0 {
		return filter{}, 0, errno
	}
	total = int(binary.NativeEndian.Uint32(request[countAt:]))
	f.anySource = binary.NativeEndian.Uint32(request[modeAt:]) != unix.MCAST_INCLUDE
	for n := range min(total, room) {
		if source, ok := sockaddrAddr(request[sourcesAt+n*storageSize:]); ok {
			f.sources = append(f.sources, source)
		}
	}
	return f, total, nil
}

func levelOf(group netip.Addr) uintptr {
	if ifwatch.FamilyOf(group) == ifwatch.IPv4 {
		return unix.IPPROTO_IP
	}
	return unix.IPPROTO_IPV6
}

// Where the address is in a struct sockaddr_in, behind family and port, and in a
// struct sockaddr_in6, behind the flow label too.
const (
	addressAt4 = 4
	addressAt6 = 8
)

func putSockaddr(to []byte, a netip.Addr) {
	family, at := uint16(unix.AF_INET), addressAt4
	if a.Is6() {
		family, at = unix.AF_INET6, addressAt6
	}
	binary.NativeEndian.PutUint16(to, family)
	copy(to[at:], a.AsSlice())
}

func sockaddrAddr(from []byte) (netip.Addr, bool) {
	switch binary.NativeEndian.Uint16(from) {
	case unix.AF_INET:
		return netip.AddrFromSlice(from[addressAt4 : addressAt4+4])
	case unix.AF_INET6:
		return netip.AddrFromSlice(from[addressAt6 : addressAt6+16])
	}
	return netip.Addr{}, false
}
