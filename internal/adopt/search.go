package adopt

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// The bounds of a search for memberships on interfaces that are gone.
const (
	beyondHighest  = 64      // indexes above the highest that lives
	mostDeadPlaces = 1 << 16 // asked of one socket
)

// lackTime is how long what a socket lacks is searched for: it may be on its way to
// an interface that is gone again before the next look, and in no list therefore.
const lackTime = time.Minute

func (l *looker) lack(cookie uint64, group netip.Addr) {
	if l.lacking[cookie] == nil {
		l.lacking[cookie] = make(map[netip.Addr]time.Time)
	}
	l.lacking[cookie][group] = time.Now().Add(lackTime)
}

// toSearch returns the groups for which a socket is asked on indexes that no list
// has: all of them once, then those that it lacks.
func (l *looker) toSearch(found *Found) map[netip.Addr]bool {
	groups := make(map[netip.Addr]bool)
	lacking, now := l.lacking[found.cookie], time.Now()
	maps.DeleteFunc(lacking, func(_ netip.Addr, until time.Time) bool { return now.After(until) })
	for group := range lacking {
		groups[group] = true
	}
	if !l.searched[found.cookie] {
		l.searched[found.cookie] = true
		maps.Copy(groups, l.groups)
		if group := found.Local.Addr().Unmap(); group.IsMulticast() {
			groups[group] = true
		}
	}
	return groups
}

// lookForDead asks a socket that is seen for the first time, or that lacks
// something, on indexes that no list has: where no interface lives any more, or
// another one.
func (l *looker) lookForDead(found *Found, kernel lists) {
	groups := l.toSearch(found)
	if len(groups) == 0 {
		return
	}
	fd, err := l.process.fetch(found.FD)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	if cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_COOKIE); err != nil || cookie != found.cookie {
		return
	}
	budget := mostDeadPlaces
	for _, group := range slices.SortedFunc(maps.Keys(groups), netip.Addr.Compare) {
		for index := 1; index <= kernel.highest+beyondHighest && budget > 0; index++ {
			p := place{group, index}
			_, seen := l.seen[found.cookie][p]
			if budget--; !kernel.groups[p] && !seen {
				l.ask(fd, found, p, kernel)
			}
		}
	}
}
