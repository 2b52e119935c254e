package membership

import (
	"slices"
	"sync"
	"sync/atomic"
)

// leftBehind has what managers had parked when they ended. Later ones close it:
// what comes and goes with each connection would otherwise use up the process's
// descriptors.
type leftBehind struct {
	count atomic.Int64 // so that a look at nothing takes no lock

	mu      sync.Mutex
	sockets []leftSocket // oldest first
}

type leftSocket struct {
	staleSocket
	index int
}

// ofThisProcess is what managers leave to later ones of the process.
var ofThisProcess leftBehind

func (linux) leftBehind() *leftBehind { return &ofThisProcess }

// take takes a manager's own sockets out of its lot. Callers' are theirs.
func (l *leftBehind) take(lot *parkingLot) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for at, parked := range lot.stale {
		lot.stale[at] = slices.DeleteFunc(parked, func(s staleSocket) bool {
			if s.entry.socket != 0 {
				return false
			}
			l.sockets = append(l.sockets, leftSocket{s, at.index})
			return true
		})
		if len(lot.stale[at]) == 0 {
			delete(lot.stale, at)
		}
	}
	l.count.Store(int64(len(l.sockets)))
}

// vacate closes what takes nothing from anybody by now.
func (l *leftBehind) vacate() {
	if l.count.Load() == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var kept []leftSocket
	for _, s := range slices.Backward(l.sockets) {
		if s.occupied(s.index) {
			kept = append(kept, s)
			continue
		}
		s.free()
	}
	slices.Reverse(kept) // oldest first again
	l.sockets = kept
	l.count.Store(int64(len(kept)))
}
