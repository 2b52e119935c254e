package membership

import (
	"net/netip"
	"slices"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// parkingLot keeps sockets with entries of dead lives, unused, while another
// life has their index: closing them, or leaving, would take that life's
// memberships from whoever holds them.
type parkingLot struct {
	stale map[place][]staleSocket // oldest first
	freed map[entryKey][]netip.Addr
}

// entryKey is a group on an index, as an entry of a caller's socket.
type entryKey struct {
	socket cookie
	index  int
	group  netip.Addr
}

// remember notes the sources of an entry that was freed, and not joined elsewhere.
func (l *parkingLot) remember(key entryKey, sources []netip.Addr) { l.freed[key] = sources }

// recall returns them, once.
func (l *parkingLot) recall(key entryKey) []netip.Addr {
	sources := l.freed[key]
	delete(l.freed, key)
	return sources
}

// place is where a life of a protocol is, or was.
type place struct {
	index  int
	family ifwatch.Family
}

// staleSocket is a socket that has entries of dead lives at one index.
type staleSocket struct {
	memberSocket
	free  func()     // gets rid of these
	entry staleEntry // which it is, on a caller's socket
}

// staleEntry is a group of a dead life on a caller's socket.
type staleEntry struct {
	socket   cookie
	group    netip.Addr
	channels []Channel
}

func newParkingLot() *parkingLot {
	return &parkingLot{stale: make(map[place][]staleSocket), freed: make(map[entryKey][]netip.Addr)}
}

func (l *parkingLot) freeOrPark(at place, s staleSocket) {
	if s.occupied(at.index) {
		l.stale[at] = append(l.stale[at], s)
		return
	}
	s.free()
}

func (l *parkingLot) closeOrPark(at place, s holdingSocket) {
	l.freeOrPark(at, staleSocket{memberSocket: s, free: s.close})
}

// sockets returns how many of the manager's own are parked.
func (l *parkingLot) sockets() int {
	n := 0
	for _, parked := range l.stale {
		for _, s := range parked {
			if s.entry.socket == 0 {
				n++
			}
		}
	}
	return n
}

// takeEntry takes a caller's entry back out.
func (l *parkingLot) takeEntry(at place, socket cookie, group netip.Addr) (staleEntry, bool) {
	parked := l.stale[at]
	n := slices.IndexFunc(parked, func(s staleSocket) bool { return s.entry.socket == socket && s.entry.group == group })
	if n < 0 {
		return staleEntry{}, false
	}
	entry := parked[n].entry
	if l.stale[at] = slices.Delete(parked, n, n+1); len(parked) == 1 {
		delete(l.stale, at)
	}
	return entry, true
}

// vacate frees what can be freed at a place, after something there ended. One
// look tells where nothing can.
func (l *parkingLot) vacate(at place) {
	parked := l.stale[at]
	if parked[0].occupied(at.index) {
		return
	}
	delete(l.stale, at)
	for _, s := range slices.Backward(parked) {
		l.freeOrPark(at, s)
	}
	slices.Reverse(l.stale[at]) // oldest first again
}

// vacateAll tries every place.
func (l *parkingLot) vacateAll() {
	for at := range l.stale {
		l.vacate(at)
	}
}

// closeAll frees everything, whoever has the indexes by now.
func (l *parkingLot) closeAll() {
	for at, parked := range l.stale {
		for _, s := range slices.Backward(parked) {
			s.free()
		}
		delete(l.stale, at)
	}
}
