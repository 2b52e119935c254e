package reattach

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ssmd-project/ssmd/ifwatch"
	"pgregory.net/rapid"
)

// outcome is what Choose came to, whatever the order.
func outcome(r Rules, candidates []Candidate) (chosen []ifwatch.ID, reasons map[ifwatch.ID]string) {
	candidates = slices.Clone(candidates)
	chosen = slices.Sorted(slices.Values(r.Choose(candidates)))
	reasons = make(map[ifwatch.ID]string)
	for _, c := range candidates {
		reasons[c.Interface.ID] = c.Verdict.Result().String() + ": " + c.Verdict.Reason()
	}
	return chosen, reasons
}

func TestOrderOfCandidatesDoesNotCount(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r, families, lost := drawRules(t), drawFamilies(t), drawLost(t)
		var candidates []Candidate
		for n := range rapid.IntRange(0, 5).Draw(t, "candidates") {
			i := drawInterface(t, ifwatch.ID(n+10))
			c := Candidate{Interface: i, Verdict: r.Judge(families, lost, i)}
			c.Attached = rapid.IntRange(0, 3).Draw(t, "attached") == 0
			candidates = append(candidates, c)
		}
		chosen, reasons := outcome(r, candidates)
		other, otherReasons := outcome(r, rapid.Permutation(candidates).Draw(t, "order"))
		if diff := cmp.Diff(chosen, other); diff != "" {
			t.Errorf("chosen: %s", diff)
		}
		if diff := cmp.Diff(reasons, otherReasons); diff != "" {
			t.Errorf("reasons: %s", diff)
		}
		attached := 0
		for _, c := range candidates {
			if c.Attached {
				attached++
			}
		}
		if r.Normalize().Attach == AttachOne && len(chosen) > max(1, attached) {
			t.Errorf("attach one: chosen %v", chosen)
		}
		judgedAgain := slices.Clone(candidates)
		r.Choose(judgedAgain)
		for _, c := range judgedAgain {
			checkVerdict(t, c.Verdict)
		}
	})
}

// Events of several interfaces, merged in any order that keeps each one's own,
// lead to the same verdicts: only how things are in the end counts. The same
// goes for the order in which instances were lost.
func TestOrderOfEventsDoesNotCount(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r, families, lost := drawRules(t), drawFamilies(t), drawLost(t)
		var histories [][]ifwatch.Interface
		for n := range rapid.IntRange(1, 4).Draw(t, "interfaces") {
			var history []ifwatch.Interface
			for range rapid.IntRange(1, 4).Draw(t, "events") {
				history = append(history, drawInterface(t, ifwatch.ID(n+10)))
			}
			histories = append(histories, history)
		}
		end := func(lost []ifwatch.Interface) ([]ifwatch.ID, map[ifwatch.ID]Result) {
			now := replay(r, families, lost, merge(t, histories))
			results := make(map[ifwatch.ID]Result)
			for _, c := range now {
				results[c.Interface.ID] = c.Verdict.Result()
			}
			chosen, _ := outcome(r, now)
			return chosen, results
		}
		chosen, results := end(lost)
		otherChosen, otherResults := end(rapid.Permutation(lost).Draw(t, "lost in another order"))
		if diff := cmp.Diff(chosen, otherChosen); diff != "" {
			t.Errorf("chosen: %s", diff)
		}
		if diff := cmp.Diff(results, otherResults); diff != "" {
			t.Errorf("results: %s", diff)
		}
	})
}

// replay judges at every event, as a manager that attaches to nothing would.
func replay(r Rules, families []ifwatch.Family, lost []ifwatch.Interface, events []ifwatch.Interface) []Candidate {
	latest := make(map[ifwatch.ID]Candidate)
	for _, i := range events {
		latest[i.ID] = Candidate{Interface: i, Verdict: r.Judge(families, lost, i)}
		var all []Candidate
		for _, c := range latest {
			all = append(all, c)
		}
		r.Choose(all)
	}
	var now []Candidate
	for _, c := range latest {
		now = append(now, c)
	}
	return now
}

func merge(t *rapid.T, histories [][]ifwatch.Interface) []ifwatch.Interface {
	left := slices.Clone(histories)
	var merged []ifwatch.Interface
	for {
		left = slices.DeleteFunc(left, func(h []ifwatch.Interface) bool { return len(h) == 0 })
		if len(left) == 0 {
			return merged
		}
		n := rapid.IntRange(0, len(left)-1).Draw(t, "next")
		merged, left[n] = append(merged, left[n][0]), left[n][1:]
	}
}
