package membership

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/reattach"
)

// restart ends the process and begins another one, which is handed the memory
// as it was stored. meanwhile happens while nobody watches. Nothing is wished
// for yet.
func (s *story) restart(meanwhile func()) {
	s.t.Helper()
	stored, err := json.Marshal(s.keeper.memory())
	if err != nil {
		s.t.Fatal(err)
	}
	s.keeper.shutdown(s.now)
	s.heard()
	meanwhile()
	s.keeper = newKeeper(s.kernel, s.expire, func(e Event) { s.events = append(s.events, e) })
	var memory Memory
	if err := json.Unmarshal(stored, &memory); err != nil {
		s.t.Fatal(err)
	}
	s.keeper.remembered, s.keeper.drainedBefore = memory.Memberships, memory.Drained
	s.keeper.newID = func() ifwatch.ID { s.lastID++; return s.lastID }
	s.told = make(map[int]ifwatch.Interface)
	for index, i := range s.table {
		s.lastID++
		i.ID = s.lastID
		s.table[index] = i
	}
	s.deliver()
}

func (s *story) nothing() {}

func sameMAC(name string) Membership {
	m := feed(name, "eth*", one)
	m.Rules.Policy = reattach.Policy{Kind: reattach.PolicySame, Same: []reattach.Attribute{reattach.MAC}}
	m.Rules.Ambiguous = reattach.AmbiguousOldest
	return m
}

// After a restart "same" means the instance that the process before had.
func TestMemorySame(t *testing.T) {
	s := joined(t, sameMAC("a"))
	s.restart(func() { s.remove(1); s.create(1, mac2) })
	s.put(sameMAC("a"))
	s.wantState("a", StateDetached, "eth1 (instance 3): same mac: wanted "+mac1+", found "+mac2)
	s.recreate(1, mac1)
	s.deliver()
	if status := s.status(t, "a"); status.State != StateJoined || status.Counters.Reattaches != 1 {
		t.Errorf("%+v", status)
	}
	s.sound()
}

// An interface that lives on was never lost, whatever its attributes are by
// now.
func TestMemoryOfALifeThatGoesOn(t *testing.T) {
	never := sameMAC("never")
	never.Rules.Policy = reattach.Policy{Kind: reattach.PolicyNever}
	s := joined(t, sameMAC("a"))
	s.put(never)
	s.restart(func() { s.rename(1, "eth7") })
	s.put(sameMAC("a"))
	s.put(never)
	for _, name := range []string{"a", "never"} {
		if status := s.status(t, name); status.State != StateJoined || status.Counters != (Counters{Attaches: 1}) {
			t.Errorf("%+v", status)
		}
	}
	s.sound()
}

// Whose policy is never has ended where the interface is gone by the restart,
// and one that has ended stays so, until it is changed.
func TestMemoryEnded(t *testing.T) {
	never := feed("a", "eth1", one)
	never.Rules.Policy = reattach.Policy{Kind: reattach.PolicyNever}
	s := joined(t, never)
	s.restart(func() { s.recreate(1, mac2) })
	s.put(never)
	s.wantState("a", StateEnded, "policy never: eth1 (instance 4) is gone")
	s.restart(s.nothing)
	s.put(never)
	s.wantState("a", StateEnded, "policy never: eth1 (instance 4) is gone")
	s.restart(s.nothing)
	never.Channels = []Channel{two}
	s.put(never)
	if status := s.status(t, "a"); status.State == StateEnded && status.Previous == nil {
		t.Errorf("%+v", status)
	}
}

// wantEndAfter wants a to end when its window is over, and not before.
func (s *story) wantEndAfter(window time.Duration) {
	s.t.Helper()
	s.later(window - time.Second)
	if status := s.status(s.t, "a"); status.State == StateEnded {
		s.t.Errorf("ended too soon: %s", status.Reason)
	}
	s.later(time.Second)
	if status := s.status(s.t, "a"); status.State != StateEnded {
		s.t.Errorf("at the end of its window it is %s: %s", status.State, status.Reason)
	}
}

// The window begins anew with the process, for what is lost. What lives on is not.
func TestMemoryWithin(t *testing.T) {
	windowed := func(settle time.Duration) Membership {
		m := feed("a", "eth1", one)
		m.Rules.Within, m.Rules.Settle, m.Rules.Require = 10*time.Minute, settle, []reattach.Requirement{reattach.RequireCarrier}
		return m
	}
	for _, settle := range []time.Duration{0, time.Second} {
		m := windowed(settle)
		s := joined(t, windowed(0))
		s.put(m)
		s.restart(s.nothing)
		s.put(m)
		s.later(settle)
		if status := s.status(t, "a"); status.State != StateJoined || status.Counters.Reattaches != 0 {
			t.Errorf("settle %s: nothing changed, and it is %s: %s", settle, status.State, status.Reason)
		}
		s.later(20 * time.Minute)
		s.restart(func() { s.remove(1) })
		s.put(m)
		s.wantEndAfter(10 * time.Minute)
	}

	s := joined(t, windowed(0))
	s.restart(func() { s.alter(1, func(i *ifwatch.Interface) { i.Carrier, i.Running = false, false }) })
	s.put(windowed(0))
	s.later(time.Hour)
	if status := s.status(t, "a"); status.State == StateEnded || status.State == StateJoined {
		t.Errorf("what lives on without a carrier is %s: %s", status.State, status.Reason)
	}
	s.remove(1)
	s.deliver()
	s.wantEndAfter(10 * time.Minute)
}

// However the last of what was remembered goes, the window begins then.
func TestMemoryWithinThatEnds(t *testing.T) {
	base := feed("a", "eth*", one)
	base.Rules.Within, base.Rules.Require = 10*time.Minute, []reattach.Requirement{reattach.RequireCarrier}
	noCarrier := func(s *story) {
		s.alter(1, func(i *ifwatch.Interface) { i.Carrier, i.Running = false, false })
	}
	for name, test := range map[string]struct{ meanwhile, then func(*story) }{
		"failed over, and that is lost": {noCarrier, func(s *story) {
			s.create(2, mac2)
			s.deliver()
			s.remove(2)
			s.deliver()
		}},
		"another selector": {noCarrier, func(s *story) {
			m := base
			m.Rules.Selector = reattach.ByName("eth2")
			s.put(m)
			s.create(2, mac2)
			s.deliver()
			s.remove(2)
			s.deliver()
		}},
		"renamed, then removed": {func(s *story) { s.rename(1, "wan1") }, func(s *story) {
			s.remove(1)
			s.deliver()
		}},
		"the namespace is gone": {noCarrier, func(s *story) { s.keeper.vanish("gone", s.now) }},
	} {
		t.Run(name, func(t *testing.T) {
			s := joined(t, base)
			s.restart(func() { test.meanwhile(s) })
			s.put(base)
			s.later(time.Hour)
			if status := s.status(t, "a"); status.State == StateEnded {
				t.Fatalf("ended while the interface lives: %s", status.Reason)
			}
			test.then(s)
			s.wantEndAfter(10 * time.Minute)
			if n := len(s.keeper.resuming); n > 0 {
				t.Errorf("%d members are waited for yet", n)
			}
		})
	}
}

// With another selector a membership begins anew.
func TestMemoryOfAnotherSelector(t *testing.T) {
	s := joined(t, sameMAC("a"))
	s.restart(func() { s.recreate(1, mac2) })
	other := sameMAC("a")
	other.Rules.Selector = reattach.ByName("eth1")
	s.put(other)
	if status := s.status(t, "a"); status.State != StateJoined || status.Previous != nil {
		t.Errorf("%+v", status)
	}
}

// What was not added yet is remembered all the same, until a whole set comes
// without it.
func TestMemoryOfTheAbsent(t *testing.T) {
	s := joined(t, sameMAC("a"))
	s.restart(s.nothing)
	s.put(feed("b", "eth1", two))
	s.restart(s.nothing)
	if n := len(s.keeper.memory().Memberships); n != 2 {
		t.Errorf("%d memberships remembered, want 2", n)
	}
	s.apply(feed("b", "eth1", two))
	if n := len(s.keeper.memory().Memberships); n != 1 {
		t.Errorf("%d memberships remembered, want 1", n)
	}
}

// An index with another life is another instance, and nothing of another
// namespace is recognised.
func TestLifeIsAt(t *testing.T) {
	life := ifwatch.Interface{ID: 1, Index: 7, Name: "eth0", Kind: "veth", MAC: mac1}
	tunnel := ifwatch.Interface{ID: 1, Index: 8, Name: "tun0", Kind: "tun"}
	alter := func(i ifwatch.Interface, f func(*ifwatch.Interface)) ifwatch.Interface { f(&i); return i }
	for name, c := range map[string]struct {
		life Life
		at   string
		is   ifwatch.Interface
		want bool
	}{
		"the same":             {Life{Place: "here", Interface: life}, "here", life, true},
		"with another name":    {Life{Place: "here", Interface: life}, "here", alter(life, func(i *ifwatch.Interface) { i.ID, i.Name, i.MTU = 9, "x", 9000 }), true},
		"with another index":   {Life{Place: "here", Interface: life}, "here", alter(life, func(i *ifwatch.Interface) { i.Index = 8 }), false},
		"with another MAC":     {Life{Place: "here", Interface: life}, "here", alter(life, func(i *ifwatch.Interface) { i.MAC = mac2 }), false},
		"of another kind":      {Life{Place: "here", Interface: life}, "here", alter(life, func(i *ifwatch.Interface) { i.Kind = "vlan" }), false},
		"elsewhere":            {Life{Place: "here", Interface: life}, "there", life, false},
		"over":                 {Life{Place: "", Interface: life}, "", life, false},
		"a tunnel":             {Life{Place: "here", Interface: tunnel}, "here", tunnel, true},
		"a tunnel that it was": {Life{Place: "here", Interface: tunnel}, "here", alter(tunnel, func(i *ifwatch.Interface) { i.Name = "tun1" }), false},
	} {
		if got := c.life.isAt(c.at, c.is); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// An interface that lives, but is not accepted for now, is not forgotten.
func TestMemoryOfALifeThatIsDown(t *testing.T) {
	down := func(s *story) func() {
		return func() { s.alter(1, func(i *ifwatch.Interface) { i.Up = false }) }
	}
	s := joined(t, sameMAC("a"))
	s.restart(down(s))
	s.put(sameMAC("a"))
	s.remove(1)
	s.create(1, mac2)
	s.deliver()
	if status := s.status(t, "a"); status.State == StateJoined {
		t.Errorf("joined on a stranger: %+v", status)
	}

	s = joined(t, sameMAC("a"))
	s.restart(down(s))
	s.put(sameMAC("a"))
	s.restart(func() { s.recreate(1, mac2) })
	s.put(sameMAC("a"))
	if status := s.status(t, "a"); status.State == StateJoined {
		t.Errorf("joined on a stranger after two restarts: %+v", status)
	}
}

// What was drained stays so, for that life of it, and so does an approval.
func TestMemoryOfDecisions(t *testing.T) {
	s := joined(t, feed("a", "eth1", one))
	if _, err := s.keeper.drain("eth1", s.now); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s.restart(s.nothing)
		s.put(feed("a", "eth1", one))
		if status := s.status(t, "a"); status.State != StateHeld {
			t.Errorf("%+v", status)
		}
	}
	s.restart(func() { s.recreate(1, mac2) })
	s.put(feed("a", "eth1", one))
	if status := s.status(t, "a"); status.State != StateJoined || len(s.keeper.memory().Drained) != 0 {
		t.Errorf("%+v, %+v", status, s.keeper.memory().Drained)
	}

	m := feed("b", "eth*", one)
	m.Rules.Policy = reattach.Policy{Kind: reattach.PolicyApprove}
	s = joined(t, m)
	s.remove(1)
	s.create(2, mac2)
	s.alter(2, func(i *ifwatch.Interface) { i.Up = false })
	s.deliver()
	s.keeper.members["b"].approved = []ifwatch.ID{s.told[2].ID}
	s.restart(func() { s.alter(2, func(i *ifwatch.Interface) { i.Up = true }) })
	s.put(m)
	if status := s.status(t, "b"); status.State != StateJoined || status.Counters.Reattaches != 1 {
		t.Errorf("%+v", status)
	}
}
