package membership

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/reattach"
)

// apply makes wishes the whole set. What is wished for as before is not
// touched: its counts in the pools stay as they are, and only what differs in
// the sum is joined or left.
func (k *keeper) apply(wishes []*wish, now time.Time) { k.applyAfter(wishes, applied{}, now) }

// applied is what became of memberships, by name.
type applied struct {
	wished                  int
	added, changed, removed []string
}

func (a *applied) add(b applied) {
	a.wished += b.wished
	a.added = append(a.added, b.added...)
	a.changed = append(a.changed, b.changed...)
	a.removed = append(a.removed, b.removed...)
}

// String says how many, and names the first.
func (a applied) String() string {
	return fmt.Sprintf("%d memberships: %s added, %s changed, %s removed", a.wished, some(a.added), some(a.changed), some(a.removed))
}

func some(names []string) string {
	const shown = 5
	n := len(names)
	if n == 0 {
		return "0"
	}
	names = slices.Sorted(slices.Values(names))
	if n > shown {
		names = append(names[:shown], fmt.Sprintf("%d more", n-shown))
	}
	return fmt.Sprintf("%d (%s)", n, strings.Join(names, ", "))
}

// applyAfter is apply, and tells of it together with what was applied elsewhere.
func (k *keeper) applyAfter(wishes []*wish, elsewhere applied, now time.Time) {
	sum := k.exchange(wishes, now)
	sum.add(elsewhere)
	k.tell(Event{Time: now, Type: EventReloaded, Cause: CauseRequest, Reason: sum.String()})
	k.endRequest(now)
}

// applyQuietly is apply where another tells of it.
func (k *keeper) applyQuietly(wishes []*wish, now time.Time) applied {
	sum := k.exchange(wishes, now)
	k.endRequest(now)
	return sum
}

// exchange does on paper what apply does.
func (k *keeper) exchange(wishes []*wish, now time.Time) applied {
	sum := applied{wished: len(wishes)}
	wanted := make(map[string]*wish, len(wishes))
	for _, w := range wishes {
		wanted[w.name] = w
	}
	k.beginRequest(now)
	for name := range k.members {
		if wanted[name] == nil {
			sum.removed = append(sum.removed, name)
		}
	}
	slices.Sort(sum.removed)
	for _, name := range sum.removed {
		k.remove(k.members[name], now)
		k.noteMemory()
	}
	decided := make(map[*rule]decisions)
	for _, w := range wishes {
		switch m := k.members[w.name]; {
		case m == nil:
			m = k.enroll(w, now)
			if decided[m.rule] == nil {
				decided[m.rule] = make(decisions)
			}
			k.settleAlike(m, decided[m.rule], now)
			k.touch(m)
			sum.added = append(sum.added, w.name)
		case !m.wish.equal(w):
			k.change(m, w, now)
			sum.changed = append(sum.changed, w.name)
		}
	}
	if len(k.remembered) > 0 { // of what is not in the whole set
		k.noteMemory()
	}
	k.remembered = nil
	return sum
}

func (k *keeper) put(w *wish, now time.Time) {
	k.beginRequest(now)
	switch m := k.members[w.name]; {
	case m == nil:
		k.add(w, now)
	case !m.wish.equal(w):
		k.change(m, w, now)
	}
	k.endRequest(now)
}

func (k *keeper) delete(name string, now time.Time) bool {
	m := k.members[name]
	if m == nil {
		return false
	}
	k.beginRequest(now)
	k.remove(m, now)
	k.noteMemory()
	k.endRequest(now)
	return true
}

func (k *keeper) beginRequest(now time.Time) { k.cause, k.began = CauseRequest, now }

// endRequest joins and leaves what a request led to. The members that it
// concerned are judged already; no other is affected.
func (k *keeper) endRequest(now time.Time) {
	clear(k.affected)
	k.flush(now)
}

func (k *keeper) add(w *wish, now time.Time) {
	m := k.enroll(w, now)
	k.settleOne(m, now)
	k.touch(m)
}

// enroll makes a member, which is to be settled.
func (k *keeper) enroll(w *wish, now time.Time) *member {
	m := &member{wish: w, since: now, cause: CauseRequest}
	k.members[w.name] = m
	k.noteMemory()
	k.recall(m, now)
	k.enter(m)
	return m
}

func (k *keeper) remove(m *member, now time.Time) {
	for _, a := range slices.Clone(m.attachments) {
		k.leave(a, CauseRequest, "the membership was removed", now)
	}
	k.quit(m)
	k.totals.enter(m.state, "")
	delete(k.members, m.wish.name)
	delete(k.timed, m)
	delete(k.resuming, m)
}

// enter puts a member under the rule of its wish.
func (k *keeper) enter(m *member) {
	r := k.rules[m.wish.ruleKey]
	if r == nil {
		r = &rule{
			rules:    m.wish.rules,
			families: m.wish.families,
			members:  make(map[*member]struct{}),
			near:     make(map[ifwatch.ID]bool),
		}
		k.addRule(m.wish.ruleKey, r)
	}
	r.members[m] = struct{}{}
	if m.wish.reannounce.Every > 0 {
		k.periodic[m] = struct{}{}
	}
	k.everyDue = time.Time{}
	m.rule = r
}

// quit takes a member from its rule, which ends with the last.
func (k *keeper) quit(m *member) {
	delete(m.rule.members, m)
	delete(k.periodic, m)
	if len(m.rule.members) == 0 {
		k.removeRule(m.wish.ruleKey, m.rule)
	}
}

// change gives a member another wish. Where it may, it stays attached.
func (k *keeper) change(m *member, w *wish, now time.Time) {
	otherSocket := m.wish.socket != w.socket || m.wish.keep != w.keep
	otherSelector := m.wish.selectorKey != w.selectorKey
	kept := 0
	for _, a := range slices.Clone(m.attachments) {
		i := a.instance.now
		v := w.rules.Selector.Match(i)
		switch {
		case otherSocket:
			k.leave(a, CauseRequest, "the membership has another socket", now)
		case otherSelector && v.Result() == reattach.Reject:
			k.leave(a, CauseRequest, "the changed membership does not match: "+v.Reason(), now)
		case kept > 0 && w.rules.Attach == reattach.AttachOne:
			k.leave(a, CauseRequest, "the changed membership attaches to one interface", now)
		case !w.aliveOn(i):
			k.leave(a, CauseRequest, "the changed membership has no channels of a family that lives there", now)
		default:
			a.exchange(m.wish, w, k.line, now)
			kept++
		}
	}
	if otherSocket || otherSelector {
		// It begins anew: nothing takes the place of something else.
		m.lost, m.resumed, m.reattached, m.approved = nil, nil, nil, nil
	}
	k.quit(m)
	if m.wish.ruleKey != w.ruleKey {
		m.settling = nil // what settles was accepted by other rules
	}
	if m.ended != "" {
		m.lostAt = now // it has the whole window again
	}
	m.wish, m.ended, m.endedErr = w, "", nil
	k.noteMemory()
	k.enter(m)
	k.settleOne(m, now)
	k.touch(m)
}

// exchange replaces an attachment's channels. Those of a family that it had
// none of are wished for when the family is ready.
func (a *attachment) exchange(old, new *wish, l *line, now time.Time) {
	for _, f := range a.families() {
		p := a.pools.of(f)
		l.wish(a, p, without(new.channelsOf(f), old.channelsOf(f)), now)
		p.unwish(without(old.channelsOf(f), new.channelsOf(f)))
		l.unwished()
		if len(new.channelsOf(f)) == 0 {
			p.users--
			a.pools.set(f, nil)
		}
	}
}
