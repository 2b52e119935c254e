package doctor

import "github.com/ssmd-project/ssmd/ifwatch"

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
			findings = append(findings, isPort.with(f.Link.Name, b.Name).mend(s.onBridge(b.Name)...).
				advise("Join on the bridge: interface: %s", b.Name))
		}
		for _, family := range s.families() {
			if !b.Snooping || b.Querier || b.Others[family] {
				continue
			}
			found := noQuerier.with(b.Name, map[ifwatch.Family]string{ifwatch.IPv4: "IGMP", ifwatch.IPv6: "MLD"}[family])
			if b.Elsewhere {
				found = found.advise("It is in another network namespace; there: ip link set dev %s type bridge mcast_querier 1", quote(b.Name))
			} else {
				found = found.mend("ip link set dev " + quote(b.Name) + " type bridge mcast_querier 1")
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

// onBridge returns the commands that ask for the same on the bridge; what the
// daemon has is changed in its file.
func (s Subject) onBridge(name string) []string {
	if s.Membership != "" {
		return []string{ssmd("explain", s.Membership)}
	}
	return s.join(name, s.Channels...)
}
