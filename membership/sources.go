package membership

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// sourcesAtOnce is how many sources of a group one call asks for: what the
// kernel takes of a group on a socket, unless igmp_max_msf or mld_max_msf say
// otherwise.
func sourcesAtOnce(f ifwatch.Family) int {
	if f == ifwatch.IPv4 {
		return 10
	}
	return mostAtOnce
}

// mostAtOnce is the greater of the two.
const mostAtOnce = 64

// joinMore joins further sources of a group of which a set has the first alone,
// in one call. It returns how many: none where a call for each has to say why.
func (o *ownSockets) joinMore(set *sourceSet, first Channel, more []Channel) int {
	more = more[:min(len(more), sourcesAtOnce(o.family)-1)]
	if set.sources != 1 || len(more) < 2 {
		return 0
	}
	sources := append(o.sources[:0], first.Source)
	for _, c := range more {
		sources = append(sources, c.Source)
	}
	o.sources = sources
	if set.socket.setSources(o.index, first.Group, sources) != nil {
		return 0
	}
	set.sources += int32(len(more))
	set.socket.sources += len(more)
	return len(more)
}

// joinMore never speaks for a whole group of the caller's, who may have joined
// other sources of it.
func (c *callerSocket) joinMore(*sourceSet, Channel, []Channel) int { return 0 }

// The kernel's struct group_filter: an index, padded, the group, a mode, the
// number of sources, and these.
const (
	filterModeAt    = storageAt + storageSize
	filterNumberAt  = filterModeAt + 4
	filterSourcesAt = filterNumberAt + 4
)

func (r *groupRequest) fillFilter(index int, group netip.Addr, sources []netip.Addr) []byte {
	size := filterSourcesAt + len(sources)*storageSize
	if cap(r.filter) < size {
		r.filter = make([]byte, size)
	}
	filter := r.filter[:size]
	clear(filter)
	binary.NativeEndian.PutUint32(filter, uint32(index))
	putSockaddr(filter[storageAt:], group)
	binary.NativeEndian.PutUint32(filter[filterModeAt:], unix.MCAST_INCLUDE)
	binary.NativeEndian.PutUint32(filter[filterNumberAt:], uint32(len(sources)))
	for n, source := range sources {
		putSockaddr(filter[filterSourcesAt+n*storageSize:], source)
	}
	return filter
}

func (s *linuxSocket) setSources(index int, group netip.Addr, sources []netip.Addr) error {
	return s.request.do(s.conn, s.family, unix.MCAST_MSFILTER, s.request.fillFilter(index, group, sources))
}
