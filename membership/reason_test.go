package membership

import (
	"fmt"
	"testing"

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
