package membership

import (
	"slices"
	"time"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/reattach"
)

// history is what, besides its rule, decides where a membership goes. Members
// of equal history get one decision.
type history struct {
	attached, lost ifwatch.ID
}

// decision is where the members of one history are to be attached, and why.
type decision struct {
	lost       []*ifwatch.Interface // what it was decided for
	candidates []reattach.Candidate
	chosen     []ifwatch.ID
}

// decisions are those of one step, for members of one rule.
type decisions map[history]decision

// history returns the member's history, and false where it has too much of it
// to be like another's.
func (m *member) history() (history, bool) {
	var h history
	if len(m.attachments) > 1 || len(m.lost) > 1 || len(m.reattached) > 0 || len(m.approved) > 0 || len(m.resumed) > 0 || m.ended != "" {
		return h, false
	}
	for _, a := range m.attachments {
		h.attached = a.instance.now.ID
	}
	for _, l := range m.lost {
		h.lost = l.ID
	}
	return h, true
}

// decide is pure but for reading the instances.
func (k *keeper) decide(m *member, now time.Time) decision {
	if m.ended != "" {
		return decision{}
	}
	ids := make([]ifwatch.ID, 0, len(m.rule.near)+len(m.attachments))
	for id := range m.rule.near {
		ids = append(ids, id)
	}
	for _, a := range m.attachments {
		ids = append(ids, a.instance.now.ID)
	}
	for id := range m.resumed {
		if k.goesOn(m, id) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	return k.decideAmong(m, ids, now)
}

func (k *keeper) decideAmong(m *member, ids []ifwatch.ID, now time.Time) decision {
	d := decision{lost: m.lost}
	lost := k.lostNext(m)
	reattached := slices.Clip(m.reattached)
	for _, id := range ids {
		c := reattach.Candidate{Interface: k.instances[id].now, Attached: m.attachedTo(id) != nil || k.goesOn(m, id)}
		if !c.Attached {
			v := m.rule.rules.Judge(m.rule.families, lost, c.Interface)
			if m.isResumed(id) {
				v.Replaces = 0 // it was there all the time
			}
			c.Verdict = m.rule.rules.Hold(v, id, k.circumstances(m, id, reattached, now))
			if m.rule.rules.Attach == reattach.AttachAll && c.Verdict.Result() == reattach.Accept && c.Verdict.Replaces != 0 {
				reattached = append(reattached, now) // each takes one of what the limit allows
			}
		}
		d.candidates = append(d.candidates, c)
	}
	d.chosen = m.rule.rules.Choose(d.candidates)
	return d
}

// lostNext returns what is lost once the attachments have ended that no longer
// match: what takes their place in the same step is held against them.
func (k *keeper) lostNext(m *member) []ifwatch.Interface {
	var lost []ifwatch.Interface
	for _, l := range m.lost {
		if !k.goesOn(m, l.ID) || m.rule.rules.Leaves(k.instances[l.ID].now) { // what goes on is not lost
			lost = append(lost, *l)
		}
	}
	for _, a := range m.attachments {
		if m.rule.rules.Leaves(a.instance.now) {
			lost = append(lost, *a.seen)
		}
	}
	if m.rule.rules.Attach == reattach.AttachOne {
		lost = lost[max(0, len(lost)-1):]
	}
	return lost
}
