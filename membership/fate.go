package membership

import (
	"cmp"
	"slices"
	"time"

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
	k.fates, k.goingOn = make(map[int]fate), make(map[place]bool)
	for _, i := range of {
		if i.life != nil {
			was, lives := k.fates[i.at.index], i.lives()
			k.fates[i.at.index] = fate{cmp.Or(was.instance, i.instance), was.goesOn || lives}
			k.goingOn[i.at] = k.goingOn[i.at] || lives
		}
	}
}

// fateSealed notes that what lived at an index has ended.
func (k *keeper) fateSealed(index int) {
	if f, told := k.fates[index]; told {
		k.fates[index] = fate{f.instance, false}
	}
	for _, f := range bothFamilies {
		delete(k.goingOn, place{index, f})
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

// goOn returns for which of a member's families it is attached to an instance
// still, whose life was handed over: none where it was not.
func (k *keeper) goOn(m *member, id ifwatch.ID) []ifwatch.Family {
	i := k.instances[id]
	if i == nil || len(m.resumed[id]) == 0 || !k.fates[i.now.Index].goesOn {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(m.resumed[id]), func(f ifwatch.Family) bool { return !k.goingOn[place{i.now.Index, f}] })
}

func (k *keeper) goesOn(m *member, id ifwatch.ID) bool { return len(k.goOn(m, id)) > 0 }

// isResumed reports whether a member was on an instance before an earlier manager
// ended, and is not yet again.
func (m *member) isResumed(id ifwatch.ID) bool {
	_, is := m.resumed[id]
	return is
}

// endResumes notes that an instance is gone: to members that were to go on there it
// is lost now.
func (k *keeper) endResumes(id ifwatch.ID, now time.Time) {
	for m := range k.resuming {
		if m.isResumed(id) {
			m.endResume(id)
			m.lostAt = now
			k.affected[m.rule] = struct{}{}
			k.touch(m)
		}
		if len(m.resumed) == 0 {
			delete(k.resuming, m)
		}
	}
}

// endResume notes that it is there again, or will not be. Of many members an empty
// map is some memory.
func (m *member) endResume(id ifwatch.ID) {
	if delete(m.resumed, id); len(m.resumed) == 0 {
		m.resumed = nil
	}
}
