package membership

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/reattach"
)

// What a membership does because time has passed: it joins what was accepted
// for long enough (settle), ends (within), or is reattached again (limit).

// judgeDue judges the members whose time has come.
func (k *keeper) judgeDue(now time.Time) {
	var due []*member
	for m := range k.timed {
		if !now.Before(m.due) {
			due = append(due, m)
		}
	}
	if len(due) == 0 {
		return
	}
	slices.SortFunc(due, func(a, b *member) int { return strings.Compare(a.wish.name, b.wish.name) })
	k.cause, k.began = CauseTime, now
	for _, m := range due {
		k.settleOne(m, now)
	}
	clear(k.affected) // they are judged already
}

// nextDue returns when a member has to be judged next, zero for never.
func (k *keeper) nextDue() time.Time {
	var next time.Time
	for m := range k.timed {
		next = earlier(next, m.due)
	}
	return next
}

// earlier returns the earlier of two times, of which zero is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// schedule sets when a member that was judged so is to be judged again.
func (k *keeper) schedule(m *member, d decision, now time.Time) {
	rules := &m.rule.rules
	due := m.windowEnd()
	for _, since := range m.settling {
		due = earlier(due, since.Add(rules.Settle))
	}
	overLimit := func(c reattach.Candidate) bool { return c.Verdict.HeldBy(reattach.LimitRule) }
	if free := rules.Limit.Free(m.reattached); free.After(now) && slices.ContainsFunc(d.candidates, overLimit) {
		due = earlier(due, free)
	}
	m.due = due
	if due.IsZero() || m.ended != "" {
		delete(k.timed, m)
		return
	}
	k.timed[m] = struct{}{}
}

// noteSettling notes since when what was chosen is so.
func (k *keeper) noteSettling(m *member, d decision, now time.Time) {
	was := m.settling
	m.settling = nil
	if m.rule.rules.Settle == 0 {
		return
	}
	for _, id := range d.chosen {
		if m.attachedTo(id) != nil || m.isResumed(id) {
			continue
		}
		since, known := was[id]
		if !known {
			since = now
			m.cause = k.cause
		}
		if m.settling == nil {
			m.settling = make(map[ifwatch.ID]time.Time)
		}
		m.settling[id] = since
	}
}

// unsettled reports whether an instance was not chosen for long enough yet.
func (m *member) unsettled(id ifwatch.ID, now time.Time) bool {
	since, settling := m.settling[id]
	return settling && now.Before(since.Add(m.rule.rules.Settle))
}

// settlingReason says of what settles why it was accepted, and until when.
func (m *member) settlingReason(d decision) string {
	var parts []string
	for _, c := range d.candidates {
		if since, settling := m.settling[c.Interface.ID]; settling {
			parts = append(parts, fmt.Sprintf("%s %s; to settle until %s",
				c.Interface, c.Verdict.Reason(), reattach.Moment(since.Add(m.rule.rules.Settle))))
		}
	}
	return joinReasons(parts)
}

// showSettling adds to the verdicts on what settles that it does.
func (m *member) showSettling(d decision) {
	for n := range d.candidates {
		c := &d.candidates[n]
		if since, settling := m.settling[c.Interface.ID]; settling {
			c.Verdict.Checks = append(slices.Clip(c.Verdict.Checks), reattach.Check{
				Rule: "settle", Wanted: "accepted for " + m.rule.rules.Settle.String(),
				Found: "accepted since " + reattach.Moment(since), Result: reattach.Wait,
			})
		}
	}
}

// windowEnd returns when a member without attachments ends, zero for never.
func (m *member) windowEnd() time.Time {
	within := m.rule.rules.Within
	isGone := func(l *ifwatch.Interface) bool { return !m.isResumed(l.ID) } // what lives on is not lost
	if within == 0 || len(m.attachments) > 0 || !slices.ContainsFunc(m.lost, isGone) {
		return time.Time{}
	}
	return m.lostAt.Add(within)
}

// endWindow ends a member whose time to be reattached is over.
func (k *keeper) endWindow(m *member, now time.Time) {
	end := m.windowEnd()
	if m.ended != "" || end.IsZero() || now.Before(end) {
		return
	}
	lost := m.lost[len(m.lost)-1]
	k.end(m, fmt.Sprintf("within %s: nothing took the place of %s, lost at %s", m.rule.rules.Within, lost, reattach.Moment(m.lostAt)))
	m.cause = CauseTime
}

// circumstances are what besides the interfaces decides on a candidate.
func (k *keeper) circumstances(m *member, id ifwatch.ID, reattached []time.Time, now time.Time) reattach.Circumstances {
	return reattach.Circumstances{
		Drained:    k.instances[id].drained,
		Approved:   slices.Contains(m.approved, id),
		Reattached: reattached,
		Now:        now,
	}
}

// instanceNamed returns the instance that has a name now, or has it as an
// alternative one.
func (k *keeper) instanceNamed(name string) *instance {
	var alternative *instance
	for _, id := range slices.Sorted(maps.Keys(k.instances)) {
		switch i := k.instances[id]; {
		case i.now.Name == name:
			return i
		case slices.Contains(i.now.AltNames, name):
			alternative = i
		}
	}
	return alternative
}
