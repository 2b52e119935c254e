package doctor

import (
	"fmt"
	"net/netip"

	"github.com/ssmd-project/ssmd/ifwatch"
)

const aboutLimits = "limits"

var (
	noRoom = define(aboutLimits, Fault, "no socket can join anything: %s is %d",
		"The kernel refuses every join with ENOBUFS (K16).")
	oneSocket = define(aboutLimits, Warning, "one socket takes %d %s, and %d are asked for",
		"A receiver that joins them all on one socket is refused the others with ENOBUFS (K16). ssmd opens as many sockets as it takes.")
	hiddenLimit = define(aboutLimits, Unknown, "%s cannot be read in this network namespace, and %d are asked for",
		"It says how many sources of a group one socket takes (K16), by default 64. A receiver that joins more on one socket is refused the others.")
	files = define(aboutLimits, Warning, "the daemon may have %d descriptors, and needs %d sockets for these channels",
		"It needs a socket for that many groups as one takes. What is refused is not joined.")
)

const (
	groupsIPv4  = "net.ipv4.igmp_max_memberships"
	sourcesIPv4 = "net.ipv4.igmp_max_msf"
	sourcesIPv6 = "net.ipv6.mld_max_msf"
	memory      = "net.core.optmem_max"
)

// What a group takes of a socket's optmem_max, in bytes, as measured (K16).
var groupBytes = map[ifwatch.Family]int{ifwatch.IPv4: 112, ifwatch.IPv6: 240}

// limit is one of the kernel's against what is asked for.
type limit struct {
	name   string
	value  *int
	unit   string
	wanted int // the value that would do
	asked  int // for one socket, in units
	most   int // for one socket, in units
	usual  int // likewise, by the kernel's default
}

// checkLimits is about the limits of one socket (K16), which only concern
// programs that join by themselves, and the daemon's on descriptors.
func checkLimits(s Subject, f *Facts) []Finding {
	var findings []Finding
	for _, l := range s.limits(f.Limits) {
		switch {
		case l.value == nil && l.asked > l.usual && !s.held():
			findings = append(findings, hiddenLimit.with(l.name, l.asked).advise("See sysctl %s in the first network namespace.", l.name))
		case l.value == nil:
		case l.most < 1:
			findings = append(findings, noRoom.with(l.name, *l.value).mend(fmt.Sprintf("sysctl -w %s=%d", l.name, l.wanted)))
		case l.asked > l.most && !s.held():
			findings = append(findings, oneSocket.with(l.most, l.unit, l.asked).mend(fmt.Sprintf("sysctl -w %s=%d", l.name, l.wanted)))
		}
	}
	if sockets, spare := s.sockets(f.Limits), 64; s.held() && f.Limits.Files != nil && sockets+spare > *f.Limits.Files {
		findings = append(findings, files.with(*f.Limits.Files, sockets).
			advise("Raise it: LimitNOFILE=%d in the daemon's unit, or ulimit -n before it is started.", 2*(sockets+spare)))
	}
	if len(findings) > 0 {
		return findings
	}
	if s.held() {
		return good(aboutLimits, "ssmd holds %d channels with %d sockets", len(s.Channels), s.sockets(f.Limits))
	}
	return good(aboutLimits, "one socket can join %d of %d channels", len(s.Channels), len(s.Channels))
}

// held reports whether the daemon joins, or is to.
func (s Subject) held() bool { return s.Membership != "" || s.Entry != "" }

// limits returns those that concern the channels.
func (s Subject) limits(l Limits) []limit {
	var all []limit
	for _, family := range s.families() {
		groups, sources := len(s.groups(family)), s.mostSources(family)
		if family == ifwatch.IPv4 {
			all = append(all,
				limit{groupsIPv4, l.GroupsIPv4, "groups by " + groupsIPv4, max(20, groups), groups, of(l.GroupsIPv4), 20},
				limit{sourcesIPv4, l.SourcesIPv4, "sources of a group by " + sourcesIPv4, max(10, sources), sources, of(l.SourcesIPv4), 10})
		} else {
			all = append(all, limit{sourcesIPv6, l.SourcesIPv6, "sources of a group by " + sourcesIPv6, max(64, sources), sources, of(l.SourcesIPv6), 64})
		}
		each := groupBytes[family]
		all = append(all, limit{memory, l.Memory, "groups, more or less, by " + memory, max(131072, 2*groups*each), groups, of(l.Memory) / each, groups})
	}
	return all
}

func of(n *int) int {
	if n == nil {
		return 0
	}
	return *n
}

// mostSources returns how many sources the group with the most has.
func (s Subject) mostSources(family ifwatch.Family) int {
	count, most := make(map[netip.Addr]int), 0
	for _, c := range s.of(family) {
		count[c.Group]++
		most = max(most, count[c.Group])
	}
	return most
}

// sockets returns how many sockets the daemon needs at least.
func (s Subject) sockets(l Limits) int {
	n := 0
	for _, family := range s.families() {
		groups, each := len(s.groups(family)), of(l.Memory)/groupBytes[family]
		if family == ifwatch.IPv4 {
			each = min(each, of(l.GroupsIPv4))
		}
		if each > 0 {
			n += (groups + each - 1) / each
		}
	}
	return n
}
