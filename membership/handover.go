package membership

import (
	"context"
	"errors"
	"slices"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// Handover is what a manager holds in the kernel, and what it remembers, for a
// later manager to go on from: the network is told nothing, and no datagram is
// lost. Its JSON, with the descriptors beside it, goes to another process.
type Handover struct {
	Memory   Memory    `json:"memory"`
	Holdings []Holding `json:"holdings"`

	// Descriptors are the sockets and life probes of the holdings, in no
	// order: they tell by themselves which they are. Some may be missing,
	// and others among them, which are closed.
	Descriptors []int `json:"-"`
}

// Holding is what is joined for a family at one interface index of one
// namespace. Where that is nothing, it tells of the life alone.
type Holding struct {
	Place    string         `json:"place"` // the namespace, as in Life
	Index    int            `json:"ifindex"`
	Instance ifwatch.ID     `json:"instance"` // as in the memory's lives, zero for none
	Family   ifwatch.Family `json:"family"`
	Life     uint64         `json:"life,omitempty"` // inode number of the life probe, zero for none
	Sockets  []HeldSocket   `json:"sockets"`        // the newest last
}

// HeldSocket is one socket of a holding.
type HeldSocket struct {
	Cookie   uint64    `json:"cookie"`             // SO_COOKIE
	Channels []Channel `json:"channels,omitempty"` // none: it has entries of a life that has ended
}

// handle tells a descriptor from all others, also in another process.
type handle struct {
	number     uint64
	descriptor int
}

// errNotTakenOver says that what an earlier manager held is not taken over yet.
var errNotTakenOver = errors.New("hand over: what was handed over before is not taken over yet; want an Apply first")

// HandOver gives what the manager holds to a function that hands it to another
// process. Nothing is joined or left before that returns; the descriptors are
// the manager's, to be duplicated. Where it returns nil the manager has ended:
// Run returns nil, and no group was left, but on callers' sockets. Where it
// returns an error, that is returned and the manager goes on. ErrStopped says that
// the manager had ended before.
func (m *Manager) HandOver(ctx context.Context, give func(Handover) error) error {
	if err := m.changing.Acquire(ctx, 1); err != nil {
		return err
	}
	defer m.changing.Release(1)
	if _, err := m.ready(ctx); err != nil {
		return err
	}
	if m.estate != nil {
		return errNotTakenOver
	}
	return handOver(ctx, m.all(), Handover{}, func(h Handover) error {
		if err := give(h); err != nil {
			return err
		}
		m.end()
		return nil
	})
}

// handOver holds the engines still, one within the other.
func handOver(ctx context.Context, engines []*engine, h Handover, give func(Handover) error) error {
	if len(engines) == 0 {
		return give(h)
	}
	e := engines[0]
	var giveErr error
	err := e.do(ctx, func() {
		h.Memory = h.Memory.with(e.keeper.memory())
		holdings, descriptors := e.keeper.holdings()
		h.Holdings = append(slices.Clip(h.Holdings), holdings...)
		h.Descriptors = append(slices.Clip(h.Descriptors), descriptors...)
		if giveErr = handOver(ctx, engines[1:], h, give); giveErr == nil {
			e.lastMemory = e.keeper.memory()
			e.keeper.surrender()
		}
	})
	if err != nil {
		return err
	}
	return giveErr
}

// holdings returns what the keeper's own sockets hold, and what would take
// somebody's membership if it were closed.
func (k *keeper) holdings() (all []Holding, descriptors []int) {
	namespace := k.placeOf()
	add := func(at place, probe lifeProbe, sockets []heldBy) {
		h := Holding{Place: namespace, Index: at.index, Family: at.family}
		if i := k.instanceAt(at.index); i != nil && probe != nil {
			h.Instance = i.now.ID
		}
		if probe != nil {
			if id, ok := probe.handle(); ok {
				h.Life = id.number
				descriptors = append(descriptors, id.descriptor)
			}
		}
		for _, s := range sockets {
			if id, ok := s.socket.handle(); ok {
				h.Sockets = append(h.Sockets, HeldSocket{Cookie: id.number, Channels: s.channels})
				descriptors = append(descriptors, id.descriptor)
			}
		}
		if len(h.Sockets) > 0 || h.Life != 0 {
			all = append(all, h)
		}
	}
	for _, i := range k.instances {
		for _, f := range bothFamilies {
			k.over(i, f) // after a rename a probe may be open only now
			var sockets []heldBy
			if p := i.pools[poolKey{family: f}]; p != nil {
				sockets = p.heldBySockets()
			}
			add(place{i.now.Index, f}, i.probes[f], sockets)
		}
	}
	for at, i := range k.inherited {
		add(at, i.life, i.sockets)
	}
	for at, parked := range k.parking.stale {
		var sockets []heldBy
		for _, s := range parked {
			if own, ok := s.memberSocket.(holdingSocket); ok {
				sockets = append(sockets, heldBy{socket: own})
			}
		}
		add(at, nil, sockets)
	}
	return all, descriptors
}

// heldBy is a socket of the manager's own with what it holds.
type heldBy struct {
	socket   holdingSocket
	channels []Channel
}

// heldBySockets returns what the pool joined, by socket, the newest last.
func (p *pool) heldBySockets() []heldBy {
	own := p.holder.(*ownSockets)
	channels := make(map[*filledSocket][]Channel, len(own.sockets))
	for e := range p.entries.all() {
		if e.order != 0 {
			channels[e.set.socket] = append(channels[e.set.socket], e.channel)
		}
	}
	for c, set := range own.inherited {
		channels[set.socket] = append(channels[set.socket], c)
	}
	all := make([]heldBy, 0, len(own.sockets))
	for _, s := range own.sockets {
		all = append(all, heldBy{s.holdingSocket, channels[s]})
	}
	return all
}

// surrender closes what another process has by now: no group is left. What is on
// callers' sockets is left as at any end.
func (k *keeper) surrender() {
	clear(k.cut)
	k.tellHeld()
	k.publishTold()
	for _, i := range k.instances {
		for _, p := range i.pools {
			p.holder.retire()
		}
		i.closeProbes()
		i.closeSpares()
	}
	clear(k.instances)
	for _, i := range k.inherited {
		i.closeAll()
	}
	k.inherited = nil
	k.line.clear()
	k.parking.closeAll()
	k.surrendered = true
}
