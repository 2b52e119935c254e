package membership

import (
	"slices"
	"time"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// recall gives a new member what is remembered of it. What it was attached to
// is lost; but where it lives, to attach there is no reattachment. Its window begins
// anew.
func (k *keeper) recall(m *member, now time.Time) {
	r, known := k.remembered[m.wish.name]
	if !known {
		return
	}
	delete(k.remembered, m.wish.name)
	if r.Selector != m.wish.selectorDigest {
		return
	}
	if r.Wish == m.wish.digest() {
		m.ended = r.Ended
	}
	place := k.placeOf()
	for _, l := range r.Lost {
		i, _ := k.recognise(l, place)
		m.lost = append(m.lost, &i)
	}
	if r.Previous != nil {
		i, _ := k.recognise(*r.Previous, place)
		m.previous = &i
	}
	for _, l := range r.Attached {
		i, lives := k.recognise(l, place)
		m.lost = append(m.lost, &i)
		if lives {
			if m.resumed == nil {
				m.resumed = make(map[ifwatch.ID][]ifwatch.Family)
				k.resuming[m] = struct{}{}
			}
			m.resumed[i.ID] = l.Families
			continue
		}
		m.previous = &i
	}
	m.lost = m.lost[max(0, len(m.lost)-longestLost):]
	if len(m.lost) > 0 {
		m.lostAt = now
	}
	for _, l := range r.Approved {
		if i, lives := k.recognise(l, place); lives {
			m.approved = append(m.approved, i.ID)
		}
	}
}

// recallDrained drains an instance that is seen for the first time where an
// earlier manager had.
func (k *keeper) recallDrained(i *instance) {
	if len(k.drainedBefore) == 0 {
		return
	}
	place := k.placeOf()
	k.drainedBefore = slices.DeleteFunc(slices.Clone(k.drainedBefore), func(l Life) bool {
		is := k.isLife(l, place, i.now)
		i.drained = i.drained || is
		if is {
			k.noteMemory()
		}
		return is
	})
}

// recognise returns the interface of a life with the ID that it has here, a
// new one where it is over.
func (k *keeper) recognise(l Life, place string) (i ifwatch.Interface, lives bool) {
	i = l.Interface
	if now := k.inLife(l, place); now != nil {
		now.known = true
		i.ID = now.now.ID
		return i, true
	}
	i.ID = k.newID()
	return i, false
}

// inLife returns the instance of a life, nil where it is over.
func (k *keeper) inLife(l Life, place string) *instance {
	for _, i := range k.instances {
		if k.isLife(l, place, i.now) {
			return i
		}
	}
	return nil
}
