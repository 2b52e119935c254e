package membership

import (
	"fmt"
	"testing"
	"time"

	"github.com/ssmd-project/ssmd/reattach"
)

// TestCheckSetMakesNothingTwice holds that what is as before is the very wish,
// and what differs in anything is another.
func TestCheckSetMakesNothingTwice(t *testing.T) {
	base := feed("a", "eth0", one, two)
	before := wishesOf(base, feed("b", "eth0", one))
	if before[0].terms != before[1].terms {
		t.Error("two that are judged alike share nothing")
	}
	changed := func(change func(*Membership)) Membership {
		m := base
		change(&m)
		return m
	}
	for name, test := range map[string]struct {
		now  Membership
		same bool
	}{
		"itself":          {base, true},
		"defaults":        {with(base, func(r *reattach.Rules) { r.Attach = reattach.AttachOne }), true},
		"channels":        {feed("a", "eth0", one), false},
		"selector":        {feed("a", "eth1", one, two), false},
		"policy":          {with(base, func(r *reattach.Rules) { r.Policy.Kind = reattach.PolicyNever }), false},
		"any range":       {changed(func(m *Membership) { m.AnyRange = AnyMulticastRange }), false},
		"netns":           {changed(func(m *Membership) { m.Namespace = "blue" }), false},
		"reannounce":      {changed(func(m *Membership) { m.Reannounce.Every = time.Minute }), false},
		"reannounce none": {changed(func(m *Membership) { m.Reannounce.On = []Trigger{} }), false},
		"a socket":        {on(base, &fakeConn{}), false},
		"other name":      {feed("c", "eth0", one, two), false},
	} {
		wishes, err := checkSet([]Membership{test.now}, before)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if same := wishes[0] == before[0]; same != test.same {
			t.Errorf("%s: the same is %t", name, same)
		}
	}
	if _, err := checkSet([]Membership{base, base}, before); err == nil {
		t.Error("a name twice is no error where it is known")
	}
}

// BenchmarkApply replaces a set of 10,000 memberships by one with another
// channel in one of them.
func BenchmarkApply(b *testing.B) {
	var sets [2][]Membership
	all := manyChannels(1, 10_000)
	for i, c := range all {
		sets[0] = append(sets[0], feed(fmt.Sprint("m", i), "eth0", c))
	}
	sets[1] = append([]Membership{}, sets[0]...)
	sets[1][77].Channels = []Channel{two}
	w := newWorld()
	last := wishesOf(sets[0]...)
	w.keeper.apply(last, time.Now())
	b.ReportAllocs()
	for n := 1; b.Loop(); n++ {
		wishes, err := checkSet(sets[n%2], last)
		if err != nil {
			b.Fatal(err)
		}
		w.keeper.apply(wishes, time.Now())
		last = wishes
	}
}
