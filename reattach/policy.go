package reattach

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// PolicyKind says when a new instance may take a lost one's place.
type PolicyKind string

// The kinds of policy.
const (
	PolicyMatch   PolicyKind = "match"   // whenever the selector matches; the default
	PolicySame    PolicyKind = "same"    // when attributes equal the lost instance's
	PolicyApprove PolicyKind = "approve" // when somebody approved the very instance
	PolicyNever   PolicyKind = "never"   // never: the membership has ended
)

// Policy says whether a new instance may take a lost one's place. The zero
// Policy is PolicyMatch.
type Policy struct {
	Kind PolicyKind
	Same []Attribute // with PolicySame: what must equal the lost instance's
}

func (p Policy) validate() error {
	if err := oneOf("policy", p.Kind, PolicyMatch, PolicySame, PolicyApprove, PolicyNever); err != nil {
		return err
	}
	if p.Kind == PolicySame && len(p.Same) == 0 {
		return errors.New("same: empty, want with policy same at least one attribute, for example mac")
	}
	if p.Kind != PolicySame && len(p.Same) > 0 {
		return fmt.Errorf("same: given with policy %s, want policy same", p.Kind)
	}
	var errs []error
	for _, a := range p.Same {
		if _, err := ParseAttribute(string(a)); err != nil {
			errs = append(errs, fmt.Errorf("same: %w", err))
		}
	}
	return errors.Join(errs...)
}

const samePrefix = "same "

// replace returns the verdict of the policy: the best over the lost instances,
// of equals that of the one with the candidate's name, else of the latest.
func (r *Rules) replace(families []ifwatch.Family, lost []ifwatch.Interface, candidate ifwatch.Interface) Verdict {
	var best Verdict
	bestNamed := false
	for _, l := range slices.Backward(lost) {
		v := r.Policy.compare(families, l, candidate)
		if r.When != nil && l.ID != candidate.ID && r.Policy.Kind != PolicyNever {
			v.add(r.When.check(&l, &candidate))
		}
		named := l.Name == candidate.Name
		if best.Checks == nil || v.Result() > best.Result() || v.Result() == best.Result() && named && !bestNamed {
			best, bestNamed = v, named
		}
	}
	return best
}

func (p Policy) compare(families []ifwatch.Family, lost, candidate ifwatch.Interface) Verdict {
	v := Verdict{Replaces: lost.ID}
	switch {
	case lost.ID == candidate.ID:
		v.add(Check{Rule: "policy", Wanted: "the same instance", Found: "the same instance", Result: Accept})
	case p.Kind == PolicyNever:
		v.add(Check{Rule: "policy", Wanted: "never to replace " + lost.String(), Found: "a new instance", Result: Reject})
	case p.Kind == PolicySame:
		for _, a := range p.Same {
			v.add(a.compare(families, lost, candidate))
		}
	case p.Kind == PolicyApprove:
		v.add(Check{Rule: "policy", Wanted: "any that is approved", Found: "a new instance", Result: Accept})
	default:
		v.add(Check{Rule: "policy", Wanted: "any that matches", Found: "a new instance", Result: Accept})
	}
	return v
}

// compare checks that an attribute is the same on the lost instance and on
// the candidate.
func (a Attribute) compare(families []ifwatch.Family, lost, candidate ifwatch.Interface) Check {
	if a == Subnet {
		return compareSubnets(families, lost, candidate)
	}
	was, is := a.value(&lost), a.value(&candidate)
	c := Check{Rule: samePrefix + string(a), Wanted: was, Found: orNone(is), Result: Reject}
	switch {
	case was == "":
		c.Wanted = "what the lost instance had, which was none"
	case was == is:
		c.Result = Accept
	case is == "" && a.canArrive():
		c.Result = Wait
	}
	return c
}

// compareSubnets wants, of each family in which the lost instance had a
// prefix, one that the candidate has too.
func compareSubnets(families []ifwatch.Family, lost, candidate ifwatch.Interface) Check {
	c := Check{Rule: samePrefix + string(Subnet), Result: Accept}
	var wanted, found []netip.Prefix
	for _, family := range families {
		was, is := lost.Prefixes(family), candidate.Prefixes(family)
		wanted, found = append(wanted, was...), append(found, is...)
		shared := slices.ContainsFunc(was, func(p netip.Prefix) bool { return slices.Contains(is, p) })
		switch {
		case len(was) == 0 || shared:
		case len(is) == 0:
			c.Result = min(c.Result, Wait)
		default:
			c.Result = Reject
		}
	}
	c.Wanted, c.Found = joinPrefixes(wanted), joinPrefixes(found)
	if len(wanted) == 0 {
		c.Wanted = "what the lost instance had, which was no " + familyNames(families) + " prefix but link-local"
		c.Result = Reject
	}
	return c
}

func familyNames(families []ifwatch.Family) string {
	parts := make([]string, len(families))
	for i, f := range families {
		parts[i] = f.String()
	}
	return strings.Join(parts, " or ")
}
