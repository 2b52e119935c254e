package membership

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// holder joins the channels of one family on one instance: on sockets of the
// manager's own, or on one of a caller.
type holder interface {
	// join returns where the channel was joined, for leave.
	join(Channel) (*sourceSet, error)
	// joinMore joins further channels of a group of which a set was joined
	// with one, where that takes fewer calls than one a channel. It returns
	// how many of them, from the first on, are joined.
	joinMore(set *sourceSet, first Channel, more []Channel) int
	leave(Channel, *sourceSet) error
	// isFull reports whether a further group may want the place of one that
	// is left.
	isFull() bool
	// rejoin leaves and joins at once, and says how long there was no
	// membership. After an error there is none, unless that is errEnded:
	// then nothing was touched.
	rejoin(Channel, *sourceSet) (time.Duration, error)
	// warmUp makes the next rejoin quick.
	warmUp()
	// free gets rid of what the socket believes to have of a group that the
	// kernel has lost, with these channels, so that it can be joined again.
	// It takes no membership from anyone.
	free(set *sourceSet, channels []Channel) error
	// has reports whether a group is joined.
	has(group netip.Addr) bool
	// openSockets returns how many sockets of the manager's own it has open.
	openSockets() int
	// expect says how many channels will be joined next, on an instance that
	// was just seen to live.
	expect(int)
	// takeInherited returns where a channel is joined already, since an
	// earlier manager did, nil where it is not.
	takeInherited(Channel) *sourceSet
	// release leaves everything while the instance lives.
	release()
	// retire is release at the manager's end.
	retire()
	// abandon frees what the kernel left behind when the instance, or the
	// family's protocol on it, died. It takes no membership from anyone:
	// what cannot be freed without that is parked.
	abandon()
}

// errEnded says that the life of an interface ended before a join: the index
// may belong to another by now. It is looked at with each new socket, a handful
// of joins, since a look costs a tenth of a join.
var errEnded = fmt.Errorf("the interface is gone: %w", unix.ENODEV)

// errNoRoomAtAll says that not even an empty socket took a channel.
var errNoRoomAtAll = errors.New("on an empty socket")

// fullness reports whether the kernel refused for want of room on the socket.
func fullness(err error) bool {
	return errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.ENOMEM)
}

// mostGroups bounds the groups of a socket where the kernel takes more: with each
// join it searches all that the socket has.
const mostGroups = 64

// ownSockets spreads channels over as many sockets as the kernel's limits a
// socket (groups, sources a group, option memory) ask for.
type ownSockets struct {
	kernel    kernel
	family    ifwatch.Family
	index     int
	lot       *parkingLot
	ended     func() bool              // whether the life that this is for has ended
	sockets   []*filledSocket          // the newest last
	roomy     []*filledSocket          // those that may take a further group
	round     uint64                   // of looking for a socket
	looked    bool                     // whoever called expect looked whether the life has ended
	spare     holdingSocket            // opened ahead, nil where none was
	inherited map[Channel]*sourceSet   // joined by an earlier manager, and not wished for yet
	lost      map[*sourceSet][]Channel // those that the kernel lost and that could not be freed, with what was joined of them
	limit     int                      // groups a socket takes, one source each; zero: not known yet

	// Channels mostly come sorted and stay, so that nobody asks which sets
	// a group has: sets lists them in order, the groups ascending, until
	// somebody does; then groups indexes them, and sets is nil.
	sets   []*sourceSet
	groups map[netip.Addr]*sourceSet
	fresh  []sourceSet // many are made at once

	sources []netip.Addr // of joinMore, to be filled anew
}

// filledSocket is one socket and how many groups it has.
type filledSocket struct {
	holdingSocket
	groups  int
	sources int
	full    bool   // not among the roomy
	stuck   bool   // has a group that it cannot leave but at somebody else's cost
	round   uint64 // in which it was seen to have the group that looks for room
}

// sourceSet is one group on one socket.
type sourceSet struct {
	group   netip.Addr
	socket  *filledSocket
	next    *sourceSet // the same group on another socket
	sources int32
	full    bool // takes no further source
}

func newOwnSockets(k kernel, f ifwatch.Family, index int, lot *parkingLot, ended func() bool) *ownSockets {
	return &ownSockets{kernel: k, family: f, index: index, lot: lot, ended: ended}
}

func (o *ownSockets) openSockets() int {
	if o.spare != nil {
		return len(o.sockets) + 1
	}
	return len(o.sockets)
}

func (o *ownSockets) expect(channels int) {
	if o.sets == nil && o.groups == nil {
		o.sets = make([]*sourceSet, 0, channels)
	}
	if len(o.fresh) < channels { // else they were expected before
		o.fresh = make([]sourceSet, channels)
	}
	o.looked = true
}

func (o *ownSockets) isFull() bool { return len(o.roomy) == 0 }

// setsOf returns the first of the sets that a group has.
func (o *ownSockets) setsOf(group netip.Addr) *sourceSet {
	if o.groups == nil {
		last := len(o.sets) - 1
		switch {
		case last < 0 || o.sets[last].group.Less(group):
			return nil
		case o.sets[last].group == group:
			return o.sets[last]
		}
		o.indexGroups()
	}
	return o.groups[group]
}

func (o *ownSockets) has(group netip.Addr) bool {
	if o.groups != nil {
		return o.groups[group] != nil
	}
	_, has := slices.BinarySearchFunc(o.sets, group, func(s *sourceSet, g netip.Addr) int { return s.group.Compare(g) })
	return has
}

func (o *ownSockets) indexGroups() {
	if o.groups != nil {
		return
	}
	o.groups = make(map[netip.Addr]*sourceSet, len(o.sets))
	for _, set := range o.sets {
		o.groups[set.group] = set // the last of a group leads to the others
	}
	o.sets = nil
}

func (o *ownSockets) join(c Channel) (*sourceSet, error) {
	looked := o.looked
	o.looked = false
	first := o.setsOf(c.Group)
	o.round++
	for set := first; set != nil; set = set.next {
		set.socket.round = o.round
		if set.full {
			continue
		}
		err := set.socket.join(o.index, c)
		switch {
		case err == nil:
			set.sources++
			set.socket.sources++
			return set, nil
		case !fullness(err):
			return nil, err
		}
		set.full = true
	}
	for _, s := range slices.Backward(o.roomy) {
		if s.round == o.round {
			continue
		}
		set, err := o.joinGroup(s, c, first)
		if !fullness(err) {
			return set, err
		}
		if s.sources == s.groups {
			o.limit = s.groups
		}
		o.fill(s)
	}
	return o.joinOnNew(c, first, looked)
}

// fill notes that a socket takes no further group.
func (o *ownSockets) fill(s *filledSocket) {
	s.full = true
	o.roomy = deleteLast(o.roomy, s)
}

// joinOnNew joins on a socket that is opened for it. It was just looked at
// whether the life has ended, or is now.
func (o *ownSockets) joinOnNew(c Channel, others *sourceSet, looked bool) (*sourceSet, error) {
	s, err := o.open()
	if err != nil {
		return nil, err
	}
	if !looked && o.ended() {
		o.discard(s)
		return nil, errEnded
	}
	set, err := o.joinGroup(s, c, others)
	if err != nil {
		o.discard(s)
	}
	if fullness(err) {
		err = fmt.Errorf("%w %w", err, errNoRoomAtAll)
	}
	return set, err
}

// joinGroup joins the first source of a group on a socket.
func (o *ownSockets) joinGroup(s *filledSocket, c Channel, others *sourceSet) (*sourceSet, error) {
	if err := s.join(o.index, c); err != nil {
		return nil, err
	}
	s.groups++
	s.sources++
	if s.groups == o.limit || s.groups >= mostGroups {
		o.fill(s)
	}
	if len(o.fresh) == 0 {
		o.fresh = make([]sourceSet, 1)
	}
	set := &o.fresh[0]
	o.fresh = o.fresh[1:]
	*set = sourceSet{group: c.Group, socket: s, sources: 1, next: others}
	if o.groups == nil {
		o.sets = append(o.sets, set)
	} else {
		o.groups[c.Group] = set
	}
	return set, nil
}

func (o *ownSockets) open() (*filledSocket, error) {
	raw := o.spare
	o.spare = nil
	if raw == nil {
		var err error
		if raw, err = o.kernel.open(o.family); err != nil {
			return nil, fmt.Errorf("open socket: %w", err)
		}
	}
	s := &filledSocket{holdingSocket: raw}
	o.sockets = append(o.sockets, s)
	o.roomy = append(o.roomy, s)
	return s, nil
}

func (o *ownSockets) discard(s *filledSocket) {
	o.close(s)
	o.sockets = deleteLast(o.sockets, s)
	if !s.full {
		o.roomy = deleteLast(o.roomy, s)
	}
}

// deleteLast takes a value out, looking for it from the end: what came last
// goes first.
func deleteLast[T comparable](values []T, value T) []T {
	for n, v := range slices.Backward(values) {
		if v == value {
			return slices.Delete(values, n, n+1)
		}
	}
	return values
}

func (o *ownSockets) rejoin(c Channel, set *sourceSet) (time.Duration, error) {
	if o.ended() {
		return 0, errEnded
	}
	gap, err := set.socket.rejoin(o.index, c)
	if err != nil {
		o.left(set)
	} else if set.sources == 1 {
		delete(o.lost, set)
	}
	return gap, err
}

func (o *ownSockets) warmUp() { o.kernel.warmUp(o.family) }
