package doctor

import (
	"fmt"

	"github.com/ssmd-project/ssmd/ifwatch"
)

const aboutProtocol = "protocol"

var (
	tooSmall = define(aboutProtocol, Fault, "%s is dead on %s: its MTU is %d, and at least %d is wanted",
		"The kernel destroyed its state there, with every membership, and does not restore these (K8).")
	disabled = define(aboutProtocol, Fault, "IPv6 is disabled on %s (%s)",
		"Nothing is delivered until it is enabled (K9).")
)

const disableIPv6 = "net/ipv6/conf/%s/disable_ipv6"

// alive reports whether a protocol is there on the interface at all.
func (f *Facts) alive(family ifwatch.Family) bool {
	own, _ := f.setting(disableIPv6)
	return f.Link.MTU >= family.MinMTU() && (family == ifwatch.IPv4 || own == 0)
}

// checkProtocol is about whether the channels' protocols live on the interface.
// The setting for all interfaces only counts when it is written.
func checkProtocol(s Subject, f *Facts) []Finding {
	var findings []Finding
	for _, family := range s.families() {
		own, _ := f.setting(disableIPv6)
		switch name := f.Link.Name; {
		case f.Link.MTU < family.MinMTU():
			findings = append(findings, tooSmall.with(family, name, f.Link.MTU, family.MinMTU()).
				mend(fmt.Sprintf("ip link set dev %s mtu %d", quote(name), family.MinMTU())).
				advise("Receivers that joined by themselves have to be started again; ssmd joins anew."))
		case family == ifwatch.IPv6 && own != 0:
			findings = append(findings, disabled.with(name, dotted(disableIPv6, name)).mend(set(disableIPv6, name, 0)))
		default:
			findings = append(findings, good(aboutProtocol, "%s is alive on %s", family, name)...)
		}
	}
	return findings
}
