package membership

import (
	"cmp"
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
	switch s, g := c.Source, c.Group; {
	case !s.IsValid() || !g.IsValid():
		return fmt.Errorf("channel %s: incomplete, want a source and a group", c)
	case s.Is4() != g.Is4() || s.Is4In6() || g.Is4In6():
		return fmt.Errorf("channel %s: source and group of different families, want both IPv4 or both IPv6", c)
	case s.Zone() != "" || g.Zone() != "":
		return fmt.Errorf("channel %s: has a zone, want the interface named by the selector", c)
	case !isUnicast(s):
		return fmt.Errorf("channel %s: source %s is not a unicast address", c, s)
	case !g.IsMulticast():
		return fmt.Errorf("channel %s: group %s is not a multicast address", c, g)
	case anyRange == SourceSpecificOnly && !IsSourceSpecificGroup(g):
		return fmt.Errorf("channel %s: group %s is not source-specific, want one in 232.0.0.0/8 or ff3x::/32, or allow_any_range: true", c, g)
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

var reservedIPv4 = netip.MustParsePrefix("240.0.0.0/4")
var thisNetworkIPv4 = netip.MustParsePrefix("0.0.0.0/8")

func isUnicast(a netip.Addr) bool {
	return !a.IsUnspecified() && !a.IsMulticast() && !reservedIPv4.Contains(a) && !thisNetworkIPv4.Contains(a)
}

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
