package membership

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// estate is what an earlier manager handed over, until it is claimed.
type estate struct {
	mu      sync.Mutex
	byPlace map[string][]*inheritance // by the namespace
}

// inheritance is what an earlier manager held for a family at an index.
type inheritance struct {
	at       place
	instance ifwatch.ID // what the earlier manager called it
	life     lifeProbe  // nil where none was handed over: then nobody knows whose life it is
	sockets  []heldBy   // the newest last; without channels where it is not known which
}

// claim takes what there is of a namespace.
func (e *estate) claim(namespace string) []*inheritance {
	if e == nil {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	all := e.byPlace[namespace]
	delete(e.byPlace, namespace)
	return all
}

// rest takes what nobody claimed.
func (e *estate) rest() []*inheritance {
	if e == nil {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []*inheritance
	for _, some := range e.byPlace {
		all = append(all, some...)
	}
	e.byPlace = nil
	return all
}

// lives reports whether it is of the life that the index has now.
func (i *inheritance) lives() bool { return i.life != nil && !i.life.ended() }

// discard leaves everything, newest first, but nothing of a life that is not
// known to be the index's: that is parked.
func (i *inheritance) discard(lot *parkingLot) {
	for _, s := range slices.Backward(i.sockets) {
		if i.lives() {
			s.socket.close()
		} else {
			lot.closeOrPark(i.at, s.socket)
		}
	}
	i.close()
}

func (i *inheritance) close() {
	if i.life != nil {
		i.life.close()
	}
}

// closeAll closes everything, newest first, whoever has the index by now.
func (i *inheritance) closeAll() {
	for _, s := range slices.Backward(i.sockets) {
		s.socket.close()
	}
	i.close()
}

// inherit takes what an earlier manager held in this namespace. What is of a
// life that has ended is not taken over.
func (k *keeper) inherit(from *estate) {
	if from == nil {
		return
	}
	all := from.claim(k.placeOf())
	k.noteFates(all)
	for _, i := range all {
		if len(i.sockets) == 0 || k.inherited[i.at] != nil || !i.lives() {
			i.discard(k.parking)
			continue
		}
		if k.inherited == nil {
			k.inherited = make(map[place]*inheritance)
		}
		k.inherited[i.at] = i
	}
}

// takeOver puts into a holder what was handed over for an instance.
func (k *keeper) takeOver(i *instance, f ifwatch.Family, o *ownSockets) {
	at := place{i.now.Index, f}
	inheritance := k.inherited[at]
	if inheritance == nil {
		return
	}
	delete(k.inherited, at)
	if !inheritance.lives() {
		inheritance.discard(k.parking)
		return
	}
	for _, s := range inheritance.sockets {
		if len(s.channels) == 0 {
			k.parking.closeOrPark(at, s.socket) // joined in another life, or nobody knows
			continue
		}
		o.inherit(s)
	}
	inheritance.close()
}

// inherit adds a socket with what it holds.
func (o *ownSockets) inherit(s heldBy) {
	o.indexGroups()
	filled := &filledSocket{holdingSocket: s.socket}
	o.sockets, o.roomy = append(o.sockets, filled), append(o.roomy, filled)
	if o.inherited == nil {
		o.inherited = make(map[Channel]*sourceSet)
	}
	for _, c := range s.channels {
		set := o.groups[c.Group]
		for set != nil && set.socket != filled {
			set = set.next
		}
		if set == nil {
			set = &sourceSet{group: c.Group, socket: filled, next: o.groups[c.Group]}
			o.groups[c.Group] = set
			filled.groups++
		}
		set.sources++
		filled.sources++
		o.inherited[c] = set
	}
}

// takeInherited returns where a channel is that was handed over, nil where it was
// not.
func (o *ownSockets) takeInherited(c Channel) *sourceSet {
	set := o.inherited[c]
	delete(o.inherited, c)
	return set
}

// leaveInherited leaves what was handed over and nobody wants, as much as there is
// time for. In which order it was joined nobody knows any more.
func (o *ownSockets) leaveInherited(t *portion) {
	for c, set := range o.inherited {
		if !t.goesOn() {
			return
		}
		_ = o.leave(c, set) // it may have been lost
		delete(o.inherited, c)
	}
}

// endInheritance leaves what was handed over and is not wished for, once all is
// known that is.
func (k *keeper) endInheritance(now time.Time) {
	if !k.wishesKnown {
		return
	}
	k.goingOn = nil
	for at, inheritance := range k.inherited {
		i := k.instanceAt(at.index)
		if inheritance.lives() && (i == nil || !i.mayChange(at.family)) {
			continue // not before the watcher tells of it, or it is up
		}
		inheritance.discard(k.parking)
		delete(k.inherited, at)
	}
	for i := range k.inUse() {
		for key, p := range i.pools {
			if own, ok := p.holder.(*ownSockets); ok && len(own.inherited) > 0 && i.mayChange(key.family) && !k.over(i, key.family) {
				own.leaveInherited(k.portion)
				if len(own.inherited) > 0 {
					k.asked = append(k.asked, p)
					k.putOff(i, p, now)
				}
			}
		}
	}
}

func (k *keeper) instanceAt(index int) *instance {
	for _, i := range k.instances {
		if i.now.Index == index {
			return i
		}
	}
	return nil
}

// endInheritance is called when all is known that is wished for. What was handed
// over is compared with the kernel then, which may have lost some of it.
func (m *Manager) endInheritance(ctx context.Context) (all begun, err error) {
	if m.estate == nil {
		return nil, nil
	}
	for _, e := range m.all() {
		left, err := e.change(ctx, func() {
			k := e.keeper
			k.wishesKnown, k.suspicious = true, true
			k.flush(time.Now())
		})
		if err != nil {
			return nil, err
		}
		all = append(all, left...)
	}
	return all, m.do(ctx, func() {
		for _, i := range m.estate.rest() {
			i.discard(m.keeper.parking)
		}
		m.estate = nil
	})
}
