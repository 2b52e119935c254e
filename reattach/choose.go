package reattach

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// Candidate is an instance with what is known of it for one membership.
type Candidate struct {
	Interface ifwatch.Interface
	Attached  bool    // the membership is attached to it now
	Verdict   Verdict // of Judge, where it is not attached
}

// Choose settles which instances a membership is to be attached to. It changes
// the verdicts of the candidates in place, adding a check "choice" wherever
// the number of attachments decides, and returns the IDs to be attached, in
// the order of the candidates.
//
// Attached instances come first: whoever is attached stays, but for one that
// the selector rejects under OnChangeLeave.
func (r Rules) Choose(candidates []Candidate) []ifwatch.ID {
	r = r.Normalize()
	var chosen []ifwatch.ID
	var accepted []int
	for i := range candidates {
		c := &candidates[i]
		if c.Attached {
			c.Verdict = r.stay(c.Interface)
		}
		switch {
		case c.Verdict.Result() != Accept:
		case c.Attached || r.Attach == AttachAll:
			chosen = append(chosen, c.Interface.ID)
		default:
			accepted = append(accepted, i)
		}
	}
	if len(accepted) == 0 {
		return chosen
	}
	byAge := func(a, b int) int { return cmp.Compare(candidates[a].Interface.ID, candidates[b].Interface.ID) }
	slices.SortFunc(accepted, byAge)
	if len(chosen) > 0 {
		hold(candidates, accepted, "one attachment", "another already attached")
		return chosen
	}
	winner := r.pick(accepted)
	if winner < 0 {
		hold(candidates, accepted, "one accepted interface", "several accepted: "+names(candidates, accepted))
		return nil
	}
	if len(accepted) == 1 {
		return []ifwatch.ID{candidates[winner].Interface.ID}
	}
	others := slices.DeleteFunc(slices.Clone(accepted), func(i int) bool { return i == winner })
	hold(candidates, others, "the "+string(r.Ambiguous), "another preferred: "+candidates[winner].Interface.String())
	return []ifwatch.ID{candidates[winner].Interface.ID}
}

// stay is the verdict on an instance that is attached. Only what the selector
// rejects is left, and only under OnChangeLeave: an attribute that it waits for
// was there before and may come back.
func (r Rules) stay(i ifwatch.Interface) Verdict {
	v := r.Selector.Match(i)
	result := v.Result()
	if result == Accept || result == Reject && r.OnChange == OnChangeLeave {
		return v
	}
	return Verdict{Checks: []Check{{
		Rule:   choiceRule,
		Wanted: "to stay attached",
		Found:  "attached, though " + v.Reason(),
		Result: Accept,
	}}}
}

// Leaves reports whether an attached instance is to be left because it does not
// match any more.
func (r Rules) Leaves(i ifwatch.Interface) bool {
	return r.OnChange == OnChangeLeave && r.stay(i).Result() != Accept
}

// pick returns which of the accepted candidates, oldest first, to attach to,
// -1 for none.
func (r Rules) pick(accepted []int) int {
	switch {
	case len(accepted) == 1 || r.Ambiguous == AmbiguousOldest:
		return accepted[0]
	case r.Ambiguous == AmbiguousNewest:
		return accepted[len(accepted)-1]
	}
	return -1
}

const choiceRule = "choice"

func hold(candidates []Candidate, which []int, wanted, found string) {
	for _, i := range which {
		v := &candidates[i].Verdict
		v.Checks = slices.Clip(v.Checks) // copies of the verdict stay as they are
		v.add(Check{Rule: choiceRule, Wanted: wanted, Found: found, Result: Held})
	}
}

// mostNames bounds how many interfaces a check names.
const mostNames = 8

func names(candidates []Candidate, which []int) string {
	var parts []string
	for n, i := range which {
		if n == mostNames {
			parts = append(parts, fmt.Sprintf("and %d more", len(which)-n))
			break
		}
		parts = append(parts, candidates[i].Interface.Name)
	}
	return strings.Join(parts, ", ")
}
