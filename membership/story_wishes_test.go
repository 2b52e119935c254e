package membership

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ssmd-project/ssmd/reattach"
)

func TestStoryOneChannelInTwoMemberships(t *testing.T) {
	s := joined(t, feed("a", "eth1", one))
	s.put(feed("b", "eth*", one, two))
	s.wantEvents("attached b eth1 request", "state b eth1 joined request")
	s.wantKernel("1 joins, 0 leaves")
	s.keeper.delete("a", s.now)
	s.wantKernel("0 joins, 0 leaves")
	s.keeper.delete("b", s.now)
	s.wantKernel("0 joins, 2 leaves")
	s.sound()
}

func TestStoryApply(t *testing.T) {
	s := newStory(t)
	s.create(1, mac1)
	s.deliver()
	a, b := feed("a", "eth1", one, two, six), feed("b", "eth1", one)
	s.apply(a, b)
	s.wantKernel("3 joins, 0 leaves")
	s.heard()
	before := s.keeper.statusOfAll()

	s.now = s.now.Add(time.Hour)
	s.apply(b, a) // the same, in another order
	s.wantEvents("reloaded request")
	s.wantKernel("0 joins, 0 leaves")
	if diff := cmp.Diff(before, s.keeper.statusOfAll()); diff != "" {
		t.Errorf("status (-before +after):\n%s", diff)
	}

	s.apply(feed("a", "eth1", two), feed("b", "eth1", six), feed("c", "eth1", one)) // the channels change owners
	s.wantEvents("reloaded request", "attached c eth1 request", "state c eth1 joined request")
	s.wantKernel("0 joins, 0 leaves")

	s.apply(feed("d", "eth1", one, two, six)) // removed and added anew
	s.wantEvents("detached a eth1 request", "detached b eth1 request", "detached c eth1 request",
		"reloaded request", "attached d eth1 request", "state d eth1 joined request")
	s.wantKernel("0 joins, 0 leaves")

	s.apply()
	s.wantEvents("detached d eth1 request", "reloaded request")
	s.wantKernel("0 joins, 3 leaves")
	s.sound()
}

func TestStoryReloadedReason(t *testing.T) {
	s := newStory(t)
	s.apply(feed("a", "eth1", one), feed("b", "eth1", one))
	s.apply(feed("a", "eth2", one), feed("c", "eth1", one))
	var many []Membership
	for _, name := range []string{"g", "f", "e", "d", "c", "b", "a"} {
		many = append(many, feed(name, "eth3", one))
	}
	s.apply(many...)
	var got []string
	for _, e := range s.events {
		if e.Type == EventReloaded {
			got = append(got, e.Reason)
		}
	}
	want := []string{
		"2 memberships: 2 (a, b) added, 0 changed, 0 removed",
		"2 memberships: 1 (c) added, 1 (a) changed, 1 (b) removed",
		"7 memberships: 5 (b, d, e, f, g) added, 2 (a, c) changed, 0 removed",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestStoryChange(t *testing.T) {
	base := feed("a", "eth1", one, two)
	for name, test := range map[string]struct {
		to     Membership
		kernel string
		events []string
	}{
		"channels":              {feed("a", "eth1", two, six), "1 joins, 1 leaves", nil},
		"policy":                {with(base, func(r *reattach.Rules) { r.Policy.Kind = reattach.PolicyNever }), "0 joins, 0 leaves", nil},
		"selector that matches": {feed("a", "eth*", one, two), "0 joins, 0 leaves", nil},
		"selector that does not": {feed("a", "eth2", one, two), "0 joins, 2 leaves",
			[]string{"detached a eth1 request", "state a detached request"}},
		"require what is missing": {with(base, func(r *reattach.Rules) { r.Require = []reattach.Requirement{reattach.RequireAddress} }), "0 joins, 0 leaves", nil},
		"attach all":              {with(base, func(r *reattach.Rules) { r.Attach = reattach.AttachAll }), "0 joins, 0 leaves", nil},
		"other family":            {feed("a", "eth1", six), "1 joins, 2 leaves", nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := joined(t, base)
			s.put(test.to)
			s.wantEvents(test.events...)
			s.wantKernel(test.kernel)
			s.sound()
		})
	}
}

// Changed channels touch no attachment that on_change keeps.
func TestStoryChangeOfWhatIsKept(t *testing.T) {
	s := joined(t, feed("a", "eth1", one))
	s.rename(1, "wan1")
	s.deliver()
	s.wantEvents("state a wan1 joined request")
	s.wantState("a", StateJoined, "wan1 (instance 1) choice=attached, though name: wanted eth1, found wan1")
	s.put(feed("a", "eth1", one, two))
	s.wantEvents()
	s.wantKernel("1 joins, 0 leaves")
	s.put(with(feed("a", "eth1", one, two), func(r *reattach.Rules) { r.OnChange = reattach.OnChangeLeave }))
	s.wantEvents("detached a wan1 mismatch", "state a detached mismatch")
	s.wantState("a", StateDetached, "no interface matches name=eth1")
}

// From all interfaces to one: that which still matches stays, whichever it is.
func TestStoryChangeFromAllToOne(t *testing.T) {
	for _, stays := range []int{1, 2, 3} {
		s := newStory(t)
		for index := range 3 {
			s.create(index+1, mac1)
		}
		s.deliver()
		s.put(with(feed("a", "*", one), func(r *reattach.Rules) { r.Attach = reattach.AttachAll }))
		s.kernelDid()
		s.put(feed("a", ethernet(stays), one))
		s.wantKernel("0 joins, 2 leaves")
		s.wantCounters("a", Counters{Attaches: 3, Detaches: 2})
		if !s.hears(stays, one) {
			t.Errorf("%d hears nothing", stays)
		}
	}
}

// Changed to a family that does not live there, it is not attached there.
func TestStoryChangeToADeadFamily(t *testing.T) {
	s := joined(t, feed("a", "eth1", one))
	s.endIPv6(1)
	s.deliver()
	s.put(feed("a", "eth1", six))
	s.wantEvents("detached a eth1 request", "state a detached request")
	s.wantState("a", StateDetached, "eth1 (instance 1): protocol IPv6: wanted alive, found not alive at MTU 1000")
}

func TestStoryExplain(t *testing.T) {
	s := joined(t, feed("a", "eth1", one))
	s.create(2, mac1)
	s.deliver()
	if _, found := s.keeper.explain("b", s.now); found {
		t.Error("explained what is not there")
	}
	x, _ := s.keeper.explain("a", s.now)
	var got []string
	for _, i := range x.Interfaces {
		got = append(got, fmt.Sprint(i.Interface, " ", i.Attached, " ", i.Verdict.Result(), ": ", i.Verdict.Reason()))
	}
	want := []string{"eth1 true accept: matches name=eth1", "eth2 false reject: name: wanted eth1, found eth2"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("interfaces (-want +got):\n%s", diff)
	}
}

// Of an attachment to which something else led, the seconds count from that.
func TestStoryReattachSeconds(t *testing.T) {
	s := joined(t, with(feed("a", "eth*", one), func(r *reattach.Rules) {
		r.Policy = reattach.Policy{Kind: reattach.PolicySame, Same: []reattach.Attribute{reattach.MAC}}
	}))
	s.now = time.Now().Add(-time.Hour)
	s.create(2, mac2)
	s.remove(1)
	s.deliver()
	s.now = time.Now()
	s.put(feed("a", "eth*", one)) // which accepts eth2
	if took := s.status(t, "a").LastReattachSeconds; took == nil || *took > 60 {
		t.Errorf("took %v", took)
	}
}
