package reattach

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// Requirement is what an instance must have before a join.
type Requirement string

// The requirements.
const (
	RequireUp      Requirement = "up"      // administratively up
	RequireCarrier Requirement = "carrier" // a link partner
	RequireAddress Requirement = "address" // an address of the channels' family that is not tentative
)

// Attach says how many instances a membership is attached to at a time.
type Attach string

// The numbers of attachments.
const (
	AttachOne Attach = "one" // the default
	AttachAll Attach = "all" // every accepted instance
)

// Ambiguous says what to do when AttachOne meets several accepted instances.
type Ambiguous string

// The ways out of an ambiguity.
const (
	AmbiguousHold   Ambiguous = "hold"   // join none; the default
	AmbiguousOldest Ambiguous = "oldest" // the one that was seen first
	AmbiguousNewest Ambiguous = "newest" // the one that was seen last
)

// OnChange says what becomes of an attached instance that the selector no
// longer matches.
type OnChange string

// What an attached instance's change leads to.
const (
	OnChangeKeep  OnChange = "keep"  // stay joined; the default
	OnChangeLeave OnChange = "leave" // leave
)

// Rules are all that decides where a membership is attached.
type Rules struct {
	Selector  Selector
	Policy    Policy
	Require   []Requirement // nil means RequireUp alone; empty and not nil means nothing
	Attach    Attach        // empty means AttachOne
	Ambiguous Ambiguous     // empty means AmbiguousHold
	OnChange  OnChange      // empty means OnChangeKeep

	// Settle is how long an instance must be accepted without a break
	// before it is joined; zero means at once. It goes for the first
	// attachment too.
	Settle time.Duration
	// Within is how long after a loss the membership may be reattached:
	// afterwards it has ended. Zero means forever.
	Within time.Duration
	// Limit holds back a membership that is reattached too often.
	Limit Limit
	// When must be true of a new instance and the lost one; nil asks
	// nothing.
	When *When
}

// Normalize returns the rules with their defaults spelled out.
func (r Rules) Normalize() Rules {
	if r.Policy.Kind == "" {
		r.Policy.Kind = PolicyMatch
	}
	if r.Require == nil {
		r.Require = []Requirement{RequireUp}
	}
	if r.Attach == "" {
		r.Attach = AttachOne
	}
	if r.Ambiguous == "" {
		r.Ambiguous = AmbiguousHold
	}
	if r.OnChange == "" {
		r.OnChange = OnChangeKeep
	}
	return r
}

// Equal reports whether two say the same: with their defaults spelled out, and
// expressions by their text.
func (r Rules) Equal(o Rules) bool {
	r, o = r.Normalize(), o.Normalize()
	return r.Selector.equal(&o.Selector) &&
		r.Policy.Kind == o.Policy.Kind && slices.Equal(r.Policy.Same, o.Policy.Same) && slices.Equal(r.Require, o.Require) &&
		r.Attach == o.Attach && r.Ambiguous == o.Ambiguous && r.OnChange == o.OnChange &&
		r.Settle == o.Settle && r.Within == o.Within && r.Limit == o.Limit && r.When.Equal(o.When)
}

// Validate returns every error in the rules, joined.
func (r Rules) Validate() error {
	r = r.Normalize()
	errs := make([]error, 0, 16) // enough for good ones
	for _, err := range r.Selector.problems() {
		errs = append(errs, fmt.Errorf("interface: %w", err))
	}
	errs = append(errs, r.Policy.validate(),
		oneOf("attach", r.Attach, AttachOne, AttachAll),
		oneOf("ambiguous", r.Ambiguous, AmbiguousHold, AmbiguousOldest, AmbiguousNewest),
		oneOf("on_change", r.OnChange, OnChangeKeep, OnChangeLeave))
	errs = append(errs, r.validateTimes(), r.Limit.validate())
	for _, requirement := range r.Require {
		errs = append(errs, oneOf("require", requirement, RequireUp, RequireCarrier, RequireAddress))
	}
	return errors.Join(errs...)
}

func (r Rules) validateTimes() error {
	switch {
	case r.Settle < 0:
		return fmt.Errorf("settle: %s, want 0 or more", r.Settle)
	case r.Within < 0:
		return fmt.Errorf("within: %s, want 0 or more", r.Within)
	case r.Within > 0 && r.Settle >= r.Within:
		return fmt.Errorf("settle: %s, want less than within, %s: nothing would settle in time", r.Settle, r.Within)
	}
	return nil
}

func oneOf[T ~string](key string, value T, allowed ...T) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return fmt.Errorf("%s: unknown value %q, want one of %s", key, string(value), joinWords(allowed))
}

// Judge gives the verdict for one instance that the membership is not attached
// to. families are those of the membership's channels. lost holds the
// instances that it lost and did not replace yet, each as it was while
// attached and healthy, the latest last; without any, the selector and what is
// required decide alone. A lost instance that is still alive, left because it
// no longer matched, is no new instance: the policy does not ask about it.
func (r Rules) Judge(families []ifwatch.Family, lost []ifwatch.Interface, candidate ifwatch.Interface) Verdict {
	r = r.Normalize()
	v := Verdict{Checks: make([]Check, 0, 8)}
	v.add(checkMulticast(candidate))
	r.Selector.match(&candidate, &v)
	v.Checks = append(v.Checks, r.readiest(families, &candidate)...)
	if len(lost) > 0 {
		policy := r.replace(families, lost, candidate)
		v.Replaces = policy.Replaces
		v.Checks = append(v.Checks, policy.Checks...)
	}
	v.Checks = slices.Clip(v.Checks) // it may be shared and added to
	return v
}

// Ready gives the verdict on joining channels of one family on an instance
// that the membership was given: whether the protocol is alive there, and
// whether what is required is there.
func (r Rules) Ready(family ifwatch.Family, i ifwatch.Interface) Verdict {
	r = r.Normalize()
	return Verdict{Checks: r.ready(family, &i)}
}

func (r *Rules) ready(family ifwatch.Family, i *ifwatch.Interface) []Check {
	checks := make([]Check, 0, 1+len(r.Require))
	checks = append(checks, checkProtocol(family, i))
	for _, requirement := range r.Require {
		checks = append(checks, requirement.check(family, i))
	}
	return checks
}

// readiest returns the best verdict over the families: a membership with
// channels of both is attached as soon as one can be joined.
func (r *Rules) readiest(families []ifwatch.Family, i *ifwatch.Interface) []Check {
	var best []Check
	for _, family := range families {
		if checks := r.ready(family, i); best == nil || strictest(checks) > strictest(best) {
			best = checks
		}
	}
	return best
}

func checkMulticast(i ifwatch.Interface) Check {
	if i.Multicast {
		return Check{Rule: "multicast", Wanted: "on", Found: "on", Result: Accept}
	}
	return Check{Rule: "multicast", Wanted: "the interface flag MULTICAST", Found: "it off", Result: Wait}
}

func checkProtocol(family ifwatch.Family, i *ifwatch.Interface) Check {
	c := Check{Rule: protocolRules[family], Wanted: "alive", Found: "alive", Result: Accept}
	if !i.Protocol(family).Alive {
		c.Found, c.Result = fmt.Sprintf("not alive at MTU %d", i.MTU), Reject
	}
	return c
}

var (
	protocolRules = map[ifwatch.Family]string{ifwatch.IPv4: "protocol IPv4", ifwatch.IPv6: "protocol IPv6"}
	requireRules  = map[Requirement]string{RequireUp: "require up", RequireCarrier: "require carrier", RequireAddress: "require address"}
)

func (q Requirement) check(family ifwatch.Family, i *ifwatch.Interface) Check {
	c := Check{Rule: requireRules[q], Wanted: "up", Found: "down", Result: Wait}
	met := i.Up
	switch q {
	case RequireCarrier:
		c.Wanted, c.Found, met = "carrier", "no carrier", i.Carrier
	case RequireAddress:
		c.Wanted = "an " + family.String() + " address"
		c.Found, met = usableAddress(family, i)
	}
	if met {
		c.Result = Accept
		if q != RequireAddress {
			c.Found = c.Wanted
		}
	}
	return c
}

// usableAddress returns an address of the family that is not tentative, or
// what there is instead of one.
func usableAddress(family ifwatch.Family, i *ifwatch.Interface) (found string, ok bool) {
	found = "none"
	for _, a := range i.Addresses {
		if ifwatch.FamilyOf(a.Prefix.Addr()) != family {
			continue
		}
		if !a.Tentative {
			return a.Prefix.String(), true
		}
		found = a.Prefix.String() + " still tentative"
	}
	return found, false
}
