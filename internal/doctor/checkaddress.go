package doctor

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/ssmd-project/ssmd/ifwatch"
)

const aboutAddress = "address"

var (
	noAddressIPv4 = define(aboutAddress, Warning, "%s has no IPv4 address",
		"Reports go out from 0.0.0.0 (K12). RFC 3376, section 4.2.13 allows that, and some switches and routers ignore such ones.")
	noLinkLocal = define(aboutAddress, Fault, "%s has no IPv6 link-local address",
		"MLD reports go out from :: (K27), and routers ignore such ones (RFC 3810, section 5.2.13).")
	tentative = define(aboutAddress, Warning, "the link-local address %s of %s is still tentative",
		"Until it is known to be unique, MLD reports go out from ::, and routers ignore such ones.")
	duplicate = define(aboutAddress, Fault, "the link-local address %s of %s is a duplicate",
		"Another host has it. MLD reports go out from ::, and routers ignore such ones (RFC 3810, section 5.2.13).")
)

// checkAddress is about the addresses that reports come from.
func checkAddress(s Subject, f *Facts) []Finding {
	var findings []Finding
	for _, family := range s.families() {
		if family == ifwatch.IPv4 {
			findings = append(findings, f.checkIPv4Address())
		} else if f.alive(ifwatch.IPv6) {
			findings = append(findings, f.checkLinkLocal())
		}
	}
	return findings
}

func (f *Facts) checkIPv4Address() Finding {
	for _, a := range f.Link.Addresses {
		if a.Prefix.Addr().Is4() {
			return good(aboutAddress, "reports of IPv4 come from %s", a.Prefix.Addr())[0]
		}
	}
	return noAddressIPv4.with(f.Link.Name).advise("Give it one of its network: ip address add ADDRESS/LENGTH dev %s", quote(f.Link.Name))
}

func (f *Facts) checkLinkLocal() Finding {
	var found *Finding
	for _, a := range f.Link.Addresses {
		ip := a.Prefix.Addr()
		switch {
		case !ip.Is6() || !ip.IsLinkLocalUnicast():
		case a.Duplicate:
			one := duplicate.with(ip, f.Link.Name).advise("Find the other host; two interfaces with one MAC address are such ones.")
			found = &one
		case a.Tentative:
			one := tentative.with(ip, f.Link.Name).advise("Wait some seconds, and look again.")
			found = &one
		default:
			return good(aboutAddress, "reports of MLD come from %s", ip)[0]
		}
	}
	if found != nil {
		return *found
	}
	lost := noLinkLocal.with(f.Link.Name)
	if address, ok := linkLocalOf(f.Link.MAC); ok {
		return lost.mend(fmt.Sprintf("ip address add %s/64 dev %s scope link", address, quote(f.Link.Name)))
	}
	return lost.advise("Give it one: ip address add fe80::1/64 dev %s scope link", quote(f.Link.Name))
}

// linkLocalOf is the address that the kernel would make of a MAC address (RFC
// 4291, appendix A).
func linkLocalOf(mac string) (netip.Addr, bool) {
	m, err := net.ParseMAC(mac)
	if err != nil || len(m) != 6 {
		return netip.Addr{}, false
	}
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 8: m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]}), true
}
