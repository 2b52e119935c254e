package doctor

import (
	"strconv"

	"github.com/ssmd-project/ssmd/ifwatch"
)

const aboutVersion = "version"

var (
	oldQuerier = define(aboutVersion, Fault, "%s speaks IGMPv%s: a querier of that version was heard",
		"Reports name no source (K26): the network delivers every source of a group, or none where it wants source-specific joins. It lasts until %d s after the last such query (RFC 3376, section 8.12).")
	forcedIGMP = define(aboutVersion, Fault, "%s is forced to IGMPv%d by %s",
		"Reports name no source (K26): the network delivers every source of a group, or none where it wants source-specific joins.")
	forcedMLD = define(aboutVersion, Fault, "%s is forced to MLDv1 by %s",
		"Reports name no source: the network delivers every source of a group, or none where it wants source-specific joins.")
	oldMLD = define(aboutVersion, Fault, "%s speaks MLDv1: it was heard to",
		"Reports name no source: the network delivers every source of a group, or none where it wants source-specific joins. It lasts until 260 s after the last query of MLDv1, unless the querier's own times differ (RFC 3810, section 9.12).")
)

const (
	forceIGMP = "net/ipv4/conf/%s/force_igmp_version"
	forceMLD  = "net/ipv6/conf/%s/force_mld_version"
)

// checkVersion is about the version of IGMP and MLD that reports are in: only
// IGMPv3 and MLDv2 name sources.
func checkVersion(s Subject, f *Facts) []Finding {
	var findings []Finding
	for _, family := range s.families() {
		if family == ifwatch.IPv4 {
			findings = append(findings, f.igmpVersion())
		} else {
			findings = append(findings, f.mldVersion())
		}
	}
	return findings
}

// forced returns a version that a setting forces, where, and the commands after
// which none does. The setting of all interfaces is stronger.
func (f *Facts) forced(format string) (version int, where string, mend []string) {
	own, all := f.setting(format)
	if own != 0 {
		version, where, mend = own, dotted(format, f.Link.Name), []string{set(format, f.Link.Name, 0)}
	}
	if all != 0 {
		version, where, mend = all, dotted(format, "all"), append(mend, set(format, "all", 0))
	}
	return version, where, mend
}

func (f *Facts) igmpVersion() Finding {
	if version, where, mend := f.forced(forceIGMP); version == 1 || version == 2 {
		return forcedIGMP.with(f.Link.Name, version, where).mend(mend...)
	}
	version, old := f.Lists[ifwatch.IPv4].Groups.OldQueriers[f.Link.Index]
	if !old {
		return good(aboutVersion, "%s speaks IGMPv3", f.Link.Name)[0]
	}
	found := oldQuerier.with(f.Link.Name, version[1:])
	found.Why = sprintf(oldQuerier.Why, f.lasts())
	for _, b := range f.Bridges {
		if b.Querier && !b.Elsewhere {
			return found.mend("ip link set dev " + quote(b.Name) + " type bridge mcast_igmp_version 3")
		}
	}
	return found.advise("Have the querier, a router or a switch, speak IGMPv3; %s.", f.whoAsks(ifwatch.IPv4))
}

// lasts is the older version querier present timeout, RFC 3376, section 8.12, in
// seconds, with the times that hold where no querier of version 3 said others.
func (f *Facts) lasts() int {
	robustness, err := strconv.Atoi(f.Sysctls["net/ipv4/igmp_qrv"])
	if err != nil {
		robustness = 2
	}
	const interval, response = 125, 10
	return robustness*interval + response
}

// whoAsks says who sent the last query that was heard.
func (f *Facts) whoAsks(family ifwatch.Family) string {
	for _, q := range f.Heard.Queries {
		if q.Family == family {
			return "its address is " + q.From.String()
		}
	}
	return "ssmd doctor --wait 130s may hear who it is"
}

// mldVersion cannot see a querier of MLDv1 but by its queries, and by reports:
// the kernel lists it nowhere.
func (f *Facts) mldVersion() Finding {
	if version, where, mend := f.forced(forceMLD); version == 1 {
		return forcedMLD.with(f.Link.Name, where).mend(mend...)
	}
	for _, q := range f.Heard.Queries {
		if q.Family == ifwatch.IPv6 && q.Version == 1 {
			return oldMLD.with(f.Link.Name).mend(set(forceMLD, f.Link.Name, 2))
		}
	}
	for _, r := range f.Heard.Reports {
		if r.Group.Is6() && r.Version == 1 {
			return oldMLD.with(f.Link.Name).mend(set(forceMLD, f.Link.Name, 2))
		}
	}
	return good(aboutVersion, "%s is not forced to MLDv1, and was not heard to speak it", f.Link.Name)[0]
}
