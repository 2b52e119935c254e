package doctor

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/internal/groupoption"
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
			filter, joined, err := groupoption.Read(fd, index, c.Group)
			if err != nil || !joined {
				continue
			}
			if f.Link != nil && index == f.Link.Index || s.Family == ifwatch.IPv6 {
				s.Filters[c.Group] = append(s.Filters[c.Group], Filter{filter, index})
			}
			if _, lives := f.Names[index]; !lives {
				s.Stale = append(s.Stale, StaleEntry{c.Group, index})
			}
		}
	}
}
