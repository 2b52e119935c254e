package reattach

import (
	"fmt"
	"slices"
	"time"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// Limit bounds how often a membership is reattached: at most Count times
// within any span of Per. A Count of zero means no limit.
type Limit struct {
	Count int
	Per   time.Duration
}

// MaxLimit is the greatest Count of a Limit: so many times are remembered.
const MaxLimit = 1000

// String returns the limit as "5 in 1m0s".
func (l Limit) String() string { return fmt.Sprintf("%d in %s", l.Count, l.Per) }

// Free returns from when on one more reattachment is within the limit, after
// those of the past, oldest first. It is the zero time where none has to be
// waited for.
func (l Limit) Free(past []time.Time) time.Time {
	if l.Count <= 0 || len(past) < l.Count {
		return time.Time{}
	}
	return past[len(past)-l.Count].Add(l.Per)
}

// Recent returns what Free needs of the past, oldest first.
func (l Limit) Recent(past []time.Time) []time.Time {
	return past[len(past)-min(len(past), max(0, l.Count)):]
}

func (l Limit) validate() error {
	switch {
	case l.Count < 0 || l.Count > MaxLimit:
		return fmt.Errorf("limit: count %d, want 1 to %d, or 0 for no limit", l.Count, MaxLimit)
	case l.Count > 0 && l.Per <= 0:
		return fmt.Errorf("limit: per %s, want more than 0", l.Per)
	}
	return nil
}

// Circumstances are what besides the interfaces decides about one candidate.
type Circumstances struct {
	Drained    bool        // the candidate is to be left alone
	Approved   bool        // somebody said that the candidate may take a lost one's place
	Reattached []time.Time // when the membership was reattached, oldest first
	Now        time.Time
}

// Hold returns the verdict of Judge with what holds the candidate back though
// nothing of the interface does: that it is drained, that the limit is reached,
// or that an approval is missing. These come before the choice among several.
func (r Rules) Hold(v Verdict, candidate ifwatch.ID, c Circumstances) Verdict {
	v.Checks = slices.Clip(v.Checks) // copies of the verdict stay as they are
	if c.Drained {
		v.add(Check{Rule: DrainRule, Wanted: "an interface that is not drained", Found: "drained", Result: Held})
	}
	if v.Replaces != 0 && r.Limit.Count > 0 {
		v.add(r.Limit.check(c.Reattached, c.Now))
	}
	if v.Replaces != 0 && v.Replaces != candidate && r.Policy.Kind == PolicyApprove {
		check := Check{Rule: ApprovalRule, Wanted: fmt.Sprintf("somebody to approve instance %d", candidate), Found: "approval wanted", Result: Held}
		if c.Approved {
			check.Found, check.Result = "approved", Accept
		}
		v.add(check)
	}
	v.Checks = slices.Clip(v.Checks) // it may be shared and added to
	return v
}

// The rules of the checks that Hold adds.
const (
	DrainRule    = "drain"
	LimitRule    = "limit"
	ApprovalRule = "approval"
)

func (l Limit) check(past []time.Time, now time.Time) Check {
	c := Check{Rule: LimitRule, Wanted: fmt.Sprintf("at most %d reattachments in %s", l.Count, l.Per), Result: Accept}
	free := l.Free(past)
	if now.Before(free) {
		c.Found, c.Result = "as many already, until "+Moment(free), Held
		return c
	}
	c.Found = "fewer"
	return c
}

// Moment returns a time as it stands in reasons.
func Moment(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// HeldBy reports whether the verdict is held, and one of its checks of a rule
// holds it.
func (v Verdict) HeldBy(rule string) bool {
	return v.Result() == Held && slices.ContainsFunc(v.Checks, func(c Check) bool {
		return c.Rule == rule && c.Result == Held
	})
}
