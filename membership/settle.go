package membership

import (
	"maps"
	"slices"
	"time"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/reattach"
)

// settle judges the members of a rule and attaches and detaches them as the
// verdicts say. Nothing is joined or left before flush.
func (k *keeper) settle(r *rule, now time.Time) {
	if len(r.members) == 1 {
		for m := range r.members {
			k.settleOne(m, now)
		}
		return
	}
	decided := make(decisions)
	for m := range r.members {
		k.settleAlike(m, decided, now)
	}
}

// settleAlike is settleOne, but that members of equal history are decided for
// once.
func (k *keeper) settleAlike(m *member, decided decisions, now time.Time) {
	k.endWindow(m, now)
	h, alike := m.history()
	d, known := decided[h]
	if !alike || !known || !slices.EqualFunc(d.lost, m.lost, sameInterface) {
		d = k.decide(m, now)
		if alike {
			decided[h] = d
		}
	}
	k.carryOut(m, d, now)
}

func sameInterface(a, b *ifwatch.Interface) bool { return a == b || a.Equal(*b) }

// settleOne is settle for a single member.
func (k *keeper) settleOne(m *member, now time.Time) {
	k.endWindow(m, now)
	k.carryOut(m, k.decide(m, now), now)
}

// carryOut leaves what was not chosen and attaches to what was.
func (k *keeper) carryOut(m *member, d decision, now time.Time) {
	for _, a := range slices.Clone(m.attachments) {
		if !slices.Contains(d.chosen, a.instance.now.ID) {
			k.leave(a, CauseMismatch, "no longer matches: "+m.rule.rules.Selector.Match(a.instance.now).Reason(), now)
		}
	}
	k.loseResumed(m, d, now)
	k.noteSettling(m, d, now)
	if k.attachChosen(m, d, now) && (len(m.settling) > 0 || m.rule.rules.Attach == reattach.AttachAll) {
		k.settleOne(m, now) // less is lost now: the others are held against something else, or nothing
		return
	}
	k.schedule(m, d, now)
	if len(m.attachments) > 0 {
		if m.state != StateJoined { // the interface may have to do with it
			k.touch(m)
		}
		return
	}
	idle, reason := k.judgedIdle(m, m.stillNear(d))
	if idle != m.idle || reason != m.idleReason {
		k.touch(m)
	}
	m.idle, m.idleReason = idle, reason
}

// stillNear is a decision without what was left as the selector rejects it by now:
// nobody would tell when that is true no more.
func (m *member) stillNear(d decision) decision {
	d.candidates = slices.DeleteFunc(slices.Clone(d.candidates), func(c reattach.Candidate) bool {
		return c.Attached && !m.rule.near[c.Interface.ID]
	})
	return d
}

// loseResumed notes that what was attached before is left, where it was not chosen
// again.
func (k *keeper) loseResumed(m *member, d decision, now time.Time) {
	for _, id := range slices.Sorted(maps.Keys(m.resumed)) {
		if !k.goesOn(m, id) || slices.Contains(d.chosen, id) {
			continue
		}
		m.endResume(id)
		m.lostAt = now
		k.noteMemory()
		if at := slices.IndexFunc(m.lost, func(l *ifwatch.Interface) bool { return l.ID == id }); at >= 0 {
			m.previous = m.lost[at]
		}
	}
}
