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
	asked := make(map[netip.Addr]bool)
	s.Asked = true
	for _, c := range channels {
		if c.Family() != s.Family || asked[c.Group] || len(asked) == mostGroups {
			continue
		}
		asked[c.Group] = true
		for index := 1; index <= min(greatest+spareIndex, mostIndexes); index++ {
			switch _, lives := f.Names[index]; {
			case !believes(fd, index, c.Group):
			case f.Link != nil && index == f.Link.Index:
				s.Member = append(s.Member, c.Group)
			case !lives:
				s.Stale = append(s.Stale, StaleEntry{c.Group, index})
			}
		}
	}
}

// groupFilterBytes is the size of struct group_filter without sources.
const groupFilterBytes = 144

// believes reports whether a socket has an entry of a group on an index, by
// getsockopt of MCAST_MSFILTER, which believes in the dead too (K22).
func believes(fd, index int, group netip.Addr) bool {
	var b [groupFilterBytes]byte
	binary.NativeEndian.PutUint32(b[0:], uint32(index))
	level, option := unix.IPPROTO_IP, unix.MCAST_MSFILTER
	if group.Is4() {
		binary.NativeEndian.PutUint16(b[8:], unix.AF_INET)
		copy(b[12:], group.AsSlice())
	} else {
		level = unix.IPPROTO_IPV6
		binary.NativeEndian.PutUint16(b[8:], unix.AF_INET6)
		copy(b[16:], group.AsSlice())
	}
	size := uint32(len(b))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), uintptr(level), uintptr(option),
		uintptr(unsafe.Pointer(&b[0])), uintptr(unsafe.Pointer(&size)), 0)
	return errno == 0
}
