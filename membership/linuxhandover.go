package membership

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/ifwatch"
)

func (s ownedSocket) handle() (handle, bool) {
	cookie, err := unix.GetsockoptUint64(int(s.fd), unix.SOL_SOCKET, unix.SO_COOKIE)
	return handle{cookie, int(s.fd)}, err == nil
}

// handle tells by the number of the inode, which is that of one open file, and
// whoever has it open by a duplicate.
func (p sysctlProbe) handle() (handle, bool) {
	var info unix.Stat_t
	err := unix.Fstat(int(p), &info)
	return handle{info.Ino, int(p)}, err == nil
}

// newEstate finds out which descriptor is what, and closes those that nobody
// spoke of.
func newEstate(h Handover) *estate {
	sockets, probes := sortDescriptors(h.Descriptors)
	e := &estate{byPlace: make(map[string][]*inheritance)}
	for _, holding := range h.Holdings {
		i := &inheritance{at: place{holding.Index, holding.Family}, instance: holding.Instance}
		if fd, found := probes[holding.Life]; found {
			i.life = sysctlProbe(fd)
			delete(probes, holding.Life)
		} else if holding.Life != 0 {
			i.life = endedProbe{} // the file of one that has ended has no inode to be told by
		}
		shared := newGroupRequest()
		for _, s := range holding.Sockets {
			fd, found := sockets[s.Cookie]
			if !found || !isOwn(fd, holding.Family) {
				continue
			}
			delete(sockets, s.Cookie)
			socket, err := ownSocket(holding.Family, fd, shared)
			if err != nil {
				_ = unix.Close(fd)
				continue
			}
			held := heldBy{socket: socket}
			if believes(fd, holding.Index, s.Channels) {
				held.channels = s.Channels
			}
			i.sockets = append(i.sockets, held)
		}
		e.byPlace[holding.Place] = append(e.byPlace[holding.Place], i)
	}
	for _, others := range []map[uint64]int{sockets, probes} {
		for _, fd := range others {
			_ = unix.Close(fd)
		}
	}
	return e
}

// sortDescriptors returns the sockets by their cookies, and the files of procfs
// by the numbers of their inodes. It closes the rest.
func sortDescriptors(descriptors []int) (sockets, probes map[uint64]int) {
	sockets, probes = make(map[uint64]int), make(map[uint64]int)
	for _, fd := range descriptors {
		unix.CloseOnExec(fd)
		all, number := sockets, uint64(0)
		var err error
		if number, err = unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_COOKIE); err != nil {
			all = probes
			var in unix.Statfs_t
			var info unix.Stat_t
			if err = cmp.Or(unix.Fstatfs(fd, &in), unix.Fstat(fd, &info)); err == nil && in.Type != unix.PROC_SUPER_MAGIC {
				err = unix.EINVAL
			}
			number = info.Ino
		}
		if _, twice := all[number]; err != nil || twice {
			_ = unix.Close(fd)
			continue
		}
		all[number] = fd
	}
	return sockets, probes
}

// isOwn reports whether a socket is of the kind that open returns.
func isOwn(fd int, f ifwatch.Family) bool {
	domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	kind, kindErr := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	return cmp.Or(err, kindErr) == nil && domain == domainOf(f) && kind == unix.SOCK_DGRAM
}

// believes reports whether a socket says of itself that it is a member of these
// channels at an index, and of no more sources of their groups.
func believes(fd, index int, channels []Channel) bool {
	sources := make(map[netip.Addr][]netip.Addr)
	for _, c := range channels {
		sources[c.Group] = append(sources[c.Group], c.Source)
	}
	for group, want := range sources {
		got, err := filterOf(fd, index, group, len(want)+1)
		slices.SortFunc(want, netip.Addr.Compare)
		slices.SortFunc(got, netip.Addr.Compare)
		if err != nil || !slices.Equal(got, want) {
			return false
		}
	}
	return true
}

// filterOf returns the sources of a group that a socket includes, at most so
// many; none where it excludes sources. The layout is that of struct
// group_filter.
func filterOf(fd, index int, group netip.Addr, most int) ([]netip.Addr, error) {
	filter := make([]byte, filterSourcesAt+most*storageSize)
	binary.NativeEndian.PutUint32(filter, uint32(index))
	putSockaddr(filter[storageAt:], group)
	binary.NativeEndian.PutUint32(filter[filterNumberAt:], uint32(most))
	size := uint32(len(filter))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), levelOf(ifwatch.FamilyOf(group)), unix.MCAST_MSFILTER,
		uintptr(unsafe.Pointer(&filter[0])), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return nil, errno
	}
	if binary.NativeEndian.Uint32(filter[filterModeAt:]) != unix.MCAST_INCLUDE {
		return nil, nil
	}
	count := min(int(binary.NativeEndian.Uint32(filter[filterNumberAt:])), most)
	sources := make([]netip.Addr, count)
	for n := range sources {
		sources[n] = sockaddrOf(filter[filterSourcesAt+n*storageSize:])
	}
	return sources, nil
}

func sockaddrOf(storage []byte) netip.Addr {
	if binary.NativeEndian.Uint16(storage) == unix.AF_INET {
		return netip.AddrFrom4([4]byte(storage[4:8]))
	}
	return netip.AddrFrom16([16]byte(storage[8:24]))
}
