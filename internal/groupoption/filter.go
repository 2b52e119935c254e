// Package groupoption asks sockets, also those of other processes, which sources of
// a group they let in, by the kernel's socket options of RFC 3678.
package groupoption

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// Filter is what a socket has joined of a group on an index.
type Filter struct {
	Sources []netip.Addr
	Exclude bool // every source but these is let in, not only these
}

// The layout of the kernel's struct group_req: the index, and a struct
// sockaddr_storage for the group. That of a struct group_source_req has one more for
// the source.
const (
	GroupAt     = int(unsafe.Sizeof(uintptr(0))) // the index before it is padded
	StorageSize = 128
)

// A struct group_filter has behind them the mode, how many sources there are, and a
// struct sockaddr_storage for each of these.
const (
	modeAt    = GroupAt + StorageSize
	countAt   = modeAt + 4
	sourcesAt = countAt + 4
)

// mostSources bounds what is read. By default the kernel takes 10 on IPv4, and 64 on
// IPv6.
const mostSources = 4096

// Read asks a socket what it has of a group on an index, and reports whether it has
// anything. The answer is of the socket: it may be of a dead life of the index
// (K1, K5, K22).
func Read(fd, index int, group netip.Addr) (f Filter, joined bool, err error) {
	f, total, err := ask(fd, index, group, 0) // most have nothing
	if err == nil && total > 0 {
		f, _, err = ask(fd, index, group, min(total, mostSources))
	}
	switch {
	case err == nil:
		return f, true, nil
	case errors.Is(err, unix.EADDRNOTAVAIL), errors.Is(err, unix.ENOPROTOOPT):
		return Filter{}, false, nil
	}
	return Filter{}, false, err
}

// ask returns at most room sources, and how many there are.
func ask(fd, index int, group netip.Addr, room int) (f Filter, total int, err error) {
	request := make([]byte, sourcesAt+room*StorageSize)
	binary.NativeEndian.PutUint32(request, uint32(index))
	PutSockaddr(request[GroupAt:], group)
	binary.NativeEndian.PutUint32(request[countAt:], uint32(room))
	length := uint32(len(request))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), Level(group), unix.MCAST_MSFILTER,
		uintptr(unsafe.Pointer(&request[0])), uintptr(unsafe.Pointer(&length)), 0)
	if errno != 0 {
		return Filter{}, 0, errno
	}
	total = int(binary.NativeEndian.Uint32(request[countAt:]))
	f.Exclude = binary.NativeEndian.Uint32(request[modeAt:]) != unix.MCAST_INCLUDE
	for n := range min(total, room) {
		if source, ok := sockaddrAddr(request[sourcesAt+n*StorageSize:]); ok {
			f.Sources = append(f.Sources, source)
		}
	}
	return f, total, nil
}

// Level is the level of the options of a group.
func Level(group netip.Addr) uintptr {
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

// PutSockaddr writes an address as a struct sockaddr_in or sockaddr_in6.
func PutSockaddr(to []byte, a netip.Addr) {
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
