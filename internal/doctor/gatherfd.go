package doctor

import (
	"encoding/binary"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/membership"
)

// How much is asked of one socket: a question is a system call.
const (
	mostGroups  = 64
	mostIndexes = 4096
	spareIndex  = 32 // behind the greatest that lives
)

// askSocket asks a socket of another process what the kernel does not list: what
// it believes to be a member of, and over IPv6 whether it hears what others
// joined. It takes a descriptor of it for that moment (pidfd_getfd), for which it
// needs the right to trace the process; the socket is only asked.
func (f *Facts) askSocket(s *Socket, descriptor int, channels []membership.Channel) {
	process, err := unix.PidfdOpen(s.Process.PID, 0)
	if err != nil {
		return
	}
	defer unix.Close(process)
	fd, err := unix.PidfdGetfd(process, descriptor, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	if s.Family == ifwatch.IPv6 {
		if all, err := unix.GetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_ALL); err == nil {
			on := all != 0
			s.MulticastAll = &on
		}
	}
	greatest := 0
	for index := range f.Names {
		greatest = max(greatest, index)
	}
	s.Asked, s.Filters = true, make(Filters)
	asked := make(map[netip.Addr]bool)
	for _, c := range channels {
		if c.Family() != s.Family || asked[c.Group] || len(asked) == mostGroups {
			continue
		}
		asked[c.Group] = true
		for index := 1; index <= min(greatest+spareIndex, mostIndexes); index++ {
			filter, joined := readFilter(fd, index, c.Group)
			if !joined {
				continue
			}
			if f.Link != nil && index == f.Link.Index || s.Family == ifwatch.IPv6 {
				s.Filters[c.Group] = append(s.Filters[c.Group], filter)
			}
			if _, lives := f.Names[index]; !lives {
				s.Stale = append(s.Stale, StaleEntry{c.Group, index})
			}
		}
	}
}

// The layout of struct group_filter: the interface, the group, the mode, how many
// sources, and these.
const (
	filterMode    = 136
	filterCount   = 140
	filterSources = 144
	addressBytes  = 128     // struct sockaddr_storage
	mostSources   = 1 << 16 // of one socket and group
)

// readFilter reads what a socket let in of a group on an index, by getsockopt of
// MCAST_MSFILTER, which believes in the dead too (K22), and whether it joined it.
func readFilter(fd, index int, group netip.Addr) (f Filter, joined bool) {
	level, at := unix.IPPROTO_IP, 4
	family := uint16(unix.AF_INET)
	if !group.Is4() {
		level, at, family = unix.IPPROTO_IPV6, 8, unix.AF_INET6
	}
	for room := 0; ; {
		b := make([]byte, filterSources+room*addressBytes)
		binary.NativeEndian.PutUint32(b[0:], uint32(index))
		binary.NativeEndian.PutUint16(b[8:], family)
		copy(b[8+at:], group.AsSlice())
		binary.NativeEndian.PutUint32(b[filterCount:], uint32(room))
		size := uint32(len(b))
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), uintptr(level), unix.MCAST_MSFILTER,
			uintptr(unsafe.Pointer(&b[0])), uintptr(unsafe.Pointer(&size)), 0)
		if errno != 0 {
			return Filter{}, false
		}
		count := int(binary.NativeEndian.Uint32(b[filterCount:]))
		if count > room && count <= mostSources {
			room = count
			continue
		}
		f.Index = index
		f.Exclude = binary.NativeEndian.Uint32(b[filterMode:]) == unix.MCAST_EXCLUDE
		for n := range min(count, room) {
			from := filterSources + n*addressBytes + at
			source, _ := netip.AddrFromSlice(b[from : from+len(group.AsSlice())])
			f.Sources = append(f.Sources, source)
		}
		return f, true
	}
}
