package membership

import (
	"testing"
	"time"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/reattach"
)

func TestStoryAttachAllSeveralLost(t *testing.T) {
	s := newStory(t)
	s.put(with(feed("a", "eth*", one), func(r *reattach.Rules) {
		r.Attach, r.Policy = reattach.AttachAll, reattach.Policy{Kind: reattach.PolicySame, Same: []reattach.Attribute{reattach.MAC}}
	}))
	s.create(1, mac1)
	s.create(2, mac2)
	s.deliver()
	s.remove(1)
	s.remove(2)
	s.deliver()
	s.heard()
	s.create(3, mac2)
	s.create(4, "02:00:00:00:00:03")
	s.deliver()
	s.wantEvents("reattached a eth3 appeared", "state a eth3 joined appeared")
	s.create(5, mac1)
	s.deliver()
	s.wantEvents("reattached a eth5 appeared", "attached a eth4 appeared", "state a eth3 joined appeared") // nothing is lost then
	s.wantState("a", StateJoined, "eth3 (instance 3) matches name=eth3 same mac=02:00:00:00:00:02; eth5 (instance 5) matches name=eth5 same mac=02:00:00:00:00:01; eth4 (instance 4) matches name=eth4")
	s.wantCounters("a", Counters{Attaches: 5, Detaches: 2, Reattaches: 2})
	s.sound()
}

func TestStoryPolicyNever(t *testing.T) {
	s := joined(t, with(feed("a", "eth*", one), func(r *reattach.Rules) { r.Policy.Kind = reattach.PolicyNever }))
	s.recreate(1, mac1)
	s.deliver()
	s.wantEvents("detached a eth1 removal", "state a ended removal")
	s.wantState("a", StateEnded, "policy never: eth1 (instance 1) is gone")
	s.create(2, mac1)
	s.deliver()
	s.wantEvents()
	if x, _ := s.keeper.explain("a", s.now); len(x.Channels) != 1 || x.Channels[0].Joined {
		t.Errorf("explained: %+v", x)
	}
	s.put(feed("a", "eth2", one)) // begins anew
	s.wantEvents("attached a eth2 request", "state a eth2 joined request")
}

// With policy never, an instance that was left lives on: it may be taken again,
// until it is gone.
func TestStoryPolicyNeverAfterLeaving(t *testing.T) {
	m := with(feed("a", "eth1", one), func(r *reattach.Rules) { r.Policy.Kind, r.OnChange = reattach.PolicyNever, reattach.OnChangeLeave })
	s := joined(t, m)
	s.rename(1, "wan1")
	s.deliver()
	s.wantEvents("detached a eth1 mismatch", "state a detached mismatch") // as it was when it matched
	s.rename(1, "eth1")
	s.deliver()
	s.wantEvents("reattached a eth1 appeared", "state a eth1 joined appeared")
	s.rename(1, "wan1")
	s.deliver()
	s.heard()
	s.remove(1)
	s.deliver()
	s.wantEvents("state a ended mismatch")
}

func TestStoryPolicySame(t *testing.T) {
	s := joined(t, with(feed("a", "eth*", one), func(r *reattach.Rules) {
		r.Policy = reattach.Policy{Kind: reattach.PolicySame, Same: []reattach.Attribute{reattach.MAC}}
	}))
	s.recreate(1, mac2)
	s.deliver()
	s.wantEvents("detached a eth1 removal", "state a detached removal")
	s.wantState("a", StateDetached, "eth1 (instance 2): same mac: wanted "+mac1+", found "+mac2)
	s.alter(1, func(i *ifwatch.Interface) { i.MAC = mac1 })
	s.deliver()
	s.wantEvents("reattached a eth1 appeared", "state a eth1 joined appeared")
}

// What takes the place of an interface that no longer matches is held against it,
// also where both are found in one step.
func TestStoryPolicySameAfterAMismatch(t *testing.T) {
	for name, want := range map[string]State{mac1: StateJoined, mac2: StateDetached} {
		t.Run(name, func(t *testing.T) {
			s := newStory(t)
			s.put(with(feed("a", "eth*", one), func(r *reattach.Rules) {
				r.Policy = reattach.Policy{Kind: reattach.PolicySame, Same: []reattach.Attribute{reattach.MAC}}
				r.OnChange = reattach.OnChangeLeave
				r.Ambiguous = reattach.AmbiguousOldest
			}))
			s.create(1, mac1)
			s.create(2, name)
			s.deliver()
			s.rename(1, "wan1")
			s.deliver()
			status := s.status(t, "a")
			if status.State != want || want == StateJoined && status.Counters.Reattaches != 1 {
				t.Errorf("%+v", status)
			}
		})
	}
}

// Members of one rule that lost one instance at different times remember it
// differently.
func TestStorySameRuleDifferentMemories(t *testing.T) {
	same := func(m Membership) Membership {
		return with(m, func(r *reattach.Rules) {
			r.Policy = reattach.Policy{Kind: reattach.PolicySame, Same: []reattach.Attribute{reattach.MAC}}
		})
	}
	s := newStory(t)
	s.create(1, mac1)
	s.deliver()
	s.put(same(feed("a", "eth1", one)))
	s.put(same(on(feed("b", "eth1", one), s.caller)))
	s.put(same(on(feed("b", "eth1", two), s.caller)))
	s.caller.socket.close()
	s.put(same(on(feed("b", "eth1", one), s.caller))) // ended: lost with the first MAC
	s.alter(1, func(i *ifwatch.Interface) { i.MAC = mac2 })
	s.deliver()
	s.keeper.members["b"].ended = "" // as if its socket were of use again
	s.recreate(1, mac2)
	s.caller.socket.closed = false
	s.deliver()
	if a, b := s.status(t, "a"), s.status(t, "b"); a.State != StateJoined || b.State != StateDetached {
		t.Errorf("a is %s (%s), b is %s (%s)", a.State, a.Reason, b.State, b.Reason)
	}
}

func TestStoryAmbiguity(t *testing.T) {
	two1 := func(rule reattach.Ambiguous) *story {
		s := newStory(t)
		s.put(with(feed("a", "eth*", one), func(r *reattach.Rules) { r.Ambiguous = rule }))
		s.create(1, mac1)
		s.create(2, mac1)
		s.deliver()
		return s
	}
	s := two1(reattach.AmbiguousHold)
	s.wantEvents("state a waiting request", "state a held request")
	const several = "choice: wanted one accepted interface, found several accepted: eth1, eth2"
	s.wantState("a", StateHeld, "eth1 (instance 1): "+several+"; eth2 (instance 2): "+several)
	s.now = s.now.Add(time.Hour)
	s.remove(1)
	s.deliver()
	s.wantEvents("attached a eth2 appeared", "state a eth2 joined appeared")

	for rule, want := range map[reattach.Ambiguous]string{reattach.AmbiguousOldest: "eth1", reattach.AmbiguousNewest: "eth2"} {
		s := two1(rule)
		s.wantEvents("state a waiting request", "attached a "+want+" appeared", "state a "+want+" joined appeared")
	}
}

func TestStoryNotReady(t *testing.T) {
	s := newStory(t)
	s.create(1, mac1)
	s.alter(1, func(i *ifwatch.Interface) { i.Up = false })
	s.deliver()
	s.put(feed("a", "eth1", one))
	s.wantState("a", StateWaiting, "eth1 (instance 1): require up: wanted up, found down")
	s.alter(1, func(i *ifwatch.Interface) { i.Up = true })
	s.deliver()
	s.heard()
	s.alter(1, func(i *ifwatch.Interface) { i.Up = false }) // the kernel restores it itself
	s.deliver()
	s.wantEvents()
	s.wantKernel("1 joins, 0 leaves")
}
