package membership

import (
	"testing"
	"time"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/reattach"
)

func settling(m Membership, d time.Duration) Membership {
	return with(m, func(r *reattach.Rules) { r.Settle = d })
}

func (s *story) down(index int) { s.alter(index, func(i *ifwatch.Interface) { i.Up = false }) }
func (s *story) up(index int)   { s.alter(index, func(i *ifwatch.Interface) { i.Up = true }) }

// wantWake wants the keeper to have something to do after so long; zero for
// never.
func (s *story) wantWake(after time.Duration) {
	s.t.Helper()
	want := time.Time{}
	if after != 0 {
		want = s.now.Add(after)
	}
	if got := s.keeper.nextWake(); !got.Equal(want) {
		s.t.Errorf("wakes at %s, want %s", got, want)
	}
}

// What is accepted has to stay so for the time to settle; any break begins it
// anew.
func TestStorySettle(t *testing.T) {
	s := newStory(t)
	s.put(settling(feed("a", "eth1", one), 200*time.Millisecond))
	s.wantWake(0)
	s.heard()
	s.create(1, mac1)
	s.deliver()
	s.wantEvents("state a settling appeared")
	s.wantState("a", StateSettling, "eth1 (instance 1) matches name=eth1; to settle until 1970-01-01T00:16:40.200Z")
	s.wantWake(200 * time.Millisecond)
	s.later(199 * time.Millisecond)
	s.wantEvents()
	s.down(1)
	s.deliver()
	s.wantEvents("state a waiting appeared")
	s.wantWake(0)
	s.later(time.Minute)
	s.up(1)
	s.deliver()
	s.alter(1, func(i *ifwatch.Interface) { i.MTU = 1400 }) // the verdict stays
	s.later(100 * time.Millisecond)
	s.deliver()
	s.heard()
	s.wantKernel("0 joins, 0 leaves")
	if x, _ := s.keeper.explain("a", s.now); x.Interfaces[0].Verdict.Result() != reattach.Wait {
		t.Errorf("explained: %+v", x)
	}
	s.later(100 * time.Millisecond)
	s.wantEvents("attached a eth1 time", "state a eth1 joined time")
	s.wantState("a", StateJoined, "eth1 (instance 1) matches name=eth1")
	s.wantKernel("1 joins, 0 leaves")
	s.wantWake(0)
	s.down(1) // who is attached settles no more
	s.up(1)
	s.deliver()
	s.wantEvents()
	s.sound()
}

// A reattachment settles too, and each life of its own.
func TestStorySettleReattached(t *testing.T) {
	s := newStory(t)
	s.put(settling(feed("a", "eth1", one), time.Second))
	s.create(1, mac1)
	s.deliver()
	s.later(time.Second)
	s.heard()
	s.recreate(1, mac1)
	s.deliver()
	s.wantEvents("detached a eth1 removal", "state a settling appeared")
	s.later(900 * time.Millisecond)
	s.recreate(1, mac1)
	s.deliver()
	s.later(900 * time.Millisecond)
	s.later(99 * time.Millisecond)
	s.wantKernel("1 joins, 0 leaves")
	s.later(time.Millisecond)
	s.wantKernel("1 joins, 0 leaves")
	s.wantState("a", StateJoined, "eth1 (instance 3) matches name=eth1")
}

// Other rules begin the time anew, other channels don't, and what is put again
// changes nothing.
func TestStorySettleChanged(t *testing.T) {
	s := newStory(t)
	s.create(1, mac1)
	s.deliver()
	s.put(settling(feed("a", "eth1", one), time.Second))
	s.later(600 * time.Millisecond)
	s.put(settling(feed("a", "eth1", one), time.Second))
	s.put(settling(feed("a", "eth1", one, two), time.Second))
	s.later(400 * time.Millisecond)
	if got := s.status(t, "a"); got.State != StateJoined || got.Joined != 2 {
		t.Errorf("%+v", got)
	}
	s.put(settling(feed("b", "eth1", one), time.Second))
	s.later(600 * time.Millisecond)
	s.put(settling(feed("b", "eth*", one), time.Second))
	s.wantWake(time.Second)
	s.keeper.delete("b", s.now)
	s.wantWake(0)
	s.put(settling(feed("c", "eth1", one), time.Second))
	s.put(settling(feed("c", "eth1", one), 0))
	s.wantWake(0)
	s.wantState("c", StateJoined, "eth1 (instance 1) matches name=eth1")
}

// With attach: all, who was held against a loss is judged again as soon as another
// has taken the place.
func TestStoryAttachAllOnceNothingIsLost(t *testing.T) {
	s := newStory(t)
	s.put(with(feed("a", "eth*", one), func(r *reattach.Rules) {
		r.Attach = reattach.AttachAll
		r.Policy = reattach.Policy{Kind: reattach.PolicySame, Same: []reattach.Attribute{reattach.MAC}}
	}))
	s.create(1, mac1)
	s.deliver()
	s.remove(1)
	s.create(2, mac2)
	s.deliver()
	s.wantState("a", StateDetached, "eth2 (instance 2): same mac: wanted "+mac1+", found "+mac2)
	s.create(1, mac1)
	s.deliver()
	if got := len(s.status(t, "a").Attachments); got != 2 {
		t.Errorf("attached to %d, want both", got)
	}
	s.sound()
}

// What another took the place of meanwhile settles no more.
func TestStorySettleTaken(t *testing.T) {
	s := newStory(t)
	s.put(with(feed("a", "eth*", one), func(r *reattach.Rules) {
		r.Attach, r.Settle = reattach.AttachAll, time.Second
		r.Policy = reattach.Policy{Kind: reattach.PolicySame, Same: []reattach.Attribute{reattach.MAC}}
	}))
	s.create(1, mac1)
	s.create(2, mac2)
	s.deliver()
	s.later(time.Second)
	s.remove(2)
	s.recreate(1, mac1)
	s.deliver()
	s.later(300 * time.Millisecond)
	s.create(3, mac1)
	s.deliver()
	s.later(700 * time.Millisecond)
	s.wantState("a", StateJoined, "eth1 (instance 3) matches name=eth1 same mac="+mac1)
	s.wantWake(0)
	s.recreate(1, mac1)
	s.deliver()
	s.later(999 * time.Millisecond) // eth3 too is accepted since now only
	s.wantKernel("3 joins, 1 leaves")
}

func TestStoryWithin(t *testing.T) {
	m := with(feed("a", "eth1", one), func(r *reattach.Rules) { r.Within = time.Minute })
	s := joined(t, m)
	s.wantWake(0)
	s.remove(1)
	s.deliver()
	s.heard()
	s.wantWake(time.Minute)
	s.later(59 * time.Second)
	s.create(1, mac1)
	s.deliver()
	s.wantEvents("reattached a eth1 appeared", "state a eth1 joined appeared")
	s.wantWake(0)
	s.remove(1)
	s.deliver()
	s.heard()
	s.later(time.Minute)
	s.wantEvents("state a ended time")
	s.wantState("a", StateEnded, "within 1m0s: nothing took the place of eth1 (instance 2), lost at 1970-01-01T00:17:39.000Z")
	s.wantWake(0)
	s.create(1, mac1)
	s.deliver()
	s.wantEvents()
	s.put(with(m, func(r *reattach.Rules) { r.Within = time.Hour })) // begins anew
	s.wantEvents("reattached a eth1 request", "state a eth1 joined request")
}

// An interface that comes when the time is over comes too late, also where
// the timer is late too, and each of many members ends.
func TestStoryWithinTooLate(t *testing.T) {
	m := with(feed("a", "eth1", one), func(r *reattach.Rules) { r.Within = time.Minute })
	s := joined(t, m)
	b := m
	b.Name = "b"
	s.put(b)
	s.remove(1)
	s.deliver()
	s.now = s.now.Add(time.Minute)
	s.create(1, mac1)
	s.deliver()
	for _, name := range []string{"a", "b"} {
		if got := s.status(t, name); got.State != StateEnded {
			t.Errorf("%+v", got)
		}
	}
	s.put(with(m, func(r *reattach.Rules) { r.Within = 2 * time.Minute }))
	if got := s.status(t, "a"); got.State != StateJoined {
		t.Errorf("it has the whole window again: %+v", got)
	}
}

// A membership that waits for its first interface waits for ever, and so does
// one that is still attached elsewhere.
func TestStoryWithinNotLost(t *testing.T) {
	s := newStory(t)
	s.put(with(feed("a", "eth*", one), func(r *reattach.Rules) { r.Within, r.Attach = time.Minute, reattach.AttachAll }))
	s.later(time.Hour)
	s.create(1, mac1)
	s.create(2, mac1)
	s.deliver()
	s.remove(1)
	s.deliver()
	s.wantWake(0)
	s.remove(2)
	s.deliver()
	s.wantWake(time.Minute)
}

func limited(m Membership, count int, per time.Duration) Membership {
	return with(m, func(r *reattach.Rules) { r.Limit = reattach.Limit{Count: count, Per: per} })
}

func TestStoryLimit(t *testing.T) {
	s := joined(t, limited(feed("a", "eth1", one), 2, time.Minute))
	for range 2 {
		s.later(time.Second)
		s.recreate(1, mac1)
		s.deliver()
		s.wantEvents("detached a eth1 removal", "reattached a eth1 appeared", "state a eth1 joined appeared")
	}
	s.wantWake(0)
	s.later(time.Second)
	s.recreate(1, mac1)
	s.deliver()
	s.wantEvents("detached a eth1 removal", "state a held removal")
	s.wantState("a", StateHeld, "eth1 (instance 4): limit: wanted at most 2 reattachments in 1m0s, found as many already, until 1970-01-01T00:17:41.000Z")
	s.wantWake(58 * time.Second)
	s.remove(1)
	s.deliver()
	s.wantWake(0) // there is nothing to reattach to
	s.create(1, mac1)
	s.deliver()
	s.kernelDid()
	s.later(58*time.Second - 1)
	s.heard()
	s.wantKernel("0 joins, 0 leaves")
	s.later(1)
	s.wantEvents("reattached a eth1 time", "state a eth1 joined time")
	s.wantKernel("1 joins, 0 leaves")
	s.wantWake(0)
}

// Of two members of a rule with one history, but for how often they were
// reattached, one is held.
func TestStoryLimitOfEach(t *testing.T) {
	s := joined(t, limited(feed("a", "eth1", one), 1, time.Minute))
	s.recreate(1, mac1)
	s.deliver()
	s.put(limited(feed("b", "eth1", one), 1, time.Minute))
	s.recreate(1, mac1)
	s.deliver()
	if a, b := s.status(t, "a"), s.status(t, "b"); a.State != StateHeld || b.State != StateJoined {
		t.Errorf("a is %s (%s), b is %s (%s)", a.State, a.Reason, b.State, b.Reason)
	}
}

// With attach all each reattachment counts, also of several at once.
func TestStoryLimitAttachAll(t *testing.T) {
	s := newStory(t)
	s.put(limited(with(feed("a", "eth*", one), func(r *reattach.Rules) { r.Attach = reattach.AttachAll }), 1, time.Minute))
	s.create(1, mac1)
	s.create(2, mac1)
	s.deliver()
	s.recreate(1, mac1)
	s.recreate(2, mac1)
	s.deliver()
	s.wantCounters("a", Counters{Attaches: 3, Detaches: 2, Reattaches: 1})
	s.wantWake(time.Minute)
	s.later(time.Minute)
	s.wantCounters("a", Counters{Attaches: 4, Detaches: 2, Reattaches: 2})
	s.sound()
}

func TestStoryWhen(t *testing.T) {
	when, err := reattach.ParseWhen("candidate.mtu >= previous.mtu")
	if err != nil {
		t.Fatal(err)
	}
	s := joined(t, with(feed("a", "eth1", one), func(r *reattach.Rules) { r.When = when }))
	s.recreate(1, mac1)
	s.alter(1, func(i *ifwatch.Interface) { i.MTU = 1400 })
	s.deliver()
	s.wantEvents("detached a eth1 removal", "state a detached removal")
	s.wantState("a", StateDetached, "eth1 (instance 2): when: wanted candidate.mtu >= previous.mtu, found candidate.mtu 1400, previous.mtu 1500")
	s.alter(1, func(i *ifwatch.Interface) { i.MTU = 1500 })
	s.deliver()
	s.wantEvents("reattached a eth1 appeared", "state a eth1 joined appeared")
}

// Rules that differ only in what they say of time, or in the expression, are
// other rules.
func TestRuleKeyTellsTheRestApart(t *testing.T) {
	w1, _ := reattach.ParseWhen("true")
	w2, _ := reattach.ParseWhen("1 == 1")
	same, _ := reattach.ParseWhen("true")
	keys := map[string]int{}
	for n, rules := range []reattach.Rules{
		{}, {Settle: 1}, {Settle: 2}, {Within: 1}, {Limit: reattach.Limit{Count: 1, Per: 1}}, {Limit: reattach.Limit{Count: 1, Per: 2}},
		{When: w1}, {When: w2}, {Policy: reattach.Policy{Kind: reattach.PolicyApprove}},
	} {
		rules.Selector = reattach.ByName("eth0")
		w := wishOf(Membership{Name: "a", Channels: channels(one.String()), Rules: rules})
		if other, known := keys[w.ruleKey]; known {
			t.Errorf("rules %d and %d have one key", other, n)
		}
		keys[w.ruleKey] = n
	}
	key := func(w *reattach.When) string {
		return wishOf(with(feed("a", "eth0", one), func(r *reattach.Rules) { r.When = w })).ruleKey
	}
	if key(w1) != key(same) {
		t.Error("one expression, compiled twice, is two")
	}
}
