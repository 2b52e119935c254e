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
	join(Channel) error
	leave(Channel) error
	// release leaves everything while the instance lives.
	release()
	// abandon frees what the kernel left behind when the instance, or the
	// family's protocol on it, died. It takes no membership from anyone:
	// what cannot be freed without that is parked.
	abandon(*parkingLot)
}

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
	sockets []*filledSocket // oldest first
	groups  map[netip.Addr][]*sourceSet
	holding map[Channel]*sourceSet
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
	full    bool // takes no further source
}

func newOwnSockets(k kernel, f ifwatch.Family, index int) *ownSockets {
	return &ownSockets{kernel: k, family: f, index: index,
		groups: make(map[netip.Addr][]*sourceSet), holding: make(map[Channel]*sourceSet)}
}

func (o *ownSockets) join(c Channel) error {
	for _, set := range o.groups[c.Group] {
		if set.full {
			continue
		}
		err := set.socket.join(o.index, c)
		switch {
		case err == nil:
			set.sources++
			o.holding[c] = set
			return nil
		case !fullness(err):
			return err
		}
		set.full = true
	}
	for _, s := range slices.Backward(o.sockets) {
		if s.full {
			break // the older ones are full too, but for what left them
		}
		if o.has(s, c.Group) {
			continue
		}
		if err := o.joinGroup(s, c); !fullness(err) {
			return err
		}
		s.full = true
	}
	s, err := o.open()
	if err != nil {
		return err
	}
	if err := o.joinGroup(s, c); err != nil {
		o.discard(s)
		return err
	}
	return nil
}

func (o *ownSockets) has(s *filledSocket, group netip.Addr) bool {
	return slices.ContainsFunc(o.groups[group], func(set *sourceSet) bool { return set.socket == s })
}

// joinGroup joins the first source of a group on a socket.
func (o *ownSockets) joinGroup(s *filledSocket, c Channel) error {
	if err := s.join(o.index, c); err != nil {
		return err
	}
	s.groups++
	set := &sourceSet{socket: s, sources: 1}
	o.groups[c.Group] = append(o.groups[c.Group], set)
	o.holding[c] = set
	return nil
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

func (o *ownSockets) leave(c Channel) error {
	set := o.holding[c]
	if set == nil {
		return nil
	}
	delete(o.holding, c)
	err := set.socket.leave(o.index, c)
	set.sources--
	set.full = false
	if set.sources > 0 {
		return err
	}
	o.groups[c.Group] = slices.DeleteFunc(o.groups[c.Group], func(x *sourceSet) bool { return x == set })
	if len(o.groups[c.Group]) == 0 {
		delete(o.groups, c.Group)
	}
	set.socket.groups--
	if set.socket.groups == 0 {
		o.discard(set.socket)
	} else if set.socket.full {
		o.makeRoom(set.socket)
	}
	return err
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
	o.sockets = nil
	clear(o.groups)
	clear(o.holding)
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
