package doctor

import (
	"cmp"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/internal/doctor/firewall"
)

const aboutFirewall = "firewall"

var (
	drops = define(aboutFirewall, Fault, "a rule drops %s: %s",
		"%s")
	mayDrop = define(aboutFirewall, Warning, "a rule may drop %s: %s",
		"%s Whether it does depends on what is not known here, as the port that the source sends to (--port says it), or on a condition that ssmd does not read.")
	rulesUnread = define(aboutFirewall, Unknown, "not all rules of the firewall could be read: %v",
		"A rule may drop the stream, or what the network asks and is told.")
)

// passage is a packet that has to come through, and what it is for.
type passage struct {
	what   string
	why    string
	packet firewall.Packet
}

// checkFirewall has the rules judge the stream, a query and a report.
func checkFirewall(s Subject, f *Facts) []Finding {
	var findings []Finding
	seen := make(map[string]bool)
	for _, p := range s.passages(f) {
		for _, d := range f.Firewall.Drops(p.packet) {
			if key := string(d.Certainty) + p.why + d.Place; !seen[key] {
				seen[key] = true
				findings = append(findings, p.dropped(d))
			}
		}
	}
	if f.Firewall.Err != nil {
		findings = append(findings, rulesUnread.with(f.Firewall.Err))
	}
	if len(findings) > 0 {
		return findings
	}
	if f.Firewall.Empty() {
		return good(aboutFirewall, "there are no rules")
	}
	return good(aboutFirewall, "the rules let the stream, queries and reports through")
}

func (p passage) dropped(d firewall.Drop) Finding {
	problem := drops
	if d.Certainty == firewall.Perhaps {
		problem = mayDrop
	}
	found := problem.with(p.what, d.Place).mend(d.Mend)
	found.Why = sprintf(problem.Why, p.why)
	return found
}

// Why each packet has to come through.
const (
	whyStream = "The receiver does not get it, though it comes in on the interface."
	whyQuery  = "The host does not answer queries, so the network forgets it: the stream stops two to five minutes after it was joined."
	whyReport = "The network is not asked for the channels."
)

// What queries and reports are sent to (RFC 3376, section 4; RFC 3810, section
// 5).
var (
	allSystems  = netip.MustParseAddr("224.0.0.1")
	igmpRouters = netip.MustParseAddr("224.0.0.22")
	allNodes    = netip.MustParseAddr("ff02::1")
	mldRouters  = netip.MustParseAddr("ff02::16")
)

// mostStreams is how many channels are tried one by one: rules seldom tell more
// apart, and each is a walk through all of them.
const mostStreams = 256

func (s Subject) passages(f *Facts) []passage {
	var all []passage
	add := func(what, why string, p firewall.Packet) {
		p.Interface, p.Index = f.Link.Name, f.Link.Index
		if p.Direction == firewall.In {
			p.Path = f.path(cmp.Or(p.Source, p.Likely))
		}
		all = append(all, passage{what, why, p})
	}
	ports := s.ports(f)
	if len(ports) == 0 {
		ports = []uint16{0}
	}
	for n, c := range s.Channels {
		if n == mostStreams {
			break
		}
		for _, port := range ports {
			add("the stream "+c.String(), whyStream, firewall.Packet{Direction: firewall.In, Source: c.Source, Destination: c.Group, Protocol: unix.IPPROTO_UDP, Port: port})
		}
	}
	for _, family := range s.families() {
		own, querier := f.speakers(family)
		if family == ifwatch.IPv4 {
			add("IGMP queries", whyQuery, firewall.Packet{Direction: firewall.In, Likely: querier, Destination: allSystems, Protocol: unix.IPPROTO_IGMP, Type: igmpQuery})
			add("IGMP reports", whyReport, firewall.Packet{Direction: firewall.Out, Likely: own, Destination: igmpRouters, Protocol: unix.IPPROTO_IGMP, Type: igmpV3Report})
		} else {
			add("MLD queries", whyQuery, firewall.Packet{Direction: firewall.In, Likely: querier, Destination: allNodes, Protocol: unix.IPPROTO_ICMPV6, Type: mldQuery})
			add("MLD reports", whyReport, firewall.Packet{Direction: firewall.Out, Likely: own, Destination: mldRouters, Protocol: unix.IPPROTO_ICMPV6, Type: mldV2Report})
		}
	}
	return all
}

// path says where the route to a source leads. One of the link, and one of a network
// of it of which nothing else is known, is reached over it.
func (f *Facts) path(source netip.Addr) firewall.Path {
	r, known := f.Routes[source]
	switch {
	case source.Is6() && source.IsLinkLocalUnicast(), known && slices.Contains(r.Interfaces, f.Link.Name):
		return firewall.PathBack
	case known && r.Err == nil:
		return firewall.PathAway
	case !known && slices.ContainsFunc(f.Link.Addresses, func(a Address) bool { return a.Prefix.Contains(source) }):
		return firewall.PathBack
	}
	return firewall.PathUnknown
}

// speakers returns the addresses that reports come from, and queries: the one
// that was heard, or else one of the same network.
func (f *Facts) speakers(family ifwatch.Family) (own, querier netip.Addr) {
	for _, a := range f.Link.Addresses {
		ip := a.Prefix.Addr()
		if ifwatch.FamilyOf(ip) == family && (ip.Is4() || ip.IsLinkLocalUnicast()) && !own.IsValid() {
			own, querier = ip, a.Prefix.Masked().Addr().Next()
		}
	}
	for _, q := range f.Heard.Queries {
		if q.Family == family {
			querier = q.From
		}
	}
	return own, querier
}
