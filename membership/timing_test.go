package membership

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// timing is what a model remembers of when things happened.
type timing struct {
	rules      map[string]string // the rule key of each membership
	since      map[string]map[ifwatch.ID]time.Time
	reattached map[string][]time.Time
	seen       map[*attachment]bool
	read       int // events
	wrong      error
}

func newTiming() *timing {
	return &timing{seen: make(map[*attachment]bool), rules: make(map[string]string), since: make(map[string]map[ifwatch.ID]time.Time), reattached: make(map[string][]time.Time)}
}

// observeTiming compares what just happened with what was before.
func (w *model) observeTiming() {
	t := w.timing
	for _, e := range w.events[t.read:] {
		if e.Type == EventReattached && !strings.Contains(e.Reason, "it ends before") {
			times := append(t.reattached[e.Membership], w.beganAt(e))
			slices.SortFunc(times, time.Time.Compare) // they are told when their joins are made
			t.reattached[e.Membership] = times
		}
	}
	t.read = len(w.events)
	for _, name := range modelNames {
		m := w.keeper.members[name]
		if m == nil || t.rules[name] != m.wish.ruleKey {
			delete(t.since, name)
			delete(t.reattached, name)
			w.see(m) // what is attached stays so under other rules
		}
		delete(t.rules, name)
		if m != nil {
			t.rules[name] = m.wish.ruleKey
			t.wrong = errors.Join(t.wrong, w.unsettledJoin(m), w.overLimit(m), w.windowOver(m))
		}
	}
}

// beganAt returns when the attachment began that an event tells of: that may wait
// for the turns of its channels, so of one that ended first nothing is known.
func (w *model) beganAt(e Event) time.Time {
	if m := w.keeper.members[e.Membership]; m != nil {
		if a := m.attachedTo(e.Instance); a != nil {
			return a.since
		}
	}
	return e.Time
}

func (w *model) see(m *member) {
	if m == nil {
		return
	}
	for _, a := range m.attachments {
		w.timing.seen[a] = w.timing.seen[a] || m.rule.rules.Settle == 0 || a.since.Before(w.now)
	}
}

// untimely returns what happened at a wrong time.
func (w *model) untimely() error {
	w.observeTiming() // the step may have been a request
	return w.timing.wrong
}

// unsettledJoin returns an attachment that was made before the instance had
// been accepted for the time to settle.
func (w *model) unsettledJoin(m *member) error {
	settle, since := m.rule.rules.Settle, w.timing.since[m.wish.name]
	next := make(map[ifwatch.ID]time.Time)
	w.timing.since[m.wish.name] = next
	for _, a := range m.attachments {
		id := a.instance.now.ID
		if w.timing.seen[a] {
			continue
		}
		w.timing.seen[a] = true
		if began, known := since[id]; settle > 0 && (!known || w.now.Before(began.Add(settle))) {
			return fmt.Errorf("%s joined on instance %d at %s, accepted since %s", m.wish.name, id, w.now, began)
		}
	}
	for _, id := range w.keeper.decide(m, w.now).chosen {
		if m.attachedTo(id) != nil {
			continue
		}
		next[id] = w.now
		if began, known := since[id]; known {
			next[id] = began
		}
	}
	return nil
}

// overLimit returns a window in which there were too many reattachments.
func (w *model) overLimit(m *member) error {
	limit, times := m.rule.rules.Limit, w.timing.reattached[m.wish.name]
	for n := limit.Count; limit.Count > 0 && n < len(times); n++ {
		if apart := times[n].Sub(times[n-limit.Count]); apart < limit.Per {
			return fmt.Errorf("%s was reattached %d times within %s, limit %s", m.wish.name, limit.Count+1, apart, limit)
		}
	}
	return nil
}

// windowOver returns a membership that should have ended. Time passes in later
// only, which does what is due.
func (w *model) windowOver(m *member) error {
	if end := m.windowEnd(); !end.IsZero() && !w.now.Before(end) && m.state != StateEnded {
		return fmt.Errorf("%s is %s at %s, its window ended at %s", m.wish.name, m.state, w.now, end)
	}
	return nil
}

// drainedJoined returns an attachment to a drained instance.
func (w *model) drainedJoined() error {
	for _, i := range w.keeper.instances {
		if i.drained && len(i.attachments) > 0 {
			return fmt.Errorf("%s is drained, and %d memberships are attached", i.now, len(i.attachments))
		}
		for _, p := range i.pools {
			if i.drained && p.users > 0 {
				return fmt.Errorf("%s is drained, and %d memberships wish for channels", i.now, p.users)
			}
		}
	}
	return nil
}

// wake lets the time come at which something is due, where anything is.
func (w *model) wake() {
	if next := w.keeper.nextWake(); !next.IsZero() {
		w.later(max(0, next.Sub(w.now)))
	}
}

func (w *model) drainOrNot(name string) {
	if i := w.keeper.instanceNamed(name); i != nil && i.drained {
		_ = w.keeper.undrain(name, w.now)
		return
	}
	_, _ = w.keeper.drain(name, w.now) // it may not be told of yet
}

// TestWakesEnd holds that doing what is due comes to an end: nothing wakes for
// ever where nothing is refused.
func TestWakesEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &model{newWorld(), make(map[*fakeSocket]bool), make(map[stolenGroup]bool), newTiming(), &noting{noted: true}}
		for _, name := range modelNames[:3] { // a caller's small socket is tried for ever
			w.put(drawMembership(t, w.world, name))
		}
		for range rapid.IntRange(1, 6).Draw(t, "changes") {
			if i, exists := w.existing(t); exists {
				w.recreate(i, drawMAC.Draw(t, "mac"))
			} else {
				w.create(i, drawMAC.Draw(t, "mac"))
			}
			w.deliver()
		}
		for range 100 {
			if w.wake(); w.keeper.nextWake().IsZero() {
				return
			}
		}
		t.Fatalf("wakes still, next at %s, now %s", w.keeper.nextWake(), w.now)
	})
}

// TestOrderOfChangesDoesNotMatter delivers the same changes in another order.
func TestOrderOfChangesDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		one, other := &model{world: newWorld()}, &model{world: newWorld()}
		for _, name := range modelNames[:3] {
			m := drawMembership(t, one.world, name)
			one.put(m)
			other.put(m)
		}
		for range rapid.IntRange(1, 4).Draw(t, "rounds") {
			for range rapid.IntRange(1, 4).Draw(t, "changes") {
				i, mac := one.index(t), drawMAC.Draw(t, "mac")
				for _, w := range []*model{one, other} {
					if _, exists := w.truth[i]; exists {
						w.recreate(i, mac)
					} else {
						w.create(i, mac)
					}
				}
			}
			one.deliver()
			changes := other.take()
			changes.Changes = rapid.Permutation(changes.Changes).Draw(t, "order")
			other.keeper.observe(changes, other.now)
			pause := time.Duration(rapid.IntRange(0, 2000).Draw(t, "pause")) * time.Millisecond
			one.later(pause)
			other.later(pause)
		}
		a, b := one.keeper.statusOfAll(), other.keeper.statusOfAll()
		for _, s := range slices.Concat(a, b) {
			slices.SortFunc(s.Attachments, func(a, b Attachment) int { return int(a.Instance) - int(b.Instance) })
		}
		for n := range a {
			a[n].LastReattachSeconds, b[n].LastReattachSeconds = nil, nil // measured
			// Of several lost at once the last is any, and two may
			// take the place of the same one.
			a[n].Previous, b[n].Previous = nil, nil
			if a[n].State == StateEnded {
				a[n].Reason, b[n].Reason = "", ""
			}
			a[n].Counters.Reattaches, b[n].Counters.Reattaches = 0, 0
		}
		if diff := cmp.Diff(a, b); diff != "" {
			t.Fatal(diff)
		}
	})
}

// TestTimingAgainstModel is TestKeeperAgainstModel with little but time and
// interfaces that come and go, so that more of what takes time happens.
func TestTimingAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &model{newWorld(), make(map[*fakeSocket]bool), make(map[stolenGroup]bool), newTiming(), &noting{noted: true}}
		w.after = w.observeTiming
		for _, name := range modelNames[:3] {
			w.put(drawMembership(t, w.world, name))
		}
		interfaces, wishes, actions := w.interfaces(), w.wishes(), make(map[string]func(*rapid.T))
		for _, name := range []string{"create or remove", "recreate", "flap"} {
			change := interfaces[name]
			actions[name] = func(t *rapid.T) {
				change(t)
				w.deliver()
			}
		}
		for _, name := range []string{"a bit later", "what is next", "drain or not", "approve"} {
			actions[name] = wishes[name]
		}
		actions["soon"] = wishes["a bit later"]
		actions["again"] = actions["recreate"]
		actions[""] = func(t *rapid.T) {
			if err := errors.Join(w.robbed(), w.leaked(), w.drainedJoined(), w.untimely()); err != nil {
				t.Fatal(err)
			}
		}
		t.Repeat(actions)
	})
}
