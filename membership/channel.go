package membership

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// Channel is a source-specific multicast channel, (S,G): datagrams that one
// source sends to one group.
type Channel struct {
	Source, Group netip.Addr
}

// The source-specific ranges, RFC 4607, section 1: 232/8 for IPv4, FF3x::/32
// for IPv6.
var ssmIPv4 = netip.MustParsePrefix("232.0.0.0/8")

// IsSourceSpecificGroup reports whether a group is in the range that RFC 4607
// sets aside for source-specific multicast.
func IsSourceSpecificGroup(group netip.Addr) bool {
	if group.Is4() {
		return ssmIPv4.Contains(group)
	}
	b := group.As16()
	return b[0] == 0xff && b[1]>>4 == 0x3 && b[2] == 0 && b[3] == 0
}

// ParseChannel reads "S@G", as "10.1.0.1@232.1.1.1". The addresses are checked
// by Validate, not here.
func ParseChannel(text string) (Channel, error) {
	source, group, ok := strings.Cut(text, "@")
	if !ok {
		return Channel{}, fmt.Errorf("channel %q: no @, want SOURCE@GROUP, for example 10.1.0.1@232.1.1.1", text)
	}
	s, err := netip.ParseAddr(source)
	if err != nil {
		return Channel{}, fmt.Errorf("channel %q: source %q is not an IP address", text, source)
	}
	g, err := netip.ParseAddr(group)
	if err != nil {
		return Channel{}, fmt.Errorf("channel %q: group %q is not an IP address", text, group)
	}
	return Channel{Source: s, Group: g}, nil
}

// Validate returns an error where the kernel would take the channel and no
// datagram could ever come (it checks nothing itself): addresses of two
// families, a source that is no unicast address, a group that is none or is
// not source-specific. anyRange admits multicast groups outside the
// source-specific ranges.
func (c Channel) Validate(anyRange AnyRange) error {
	if !c.Source.IsValid() || !c.Group.IsValid() {
		return fmt.Errorf("channel %s: incomplete, want a source and a group", c)
	}
	if c.Source.Is4() != c.Group.Is4() {
		return fmt.Errorf("channel %s: source and group of different families, want both IPv4 or both IPv6", c)
	}
	if err := errors.Join(ValidateSource(c.Source), ValidateGroup(c.Group, anyRange)); err != nil {
		return fmt.Errorf("channel %s: %w", c, err)
	}
	return nil
}

// ValidateSource returns an error where an address cannot be the source of a
// channel.
func ValidateSource(source netip.Addr) error {
	if err := validateForm("source", source); err != nil {
		return err
	}
	if source.IsUnspecified() || source.IsMulticast() || reservedIPv4.Contains(source) || thisNetworkIPv4.Contains(source) {
		return fmt.Errorf("source %s is not a unicast address", source)
	}
	return nil
}

// ValidateGroup returns an error where an address cannot be the group of a
// channel.
func ValidateGroup(group netip.Addr, anyRange AnyRange) error {
	if err := validateForm("group", group); err != nil {
		return err
	}
	if !group.IsMulticast() {
		return fmt.Errorf("group %s is not a multicast address", group)
	}
	if anyRange == SourceSpecificOnly && !IsSourceSpecificGroup(group) {
		return fmt.Errorf("group %s is not source-specific, want one in 232.0.0.0/8 or ff3x::/32, or allow_any_range: true", group)
	}
	return nil
}

func validateForm(what string, a netip.Addr) error {
	switch {
	case !a.IsValid():
		return fmt.Errorf("%s is missing", what)
	case a.Zone() != "":
		return fmt.Errorf("%s %s has a zone, want the interface named by the selector", what, a)
	case a.Is4In6():
		return fmt.Errorf("%s %s is an IPv4 address in an IPv6 one, want %s", what, a, a.Unmap())
	}
	return nil
}

// AnyRange says which multicast groups a membership may name.
type AnyRange bool

// The ranges of groups.
const (
	SourceSpecificOnly AnyRange = false // 232/8 and ff3x::/32
	AnyMulticastRange  AnyRange = true  // every multicast group
)

// No source has an address of these, RFC 6890, section 2.2.2.
var (
	reservedIPv4    = netip.MustParsePrefix("240.0.0.0/4")
	thisNetworkIPv4 = netip.MustParsePrefix("0.0.0.0/8")
)

// Family returns the family of the channel's addresses.
func (c Channel) Family() ifwatch.Family { return ifwatch.FamilyOf(c.Group) }

// Compare orders channels by group, then by source.
func (c Channel) Compare(o Channel) int {
	return cmp.Or(c.Group.Compare(o.Group), c.Source.Compare(o.Source))
}

// String returns "S@G".
func (c Channel) String() string {
	return c.Source.String() + "@" + c.Group.String()
}

// MarshalText writes "S@G".
func (c Channel) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads "S@G".
func (c *Channel) UnmarshalText(text []byte) error {
	parsed, err := ParseChannel(string(text))
	if err != nil {
		return err
	}
	*c = parsed
	return nil
}
