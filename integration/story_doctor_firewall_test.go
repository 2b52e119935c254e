package integration

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/ssmd-project/ssmd/internal/doctor"
	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/internal/testnet/wire"
)

// filtered is a patient with rules of nftables, or iptables.
func filtered(t *testing.T, f family, program, rules string) *patient {
	t.Helper()
	_, err := exec.LookPath(program)
	needs(t, program+", of Debian's packages nftables and iptables", err)
	p := newPatient(t, f)
	p.silent("firewall")
	p.shell(rules)
	return p
}

// A rule that drops the stream, in many forms: what the doctor says is held
// against what the kernel does.
func TestStoryDoctorFirewallDropsTheStream(t *testing.T) {
	t.Parallel()
	const filter = "nft add table inet f; nft 'add chain inet f in { type filter hook input priority 0; policy %; }'; "
	accepting := func(rules string) string { return replace(filter, "accept") + rules }
	dropping := func(rules string) string { return replace(filter, "drop") + rules }
	for name, story := range map[string]struct {
		family family
		rules  string
		place  string
	}{
		"policy":       {v4, dropping(""), "nft inet f in, policy drop"},
		"policy v6":    {v6, dropping("nft add rule inet f in meta l4proto ipv6-icmp accept"), "nft inet f in, policy drop"},
		"group":        {v4, accepting("nft add rule inet f in ip daddr 232.0.0.0/8 drop"), "nft inet f in, rule handle"},
		"group v6":     {v6, accepting("nft add rule inet f in ip6 daddr ff3e::/32 udp dport 5000 counter reject"), "nft inet f in, rule handle"},
		"source":       {v4, accepting("nft add rule inet f in iifname eth0 ip saddr '{ 10.0.0.0/8, 192.168.0.0/16 }' udp dport 4000-6000 drop"), "nft inet f in, rule handle"},
		"port":         {v4, accepting("nft add rule inet f in udp dport '{ 22, 5000 }' drop"), "nft inet f in, rule handle"},
		"map":          {v4, accepting("nft add rule inet f in meta l4proto vmap '{ tcp : accept, udp : drop }'"), "nft inet f in, rule handle"},
		"multicast":    {v4, accepting("nft add rule inet f in meta pkttype multicast ip protocol != igmp drop"), "nft inet f in, rule handle"},
		"state":        {v4, dropping("nft add rule inet f in ct state established,related accept; nft add rule inet f in tcp dport 22 accept; nft add rule inet f in ip protocol igmp accept"), "nft inet f in, policy drop"},
		"jump":         {v4, accepting("nft add chain inet f strict; nft add rule inet f strict ip protocol igmp return; nft add rule inet f strict drop; nft add rule inet f in iifname eth0 jump strict"), "nft inet f strict, rule handle"},
		"raw":          {v4, "nft add table ip raw; nft 'add chain ip raw pre { type filter hook prerouting priority raw; }'; nft add rule ip raw pre ip daddr 232.1.1.1 drop", "nft ip raw pre, rule handle"},
		"ingress":      {v4, "nft add table netdev d; nft 'add chain netdev d in { type filter hook ingress device eth0 priority 0; }'; nft add rule netdev d in ip daddr 232.1.1.1 drop", "nft netdev d in, rule handle"},
		"end":          {v4, dropping("nft add chain inet f rest; nft add rule inet f in ip protocol igmp accept; nft add rule inet f in goto rest"), "nft inet f in, policy drop"},
		"untracked":    {v4, "nft add table inet r; nft 'add chain inet r pre { type filter hook prerouting priority raw; }'; nft add rule inet r pre udp dport 5000 notrack; " + accepting("nft add rule inet f in ct state untracked udp dport 5000 drop"), "nft inet f in, rule handle"},
		"iptables-nft": {v4, "iptables-nft -A INPUT -i eth0 -p udp -d 232.0.0.0/8 -j DROP", "nft ip filter INPUT, rule handle"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := filtered(t, story.family, "nft", story.rules)
			p.dropsTheStream(story.place)
		})
	}
}

func replace(pattern, policy string) string {
	before, after, _ := strings.Cut(pattern, "%")
	return before + policy + after
}

// dropsTheStream checks that the kernel does, that the doctor knows where, and
// that his command, which lets the stream through, is the one.
func (p *patient) dropsTheStream(place string) {
	p.t.Helper()
	found := p.finds("firewall", doctor.Fault, "a rule drops the stream", place)
	p.deafHere()
	for _, f := range of(p.examine(), "firewall") {
		p.obey(f)
	}
	p.hears(p.receiver)
	p.silent("firewall")
	p.t.Logf("%s: %q", found.Found, found.Mend)
}

func TestStoryDoctorIptablesDropsTheStream(t *testing.T) {
	t.Parallel()
	for name, story := range map[string]struct {
		family family
		rules  string
		place  string
	}{
		"rule":   {v4, "iptables-legacy -A INPUT -p tcp -j DROP; iptables-legacy -A INPUT -i eth+ -p udp -m udp --dport 4000:6000 -m comment --comment 'not this one' -j DROP", "iptables-legacy -t filter, chain INPUT, rule 2"},
		"policy": {v4, "iptables-legacy -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT; iptables-legacy -A INPUT -p igmp -j ACCEPT; iptables-legacy -P INPUT DROP", "iptables-legacy -t filter, chain INPUT, policy DROP"},
		"chain":  {v4, "iptables-legacy -N strict; iptables-legacy -A strict ! -s 10.2.0.0/16 -j DROP; iptables-legacy -A INPUT -p udp -j strict", "iptables-legacy -t filter, chain strict, rule 1"},
		"end":    {v4, "iptables-legacy -N rest; iptables-legacy -A INPUT -p igmp -j ACCEPT; iptables-legacy -A INPUT -g rest; iptables-legacy -P INPUT DROP", "iptables-legacy -t filter, chain INPUT, policy DROP"},
		"v6":     {v6, "ip6tables-legacy -t raw -A PREROUTING -d ff30::/12 -p udp -j DROP", "ip6tables-legacy -t raw, chain PREROUTING, rule 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := filtered(t, story.family, "iptables-legacy", story.rules)
			p.dropsTheStream(story.place)
		})
	}
}

// Reverse path filters of the firewall, as firewalld and NixOS have them, let
// through what comes in on the way to its source, and nothing else.
func TestStoryDoctorFirewallReversePath(t *testing.T) {
	t.Parallel()
	nft := "nft add table inet f; nft 'add chain inet f pre { type filter hook prerouting priority raw + 10; }'; nft add rule inet f pre fib saddr . mark . iif oif missing drop"
	for name, story := range map[string]struct {
		family  family
		program string
		rules   string
	}{
		"nft":          {v4, "nft", nft},
		"nft v6":       {v6, "nft", nft},
		"iptables-nft": {v4, "nft", "iptables-nft -t raw -A PREROUTING -m rpfilter --validmark --invert -j DROP"},
		"legacy v6":    {v6, "iptables-legacy", "ip6tables-legacy -t raw -A PREROUTING -m rpfilter --validmark --invert -j DROP"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := filtered(t, story.family, story.program, story.rules)
			p.hears(p.receiver)
			p.silent("firewall")
			host := map[string]string{v4.name: "/32", v6.name: "/128"}[story.family.name]
			p.shell("ip route add " + p.channel.source.String() + host + " dev lo")
			p.dropsTheStream("rule ")
		})
	}
}

// What is not known of the packets makes a warning, and --port decides it.
func TestStoryDoctorFirewallMayDrop(t *testing.T) {
	t.Parallel()
	p := filtered(t, v4, "nft", "nft add table inet f; nft 'add chain inet f in { type filter hook input priority 0; }'; nft add rule inet f in udp dport 4000 drop")
	p.silent("firewall") // datagrams tell the port
	p.wait = 0
	found := p.finds("firewall", doctor.Warning, "a rule may drop the stream", "nft inet f in, rule handle")
	p.subject.Port = port
	p.silent("firewall")
	p.subject.Port = 0
	p.obey(found)
	p.silent("firewall")
}

// Queries have to come in, or the host does not answer.
func TestStoryDoctorFirewallDropsQueries(t *testing.T) {
	t.Parallel()
	for _, story := range []struct {
		family family
		rule   string
		words  string
		query  testnet.Query
	}{
		{v4, "ip protocol igmp drop", "a rule drops IGMP queries: nft inet f in, rule handle", testnet.QueryV3},
		{v6, "icmpv6 type mld-listener-query drop", "a rule drops MLD queries: nft inet f in, rule handle", testnet.QueryMLD},
	} {
		t.Run(story.family.name, func(t *testing.T) {
			t.Parallel()
			p := filtered(t, story.family, "nft", "nft add table inet f; nft 'add chain inet f in { type filter hook input priority 0; }'; nft add rule inet f in "+story.rule)
			p.obey(p.finds("firewall", doctor.Fault, story.words))
			p.silent("firewall")
			capture := newCapture(t, p.Far)
			ok(t, p.Far.Ask("far0", story.query))
			_, err := capture.Wait(p.ctx, func(r wire.Report) bool { return r.Group == p.channel.group })
			ok(t, err)
		})
	}
}

// Reports have to go out.
func TestStoryDoctorFirewallDropsReports(t *testing.T) {
	t.Parallel()
	for _, story := range []struct {
		family family
		rules  string
		words  string
	}{
		{v4, "ip protocol igmp drop", "a rule drops IGMP reports: nft inet f out, rule handle"},
		{v6, "icmpv6 type mld2-listener-report drop", "a rule drops MLD reports: nft inet f out, rule handle"},
	} {
		t.Run(story.family.name, func(t *testing.T) {
			t.Parallel()
			p := filtered(t, story.family, "nft", "nft add table inet f; nft 'add chain inet f out { type filter hook output priority 0; }'; nft add rule inet f out "+story.rules)
			p.obey(p.finds("firewall", doctor.Fault, story.words))
			p.silent("firewall")
			capture := newCapture(t, p.Far)
			ok(t, p.socket().join(p.index(), p.spare(7)))
			_, err := capture.Wait(p.ctx, func(r wire.Report) bool { return r.Group == p.spare(7).group })
			ok(t, err)
		})
	}
}

// Rules that concern something else are none of the doctor's business.
func TestStoryDoctorFirewallLetsThrough(t *testing.T) {
	t.Parallel()
	p := filtered(t, v4, "nft", `nft add table inet f; nft 'add chain inet f in { type filter hook input priority 0; policy drop; }'
nft add rule inet f in iifname eth1 drop
nft add rule inet f in ip saddr 10.9.0.0/16 drop
nft add rule inet f in udp dport '{ 22, 53, 5001-6000 }' drop
nft add rule inet f in ct state invalid drop
nft add rule inet f in ip daddr '{ 224.0.0.0/24, 232.0.0.0/8 }' accept
nft add table ip6 g; nft 'add chain ip6 g in { type filter hook input priority 0; policy drop; }'`)
	p.silent("firewall")
	p.hears(p.receiver)
}
