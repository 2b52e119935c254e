package membership

import (
	"net/netip"
	"slices"
)

// parkingLot keeps sockets with entries of dead lives, unused, while another
// life has their index: closing them, or leaving, would take that life's
// memberships from whoever holds them.
type parkingLot struct {
	stale map[int][]staleSocket // by index, oldest first
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

func newParkingLot() *parkingLot { return &parkingLot{stale: make(map[int][]staleSocket)} }

func (l *parkingLot) freeOrPark(index int, s staleSocket) {
	if s.occupied(index) {
		l.stale[index] = append(l.stale[index], s)
		return
	}
	s.free()
}

func (l *parkingLot) closeOrPark(index int, s holdingSocket) {
	l.freeOrPark(index, staleSocket{memberSocket: s, free: s.close})
}

// takeEntry takes a caller's entry back out.
func (l *parkingLot) takeEntry(index int, socket cookie, group netip.Addr) (staleEntry, bool) {
	parked := l.stale[index]
	n := slices.IndexFunc(parked, func(s staleSocket) bool { return s.entry.socket == socket && s.entry.group == group })
	if n < 0 {
		return staleEntry{}, false
	}
	entry := parked[n].entry
	l.stale[index] = slices.Delete(parked, n, n+1)
	return entry, true
}

// vacate frees what can be freed at an index, after something there ended.
func (l *parkingLot) vacate(index int) {
	parked := l.stale[index]
	delete(l.stale, index)
	for _, s := range slices.Backward(parked) {
		l.freeOrPark(index, s)
	}
	slices.Reverse(l.stale[index]) // oldest first again
}

// vacateAll tries every index.
func (l *parkingLot) vacateAll() {
	for index := range l.stale {
		l.vacate(index)
	}
}
