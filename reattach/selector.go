package reattach

import (
	"errors"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// Globs is a list of patterns for one attribute. At least one plain pattern
// must match, if there is any, and none with a leading "!" may. A pattern
// knows "*", "?" and "[a-z]"; "*" also matches "/". An interface without the
// attribute matches no pattern.
type Globs []string

// Subnets is a list of prefixes: one of the interface's addresses must lie in
// one of them.
type Subnets []netip.Prefix

// Selector says which interfaces a membership wants: all attributes that are
// given must hold. The zero Selector is invalid, since it would silently mean
// every interface; Globs{"*"} as the Name says so.
type Selector struct {
	Name, Kind, LinkType, MAC, PermanentMAC, Device Globs
	Parent, Master, VLANID, LinkGroup, Alias        Globs
	Subnet                                          Subnets
}

// ByName selects the interface with one exact name.
func ByName(name string) Selector {
	return Selector{Name: Globs{escapeGlob(name)}}
}

// escapeGlob also escapes a leading "!", which would negate the pattern.
func escapeGlob(s string) string {
	s = strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(s)
	if strings.HasPrefix(s, "!") {
		s = `\` + s
	}
	return s
}

// globs returns the patterns of an attribute, nil for Subnet.
func (s *Selector) globs(a Attribute) *Globs {
	switch a {
	case Name:
		return &s.Name
	case Kind:
		return &s.Kind
	case LinkType:
		return &s.LinkType
	case MAC:
		return &s.MAC
	case PermanentMAC:
		return &s.PermanentMAC
	case Device:
		return &s.Device
	case Parent:
		return &s.Parent
	case Master:
		return &s.Master
	case VLANID:
		return &s.VLANID
	case LinkGroup:
		return &s.LinkGroup
	case Alias:
		return &s.Alias
	}
	return nil
}

// Set gives the selector patterns for an attribute, in the form of the
// configuration file: globs, or prefixes for Subnet. It returns an error that
// names the first pattern that is malformed, and changes nothing then.
func (s *Selector) Set(a Attribute, patterns []string) error {
	if a == Subnet {
		subnets, err := parseSubnets(patterns)
		if err != nil {
			return err
		}
		s.Subnet = subnets
		return nil
	}
	globs := s.globs(a)
	if globs == nil {
		return fmt.Errorf("unknown attribute %q", a)
	}
	if err := Globs(patterns).Validate(); err != nil {
		return err
	}
	*globs = slices.Clone(patterns)
	return nil
}

func parseSubnets(texts []string) (Subnets, error) {
	if len(texts) == 0 {
		return nil, errors.New("empty list, want at least one prefix")
	}
	subnets := make(Subnets, 0, len(texts))
	for _, t := range texts {
		p, err := netip.ParsePrefix(t)
		if err != nil {
			return nil, fmt.Errorf("%q is not a prefix, want for example 10.1.0.0/16", t)
		}
		if p.Addr().Is4In6() {
			return nil, fmt.Errorf("%s is an IPv4 prefix in IPv6 form, want for example 10.1.0.0/16", t)
		}
		if p != p.Masked() {
			return nil, fmt.Errorf("%s has bits set behind its length, want %s", t, p.Masked())
		}
		subnets = append(subnets, p)
	}
	return subnets, nil
}

// Validate returns an error where the list is empty or a pattern malformed.
func (g Globs) Validate() error {
	if len(g) == 0 {
		return errors.New("empty list, want at least one pattern")
	}
	for _, p := range g {
		plain := strings.TrimPrefix(p, "!")
		if plain == "" {
			return fmt.Errorf("pattern %q is empty, want for example \"eth*\"", p)
		}
		if _, err := path.Match(plain, ""); err != nil {
			return fmt.Errorf("pattern %q is malformed: a bracket is empty or not closed, or a backslash ends it", p)
		}
	}
	return nil
}

// Validate returns every error in the selector, joined: no attribute at all,
// an empty list, a malformed pattern.
func (s Selector) Validate() error { return errors.Join(s.problems()...) }

func (s Selector) problems() []error {
	if !s.given() {
		return []error{errors.New(`selects every interface, want at least one attribute; {name: "*"} says so on purpose`)}
	}
	var problems []error
	for _, a := range attributes[:] {
		globs := s.globs(a)
		if globs == nil || *globs == nil {
			continue
		}
		if err := globs.Validate(); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", a, err))
		}
	}
	if s.Subnet == nil {
		return problems
	}
	if len(s.Subnet) == 0 || slices.ContainsFunc(s.Subnet, func(p netip.Prefix) bool { return !p.IsValid() }) {
		problems = append(problems, fmt.Errorf("%s: want valid prefixes, at least one", Subnet))
	}
	return problems
}

// equal also tells an empty list, which is none of a valid selector, from nil.
func (s *Selector) equal(o *Selector) bool {
	for _, a := range attributes[:] {
		if mine := s.globs(a); mine != nil {
			if other := o.globs(a); (*mine == nil) != (*other == nil) || !slices.Equal(*mine, *other) {
				return false
			}
		}
	}
	return (s.Subnet == nil) == (o.Subnet == nil) && slices.Equal(s.Subnet, o.Subnet)
}

// given reports whether there is any attribute.
func (s *Selector) given() bool {
	return s.Subnet != nil || slices.ContainsFunc(attributes[:], func(a Attribute) bool {
		globs := s.globs(a)
		return globs != nil && *globs != nil
	})
}

// Match returns the checks of the selector on an interface. An empty selector,
// or an empty list in it, matches none.
func (s Selector) Match(i ifwatch.Interface) Verdict {
	var v Verdict
	s.match(&i, &v)
	return v
}

func (s *Selector) match(i *ifwatch.Interface, v *Verdict) {
	if !s.given() {
		v.add(Check{Rule: "interface", Wanted: "at least one attribute", Found: "none", Result: Reject})
	}
	for _, a := range attributes[:] {
		globs := s.globs(a)
		if globs == nil || *globs == nil {
			continue
		}
		values := []string{a.value(i)}
		if a == Name {
			values = append(values, i.AltNames...)
		}
		result := Reject
		if globs.match(values, a) {
			result = Accept
		}
		v.add(Check{Rule: string(a), Wanted: orNone(strings.Join(*globs, " ")), Found: orNone(strings.Join(values, " ")), Result: result})
	}
	if s.Subnet != nil {
		v.add(s.Subnet.check(i))
	}
}

func (g Globs) match(values []string, a Attribute) bool {
	plain, matched := false, false
	for _, pattern := range g {
		p, negated := strings.CutPrefix(pattern, "!")
		plain = plain || !negated
		for _, value := range values {
			if value == "" || !matchGlob(p, value, a) {
				continue
			}
			if negated {
				return false
			}
			matched = true
		}
	}
	return matched || !plain && len(g) > 0
}

// matchGlob hides slashes from path.Match, so that "*" spans the whole of
// "pci/0000:3b:00.0", and compares MAC addresses without regard to case.
func matchGlob(pattern, value string, a Attribute) bool {
	if a == MAC || a == PermanentMAC {
		pattern = strings.ToLower(pattern)
	}
	hide := func(s string) string { return strings.ReplaceAll(s, "/", "\x00") }
	ok, _ := path.Match(hide(pattern), hide(value))
	return ok
}

// check waits while the interface has no address of any family that is
// asked for: it may get one.
func (s Subnets) check(i *ifwatch.Interface) Check {
	c := Check{Rule: string(Subnet), Wanted: joinPrefixes(s), Result: Wait}
	var found []netip.Prefix
	for _, a := range i.Addresses {
		for _, p := range s {
			if p.Contains(a.Prefix.Addr()) {
				c.Found, c.Result = a.Prefix.String(), Accept
				return c
			}
			if ifwatch.FamilyOf(p.Addr()) == ifwatch.FamilyOf(a.Prefix.Addr()) && !a.Prefix.Addr().IsLinkLocalUnicast() {
				c.Result = Reject
			}
		}
		found = append(found, a.Prefix)
	}
	c.Found = joinPrefixes(found)
	return c
}

// String returns the selector as it stands in reasons: "name=eth0 kind=veth".
func (s Selector) String() string {
	var parts []string
	for _, a := range attributes[:] {
		if globs := s.globs(a); globs != nil && *globs != nil {
			parts = append(parts, string(a)+"="+strings.Join(*globs, ","))
		}
	}
	if len(s.Subnet) > 0 {
		parts = append(parts, string(Subnet)+"="+strings.ReplaceAll(joinPrefixes(s.Subnet), ", ", ","))
	}
	return strings.Join(parts, " ")
}
