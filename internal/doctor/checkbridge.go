package doctor

import (
	"strings"

	"github.com/ssmd-project/ssmd/ifwatch"
)

const aboutBridge = "bridge"

var (
	isPort = define(aboutBridge, Fault, "%s is a port of the bridge %s",
		"A port has nothing delivered to itself: the bridge takes all that comes in.")
	noQuerier = define(aboutBridge, Warning, "the bridge %s snoops, asks nothing itself, and hears no other querier of %s",
		"Without general queries a bridge or a switch that snoops forgets who wants what within 260 s. This one floods every group to every port then; others send it nowhere, and the stream stops.")
	bridgeUnseen = define(aboutBridge, Unknown, "whether %s leads to a bridge could not be seen: %v",
		"A bridge that snoops wants a querier.")
)

// checkBridge is about the bridge that the interface is, is a port of, or leads
// to.
func checkBridge(s Subject, f *Facts) []Finding {
	switch {
	case f.BridgeErr != nil:
		return []Finding{bridgeUnseen.with(f.Link.Name, f.BridgeErr).advise("Run it as root.")}
	case len(f.Bridges) == 0:
		return nil
	}
	var findings []Finding
	for _, b := range f.Bridges {
		if b.Tie == TiePort {
			findings = append(findings, s.onBridge(isPort.with(f.Link.Name, b.Name), b.Name))
		}
		for _, family := range s.families() {
			if !b.Snooping || b.Querier || b.Others[family] {
				continue
			}
			found := noQuerier.with(b.Name, map[ifwatch.Family]string{ifwatch.IPv4: "IGMP", ifwatch.IPv6: "MLD"}[family])
			if b.Elsewhere {
				found = found.advise("It is in another network namespace; there: %s", strings.Join(b.ask(), " && "))
			} else {
				found = found.mend(b.ask()...)
			}
			findings = append(findings, found)
		}
	}
	if len(findings) == 0 {
		b := f.Bridges[0]
		state := "does not snoop"
		if b.Snooping {
			state = "snoops, and there is a querier"
		}
		return good(aboutBridge, "the bridge %s %s", b.Name, state)
	}
	return findings
}

// ask returns the commands that have a bridge ask, but not before it does so by the
// versions that know of sources: as it is made, it would ask by IGMPv2 and MLDv1,
// and so have all that hear it speak them.
func (b Bridge) ask() []string {
	set := "ip link set dev " + quote(b.Name) + " type bridge "
	return []string{set + "mcast_igmp_version 3 mcast_mld_version 2", set + "mcast_querier 1"}
}

// onBridge adds how the same is asked for on the bridge.
func (s Subject) onBridge(f Finding, name string) Finding {
	f = f.advise("Join on the bridge: interface: %s", name)
	switch {
	case s.Membership != "":
		return f.mend(ssmd("explain", s.Membership))
	case s.Entry != "":
		return f
	}
	return f.mend(s.join(name, s.Channels)...)
}
