package adopt

import (
	"cmp"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/internal/groupoption"
)

// State says what has become of a membership of a process's socket.
type State string

// The states.
const (
	StateJoined    State = "joined"     // the kernel holds it
	StateDeaf      State = "deaf"       // the socket believes in it and the kernel does not: nothing arrives
	StateAnySource State = "any-source" // not source-specific: not adopted
)

// Membership is what a socket has joined of a group on an index.
type Membership struct {
	Group     netip.Addr
	Index     int
	Interface string       // that lives at the index, or the last that was seen there; empty where none was
	Sources   []netip.Addr // sorted
	State     State
}

// Found is a socket of a process, and what it has joined.
type Found struct {
	Socket
	Memberships []Membership // sorted by group and index
}

// looker looks into a process, and remembers what nothing in the system tells
// later: where its sockets were members, and what the interfaces were called.
type looker struct {
	process   *Process
	strangers map[uint64]bool                     // inodes of its sockets that are no UDP sockets
	seen      map[uint64]map[place]string         // by the cookie of a socket
	searched  map[uint64]bool                     // cookies of sockets that were asked about interfaces that are gone
	lacking   map[uint64]map[netip.Addr]time.Time // by cookie and group: until when what it lacks is searched for
	names     map[int]string                      // of interfaces, by index
	called    map[uint64]map[netip.Addr]string    // by cookie and group: the interface that it was on for an earlier adopter; empty where it was on several
	groups    map[netip.Addr]bool                 // that any of its sockets was a member of
	namespace uint64                              // of the process; zero where nobody may know
}

// newLooker returns a looker that has seen something already, which it changes.
func newLooker(p *Process, seen map[uint64]map[place]string) *looker {
	called := make(map[uint64]map[netip.Addr]string)
	for cookie, places := range seen {
		called[cookie] = make(map[netip.Addr]string)
		for p, name := range places {
			noteCalled(called[cookie], p.group, name)
		}
	}
	return &looker{
		process: p, strangers: make(map[uint64]bool), seen: seen, searched: make(map[uint64]bool), called: called,
		lacking: make(map[uint64]map[netip.Addr]time.Time),
		names:   make(map[int]string), groups: make(map[netip.Addr]bool),
	}
}

// noteCalled notes what the interface of a group was called. An earlier daemon may
// have joined it on a later one of that name, and been killed before it stored so.
func noteCalled(called map[netip.Addr]string, group netip.Addr, name string) {
	if was, known := called[group]; known && was != name {
		name = ""
	}
	called[group] = name
}

// look returns the UDP sockets of the process, sorted by descriptor. Groups are such that a socket may have joined on an interface
// that is gone, besides those that the process itself is known to have joined.
func (l *looker) look(groups []netip.Addr) ([]Found, error) {
	inodes, err := l.process.sockets()
	if err != nil {
		return nil, err
	}
	l.forget(inodes)
	kernel, err := listsOf(l.process)
	if err != nil {
		return nil, err
	}
	l.namespace = namespaceOf(l.process)
	for _, g := range groups {
		l.groups[g] = true
	}
	all, err := l.lookAtEach(inodes, kernel)
	if err == nil && l.misses(all) {
		all, err = l.lookAgain(all, kernel)
	}
	if err != nil {
		return nil, err
	}
	l.forgetOthers(all)
	for n := range all {
		l.lookForDead(&all[n], kernel)
	}
	maps.Copy(l.names, kernel.names) // last: those of before are what a dead interface was called
	slices.SortFunc(all, func(a, b Found) int { return cmp.Compare(a.FD, b.FD) })
	return all, nil
}

// lookAtEach looks at the sockets of these inodes.
func (l *looker) lookAtEach(inodes map[uint64]int, kernel lists) (all []Found, err error) {
	for _, inode := range slices.Sorted(maps.Keys(inodes)) {
		found, err := l.lookAt(inode, inodes[inode], kernel)
		if _, refused := errors.AsType[*RefusedError](err); refused || errors.Is(err, ErrEnded) {
			return nil, err
		}
		if err == nil && found != nil {
			all = append(all, *found)
		}
	}
	return all, nil
}

// misses reports whether a socket that had something is not among these.
func (l *looker) misses(all []Found) bool {
	found := make(map[uint64]bool, len(all))
	for _, f := range all {
		found[f.cookie] = true
	}
	for cookie, places := range l.seen {
		if len(places) > 0 && !found[cookie] {
			return true
		}
	}
	return false
}

// lookAgain looks for what a first look missed: a socket that gets another
// descriptor while these are read is at neither of the two.
func (l *looker) lookAgain(all []Found, kernel lists) ([]Found, error) {
	inodes, err := l.process.sockets()
	if err != nil {
		return nil, err
	}
	had := make(map[uint64]bool, len(all))
	for _, f := range all {
		had[f.inode] = true
	}
	maps.DeleteFunc(inodes, func(inode uint64, _ int) bool { return had[inode] })
	more, err := l.lookAtEach(inodes, kernel)
	return append(all, more...), err
}

// forget drops what is known of sockets that are closed.
func (l *looker) forget(inodes map[uint64]int) {
	maps.DeleteFunc(l.strangers, func(inode uint64, _ bool) bool { _, open := inodes[inode]; return !open })
}

// forgetOthers drops what is known of all UDP sockets but these.
func (l *looker) forgetOthers(all []Found) {
	open := make(map[uint64]bool, len(all))
	for _, f := range all {
		open[f.cookie] = true
	}
	maps.DeleteFunc(l.seen, func(cookie uint64, _ map[place]string) bool { return !open[cookie] })
	maps.DeleteFunc(l.called, func(cookie uint64, _ map[netip.Addr]string) bool { return !open[cookie] })
	maps.DeleteFunc(l.searched, func(cookie uint64, _ bool) bool { return !open[cookie] })
	maps.DeleteFunc(l.lacking, func(cookie uint64, _ map[netip.Addr]time.Time) bool { return !open[cookie] })
}

// lookAt asks one socket everywhere where anything is joined, or was seen. It
// returns nil of what is no UDP socket, and where the descriptor leads to another
// one by now.
func (l *looker) lookAt(inode uint64, number int, kernel lists) (*Found, error) {
	if l.strangers[inode] {
		return nil, nil
	}
	fd, err := l.process.fetch(number)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	if inodeOf(fd) != inode {
		return nil, nil // another one came to the number meanwhile: this one is elsewhere, or closed
	}
	s, isUDP := describe(fd)
	if !isUDP {
		l.strangers[inode] = true
		return nil, nil
	}
	s.FD, s.inode = number, inode
	found := &Found{Socket: s}
	asked := make(map[place]bool)
	for p := range l.seen[s.cookie] {
		asked[p] = true
	}
	if !l.isElsewhere(s) {
		maps.Copy(asked, kernel.groups)
	}
	for p := range asked {
		l.ask(fd, found, p, kernel)
	}
	return found, nil
}

// isElsewhere reports whether a socket is in another network namespace than its
// process, of which the lists tell nothing.
func (l *looker) isElsewhere(s Socket) bool {
	return s.namespace != 0 && l.namespace != 0 && s.namespace != l.namespace
}

// place is where a socket may be a member: of a group, on an index.
type place struct {
	group netip.Addr
	index int
}

// ask adds what the socket has at a place.
func (l *looker) ask(fd int, found *Found, p place, kernel lists) {
	seen := l.seen[found.cookie]
	f, joined, err := groupoption.Read(fd, p.index, p.group)
	if err != nil || !joined || len(f.Sources) == 0 && !f.Exclude {
		if _, was := seen[p]; was {
			delete(seen, p)
			l.lack(found.cookie, p.group)
		}
		return
	}
	if seen == nil {
		seen = make(map[place]string)
		l.seen[found.cookie] = seen
	}
	l.groups[p.group] = true
	if _, was := seen[p]; !was {
		delete(l.lacking[found.cookie], p.group)
	}
	slices.SortFunc(f.Sources, netip.Addr.Compare)
	name, known := nameOf(fd, p.index)
	m := Membership{Group: p.group, Index: p.index, Interface: name, Sources: f.Sources, State: StateJoined}
	switch {
	case f.Exclude:
		m.State, m.Sources = StateAnySource, nil
	case known && name == "", !l.isElsewhere(found.Socket) && !kernel.groups[p] && l.stillMissing(fd, p):
		m.State = StateDeaf
		m.Interface = cmp.Or(seen[p], l.names[p.index], name, l.called[found.cookie][p.group])
	}
	seen[p] = m.Interface
	found.Memberships = append(found.Memberships, m)
	slices.SortFunc(found.Memberships, func(a, b Membership) int {
		return cmp.Or(a.Group.Compare(b.Group), cmp.Compare(a.Index, b.Index))
	})
}

// stillMissing reads the lists again: they may have been read before the join.
func (l *looker) stillMissing(fd int, p place) bool {
	again, err := listsOf(l.process)
	if err != nil || again.groups[p] {
		return false
	}
	_, joined, err := groupoption.Read(fd, p.index, p.group)
	return err == nil && joined
}
