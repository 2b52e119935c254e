package membership

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// report ends a step: it tells of what the step led to, of the new attachments and
// of the members whose state changed.
func (k *keeper) report(now time.Time) {
	k.tellHeld()
	k.publishTold()
	for n := 0; n < len(k.touched); n++ {
		k.reportOn(k.touched[n], now)
		k.publishTold()
		k.touched[n].isTouched = false
	}
	k.touched = k.touched[:0]
}

func (k *keeper) reportOn(m *member, now time.Time) {
	if k.members[m.wish.name] != m {
		return
	}
	for _, a := range m.attachments {
		t := a.count()
		if !k.isUnderWay(a, t) {
			k.announce(a, now)
		}
		k.measure(a)
		k.reportRefusals(a, t, now)
	}
	state, reason := k.stateOf(m)
	if state == m.state && reason == m.reason {
		return
	}
	if state != m.state {
		m.since = now
	}
	k.totals.enter(m.state, state)
	was := m.state
	m.state, m.reason = state, reason
	e := Event{Time: now, Type: EventState, Membership: m.wish.name, State: state, Was: was, Cause: m.cause, Reason: reason, Err: m.err()}
	if len(m.attachments) > 0 && state == StateDegraded {
		e.Cause = CauseKernel
	}
	if len(m.attachments) > 0 {
		i := &m.attachments[0].instance.now
		e.Interface, e.Instance, e.Index = i.Name, i.ID, i.Index
	}
	k.tell(e)
}

// announce tells of an attachment once, after its joins were made.
func (k *keeper) announce(a *attachment, now time.Time) {
	if a.announced {
		return
	}
	a.announced = true
	m, i := a.member, a.instance.now
	e := Event{Time: now, Type: EventAttached, Membership: m.wish.name, Interface: i.Name, Instance: i.ID, Index: i.Index, Cause: a.cause, Reason: k.reasons.accepted(a)}
	if a.replaces != nil {
		e.Type, e.Reason = EventReattached, k.reasons.reattached(a)
	}
	if k.isUnderWay(a, a.count()) {
		e.Reason += "; it ends before all of its channels were joined"
	}
	k.tell(e)
}

// reportRefusals tells of refused joins, not of the same again. That the device
// is gone will be said by its removal.
func (k *keeper) reportRefusals(a *attachment, t tally, now time.Time) {
	if t.refused > a.refused && !errors.Is(t.first.err, unix.ENODEV) {
		a.member.counters.Errors += uint64(t.refused - a.refused)
		k.tell(Event{Time: now, Type: EventError, Membership: a.member.wish.name, Interface: a.instance.now.Name, Instance: a.instance.now.ID,
			Index: a.instance.now.Index, Cause: CauseKernel, Reason: fmt.Sprintf("join %s: %s", t.first.channel, k.explainRefusal(t.first)),
			Err: t.first.refusal()})
	}
	a.refused = t.refused
}
