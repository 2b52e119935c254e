package membership

import (
	"cmp"
	"slices"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// fate is what became of a life that an earlier manager looked after, as its
// probes tell.
type fate struct {
	instance ifwatch.ID // what that manager called it
	goesOn   bool
}

// noteFates finds out which of the lives that were handed over go on. One does
// while a protocol's does.
func (k *keeper) noteFates(of []*inheritance) {
	k.fates = make(map[int]fate)
	for _, i := range of {
		if i.life != nil {
			was := k.fates[i.at.index]
			k.fates[i.at.index] = fate{cmp.Or(was.instance, i.instance), was.goesOn || i.lives()}
		}
	}
}

// fateSealed notes that what lived at an index has ended.
func (k *keeper) fateSealed(index int) {
	if f, told := k.fates[index]; told {
		k.fates[index] = fate{f.instance, false}
	}
	for _, f := range bothFamilies {
		delete(k.heldBefore, place{index, f})
	}
}

// isLife reports whether an interface is in the same life as one that an earlier
// manager told of. Where that handed over who lived at the index, nothing else
// counts; else what the interface is like has to do.
func (k *keeper) isLife(l Life, place string, now ifwatch.Interface) bool {
	if f, told := k.fates[now.Index]; told {
		return f.goesOn && l.Place == place && l.Interface.ID == f.instance
	}
	return l.isAt(place, now)
}

// noteHeldBefore notes what an earlier manager had joined.
func (k *keeper) noteHeldBefore(i *inheritance) {
	held := make(map[Channel]struct{})
	for _, s := range i.sockets {
		for _, c := range s.channels {
			held[c] = struct{}{}
		}
	}
	if k.heldBefore == nil {
		k.heldBefore = make(map[place]map[Channel]struct{})
	}
	k.heldBefore[i.at] = held
}

// hadJoined reports whether an earlier manager had joined any of a member's
// channels of a family on an instance.
func (k *keeper) hadJoined(i *instance, f ifwatch.Family, m *member) bool {
	held := k.heldBefore[place{i.now.Index, f}]
	return slices.ContainsFunc(m.wish.byFamily[f], func(c Channel) bool { _, is := held[c]; return is })
}
