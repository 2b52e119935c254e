package integration

import (
	"os/exec"
	"testing"

	"github.com/ssmd-project/ssmd/internal/doctor"
	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/membership"
)

// set changes an interface of the near side.
func (p *patient) set(name string, changes ...testnet.Change) func() {
	return func() {
		p.t.Helper()
		ok(p.t, p.Near.Set(name, changes...))
	}
}

// sysctl sets something on the near side.
func (p *patient) sysctl(path, value string) func() {
	return func() {
		p.t.Helper()
		ok(p.t, p.Near.SetSysctl(path, value))
	}
}

func TestStoryDoctorInterface(t *testing.T) {
	t.Parallel()
	p := newPatient(t, v4)
	p.silent("interface")
	ok(t, p.Cut("eth0"))
	p.finds("interface", doctor.Fault, "there is no interface eth0")
	ok(t, p.Connect(testnet.Veth{}))
	p.silent("interface")

	p.subject.Index = p.index() + 1
	p.finds("interface", doctor.Unknown, "the daemon's eth0 has index")
}

func TestStoryDoctorUp(t *testing.T) {
	t.Parallel()
	p := newPatient(t, v4)
	p.story("up", doctor.Fault, p.set("eth0", testnet.Down), "eth0 is down")
}

// Whatever an interface is called, the commands mean it, also where that is a word
// of ip, or a shell's, or has a dot, at which sysctl splits.
func TestStoryDoctorOddNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"up", "mtu", "dev", "-x", "eth0.5", "$(false)", "a'b", "a=b", `a\b`, `a"b`, "*", "~"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPatient(t, v4)
			ok(t, testnet.AddVeth(p.Near, p.Near, testnet.Veth{Name: "eth7", PeerName: "end7"}))
			ok(t, p.Near.Set("eth7", testnet.Name(name)))
			p.subject.Interface, p.wait = name, 0 // nothing of it is on the wire
			p.story("up", doctor.Fault, p.set(name, testnet.Down), name+" is down")
			p.story("multicast_flag", doctor.Fault, p.set(name, testnet.MulticastOff), "MULTICAST off")
			p.story("version", doctor.Fault, p.sysctl("net/ipv4/conf/"+name+"/force_igmp_version", "2"), "is forced to IGMPv2")
			p.story("rp_filter", doctor.Fault, p.sysctl("net/ipv4/conf/"+name+"/rp_filter", "1"), "10.1.0.1 are dropped")
			p.story("firewall", doctor.Fault, p.rules("nft", "nft add table inet f; nft 'add chain inet f in { type filter hook input priority 0; }'; nft add rule inet f in ip daddr 232.1.1.1 drop"), "nft inet f in")
			p.story("firewall", doctor.Fault, p.rules("iptables-legacy", "iptables-legacy -A INPUT -d 232.1.1.1 -j DROP"), "iptables-legacy")
			p.subject.Channels = []membership.Channel{channelOf(v6.channel)}
			ok(t, p.Near.Set("end7", testnet.Name(name+"2")))
			p.subject.Interface = name + "2"
			p.story("protocol", doctor.Fault, p.set(name+"2", testnet.MTU(1200)), "its MTU is 1200")
			p.story("carrier", doctor.Fault, p.set(name, testnet.Down), "has no carrier")
			p.story("address", doctor.Fault, func() { p.shell("ip -6 address flush scope link") }, "no IPv6 link-local address")
		})
	}
}

// rules sets rules of a firewall.
func (p *patient) rules(program, rules string) func() {
	return func() {
		p.t.Helper()
		_, err := exec.LookPath(program)
		needs(p.t, program+", of Debian's packages nftables and iptables", err)
		p.shell(rules)
	}
}

// The other end of a veth pair in the same namespace is set up by the command.
func TestStoryDoctorCarrier(t *testing.T) {
	t.Parallel()
	p := newPatient(t, v4)
	p.silent("carrier")
	ok(t, p.Far.Set("far0", testnet.Down))
	found := p.finds("carrier", doctor.Fault, "eth0 has no carrier")
	if len(found.Mend) > 0 {
		t.Errorf("it has a command, though the other end is elsewhere: %q", found.Mend)
	}
	ok(t, p.Far.Set("far0", testnet.Up))
	p.silent("carrier")

	ok(t, testnet.AddVeth(p.Near, p.Near, testnet.Veth{Name: "eth7", PeerName: "end7"}))
	p.subject.Interface = "eth7"
	p.story("carrier", doctor.Fault, p.set("end7", testnet.Down), "eth7 has no carrier")
}

// A dormant interface has its carrier, and waits.
func TestStoryDoctorOperState(t *testing.T) {
	t.Parallel()
	p := newPatient(t, v4)
	p.silent("carrier")
	p.shell("ip link set eth0 mode dormant && ip link set eth0 state dormant")
	p.finds("carrier", doctor.Warning, "its state is dormant")
	p.shell("ip link set eth0 mode default && ip link set eth0 state up")
	p.silent("carrier")
}

func TestStoryDoctorMulticastFlag(t *testing.T) {
	t.Parallel()
	p := newPatient(t, v4)
	p.story("multicast_flag", doctor.Fault, p.set("eth0", testnet.MulticastOff), "MULTICAST off")
}

func TestStoryDoctorAddress(t *testing.T) {
	t.Parallel()
	p := newPatient(t, v4)
	p.silent("address")
	ok(t, p.Near.Set("eth0", testnet.NoAddresses))
	p.finds("address", doctor.Warning, "eth0 has no IPv4 address")
	ok(t, p.Near.Set("eth0", testnet.Address("10.1.0.2/24")))
	p.silent("address")
}

func TestStoryDoctorLinkLocal(t *testing.T) {
	t.Parallel()
	p := newPatient(t, v6)
	p.story("address", doctor.Fault, func() { p.shell("ip -6 address flush dev eth0 scope link") }, "eth0 has no IPv6 link-local address")
}

// Another host has the address that this one wants to have.
func TestStoryDoctorDuplicate(t *testing.T) {
	t.Parallel()
	p := newPatient(t, v6)
	p.silent("address")
	ok(t, p.Far.Set("far0", testnet.Address("fe80::7/64")))
	p.shell("ip -6 address flush dev eth0 scope link")
	ok(t, p.Near.Set("eth0", testnet.TentativeAddress("fe80::7/64")))
	p.finds("address", doctor.Fault, "fe80::7 of eth0 is a duplicate")
}

// While an address is looked for on the wire it is tentative.
func TestStoryDoctorTentative(t *testing.T) {
	t.Parallel()
	p := newPatient(t, v6)
	p.wait = 0 // or it is over
	p.silent("address")
	p.shell("ip -6 address flush dev eth0 scope link")
	ok(t, p.Near.SetSysctl("net/ipv6/conf/eth0/dad_transmits", "30"))
	ok(t, p.Near.Set("eth0", testnet.TentativeAddress("fe80::9/64")))
	p.finds("address", doctor.Warning, "fe80::9 of eth0 is still tentative")
}

func TestStoryDoctorMTU(t *testing.T) {
	t.Parallel()
	p := newPatient(t, v6)
	p.story("protocol", doctor.Fault, p.set("eth0", testnet.MTU(1200)), "IPv6 is dead on eth0: its MTU is 1200, and at least 1280 is wanted")
}

func TestStoryDoctorDisabledIPv6(t *testing.T) {
	t.Parallel()
	p := newPatient(t, v6)
	p.story("protocol", doctor.Fault, p.sysctl("net/ipv6/conf/eth0/disable_ipv6", "1"), "IPv6 is disabled on eth0")
}
