package membership

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/reattach"
)

// A reason stays a line however many interfaces there are.
func TestReasonsAreBounded(t *testing.T) {
	t.Parallel()
	down := reattach.Verdict{Checks: []reattach.Check{{Rule: "require up", Wanted: "up", Found: "down", Result: reattach.Wait}}}
	candidates := func(n int) []reattach.Candidate {
		all := make([]reattach.Candidate, n)
		for i := range all {
			all[i] = reattach.Candidate{Interface: ifwatch.Interface{ID: ifwatch.ID(i + 1), Name: fmt.Sprint("eth", i)}, Verdict: down}
		}
		return all
	}
	const one = "eth0 (instance 1): require up: wanted up, found down"
	if got := reasonFor(candidates(1)); got != one {
		t.Errorf("got %q, want %q", got, one)
	}
	want := one
	for i := 1; i < 4; i++ {
		want += fmt.Sprintf("; eth%d (instance %d): require up: wanted up, found down", i, i+1)
	}
	if got := reasonFor(candidates(4)); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	want += "; and 496 more"
	if got := reasonFor(candidates(500)); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Each membership is told whose place was taken, also where many share a verdict.
func TestReasonNamesTheReplaced(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.create(1, mac1)
	w.create(2, mac2)
	w.deliver()
	w.put(feed("a", "eth1", one))
	w.put(feed("b", "eth1", two))
	w.put(feed("c", "eth2", one))
	w.deliver()
	w.events = nil
	w.recreate(1, mac1)
	w.recreate(2, mac2)
	w.deliver()
	reasons := map[string]string{}
	for _, e := range w.events {
		if e.Type == EventReattached {
			reasons[e.Membership] = e.Reason
		}
	}
	want := map[string]string{
		"a": "eth1 (instance 3) matches name=eth1; takes the place of eth1 (instance 1)",
		"b": "eth1 (instance 3) matches name=eth1; takes the place of eth1 (instance 1)",
		"c": "eth2 (instance 4) matches name=eth2; takes the place of eth2 (instance 2)",
	}
	if diff := cmp.Diff(want, reasons); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Words that are kept are those of the verdict, the instance and what it replaces.
func TestReasonsAreKept(t *testing.T) {
	t.Parallel()
	var r reasons
	shared := reattach.Verdict{Checks: []reattach.Check{{Rule: "interface", Wanted: "name=eth7", Found: "name=eth7", Result: reattach.Accept}}}
	first, second := &ifwatch.Interface{ID: 1, Name: "eth1"}, &ifwatch.Interface{ID: 2, Name: "eth2"}
	for _, replaces := range []*ifwatch.Interface{first, first, second, first} {
		for _, verdict := range []reattach.Verdict{shared, {}} {
			a := &attachment{instance: &instance{now: ifwatch.Interface{ID: 7, Name: "eth7"}}, verdict: verdict, replaces: replaces}
			if got, want := r.reattached(a), r.accepted(a)+"; takes the place of "+replaces.String(); got != want {
				t.Errorf("%q, want %q", got, want)
			}
		}
	}
}
