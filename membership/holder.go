package membership

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// holder joins the channels of one family on one instance: on sockets of the
// manager's own, or on one of a caller.
type holder interface {
	// join returns where the channel was joined, for leave.
	join(Channel) (*sourceSet, error)
	leave(Channel, *sourceSet) error
	// expect says how many channels will be joined next.
	expect(int)
	// release leaves everything while the instance lives.
	release()
	// abandon frees what the kernel left behind when the instance, or the
	// family's protocol on it, died. It takes no membership from anyone:
	// what cannot be freed without that is parked.
	abandon(*parkingLot)
}

// errEnded says that the life of an interface ended before a join: the index
// may belong to another by now. It is looked at with each new socket, a handful
// of joins, since a look costs a tenth of a join.
var errEnded = fmt.Errorf("the interface is gone: %w", unix.ENODEV)

// fullness reports whether the kernel refused for want of room on the socket.
func fullness(err error) bool {
	return errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.ENOMEM)
}

// ownSockets spreads channels over as many sockets as the kernel's limits a
// socket (groups, sources a group, option memory) ask for.
type ownSockets struct {
	kernel  kernel
	family  ifwatch.Family
	index   int
	ended   func() bool     // whether the life that this is for has ended
	sockets []*filledSocket // those with room last
	groups  map[netip.Addr]*sourceSet
	opened  uint64
}

// filledSocket is one socket and how many groups it has.
type filledSocket struct {
	holdingSocket
	number uint64 // greater is newer
	groups int
	full   bool // takes no further group
}

// sourceSet is one group on one socket.
type sourceSet struct {
	socket  *filledSocket
	sources int
	full    bool       // takes no further source
	next    *sourceSet // the same group on another socket
}

func newOwnSockets(k kernel, f ifwatch.Family, index int, ended func() bool) *ownSockets {
	return &ownSockets{kernel: k, family: f, index: index, ended: ended}
}

func (o *ownSockets) expect(channels int) {
	if len(o.groups) == 0 {
		o.groups = make(map[netip.Addr]*sourceSet, channels)
	}
}

func (o *ownSockets) join(c Channel) (*sourceSet, error) {
	first := o.groups[c.Group]
	for set := first; set != nil; set = set.next {
		if set.full {
			continue
		}
		err := set.socket.join(o.index, c)
		switch {
		case err == nil:
			set.sources++
			return set, nil
		case !fullness(err):
			return nil, err
		}
		set.full = true
	}
	for _, s := range slices.Backward(o.sockets) {
		if s.full {
			break // and so are all before it
		}
		if first.has(s) {
			continue
		}
		set, err := o.joinGroup(s, c, first)
		if !fullness(err) {
			return set, err
		}
		s.full = true
	}
	s, err := o.open()
	if err != nil {
		return nil, err
	}
	if o.ended() {
		o.discard(s)
		return nil, errEnded
	}
	set, err := o.joinGroup(s, c, first)
	if err != nil {
		o.discard(s)
	}
	return set, err
}

// has reports whether the group is on a socket.
func (set *sourceSet) has(s *filledSocket) bool {
	for ; set != nil; set = set.next {
		if set.socket == s {
			return true
		}
	}
	return false
}

// joinGroup joins the first source of a group on a socket.
func (o *ownSockets) joinGroup(s *filledSocket, c Channel, others *sourceSet) (*sourceSet, error) {
	if err := s.join(o.index, c); err != nil {
		return nil, err
	}
	s.groups++
	set := &sourceSet{socket: s, sources: 1, next: others}
	if o.groups == nil {
		o.expect(1)
	}
	o.groups[c.Group] = set
	return set, nil
}

func (o *ownSockets) open() (*filledSocket, error) {
	raw, err := o.kernel.open(o.family)
	if err != nil {
		return nil, fmt.Errorf("open socket: %w", err)
	}
	o.opened++
	s := &filledSocket{holdingSocket: raw, number: o.opened}
	o.sockets = append(o.sockets, s)
	return s, nil
}

func (o *ownSockets) discard(s *filledSocket) {
	s.close()
	o.sockets = slices.DeleteFunc(o.sockets, func(x *filledSocket) bool { return x == s })
}

func (o *ownSockets) leave(c Channel, set *sourceSet) error {
	err := set.socket.leave(o.index, c)
	set.sources--
	set.full = false
	if set.sources > 0 {
		return err
	}
	o.remove(c.Group, set)
	set.socket.groups--
	if set.socket.groups == 0 {
		o.discard(set.socket)
	} else if set.socket.full {
		o.makeRoom(set.socket)
	}
	return err
}

// remove takes an empty set from those of its group.
func (o *ownSockets) remove(group netip.Addr, set *sourceSet) {
	first := o.groups[group]
	if first == set {
		if set.next == nil {
			delete(o.groups, group)
		} else {
			o.groups[group] = set.next
		}
		return
	}
	for ; first.next != set; first = first.next {
	}
	first.next = set.next
}

// makeRoom puts a socket that a group left among those with room, which stand
// last.
func (o *ownSockets) makeRoom(s *filledSocket) {
	s.full = false
	o.sockets = slices.DeleteFunc(o.sockets, func(x *filledSocket) bool { return x == s })
	o.sockets = append(o.sockets, s)
}

// newestFirst returns the sockets in the order in which to close them: the
// kernel searches its list of groups from the newest on, so that the other
// order costs a search through all of them for each.
func (o *ownSockets) newestFirst() []*filledSocket {
	return slices.SortedFunc(slices.Values(o.sockets), func(a, b *filledSocket) int { return cmp.Compare(b.number, a.number) })
}

func (o *ownSockets) release() {
	for _, s := range o.newestFirst() {
		s.close()
	}
	o.forget()
}

func (o *ownSockets) abandon(lot *parkingLot) {
	for _, s := range o.newestFirst() {
		lot.closeOrPark(o.index, s.holdingSocket)
	}
	o.forget()
}

func (o *ownSockets) forget() {
	o.sockets, o.groups = nil, nil
}

// parkingLot keeps sockets with entries of dead lives, unused, while another
// life has their index: closing them, or leaving, would take that life's
// memberships from whoever holds them.
type parkingLot struct {
	stale map[int][]staleSocket // by index, oldest first
}

// staleSocket is a socket that has entries of dead lives at one index.
type staleSocket struct {
	memberSocket
	free func() // gets rid of these
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
	l.freeOrPark(index, staleSocket{s, s.close})
}

// vacate frees what can be freed at an index, after something there ended.
func (l *parkingLot) vacate(index int) {
	parked := l.stale[index]
	if len(parked) == 0 {
		return
	}
	delete(l.stale, index)
	for _, s := range slices.Backward(parked) {
		l.freeOrPark(index, s)
	}
}

// vacateAll tries every index.
func (l *parkingLot) vacateAll() {
	for index := range l.stale {
		l.vacate(index)
	}
}
