package firewall

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/ifwatch"
)

var stream = Packet{Direction: In, Interface: "eth0", Index: 3, Source: netip.MustParseAddr("10.1.0.1"),
	Destination: netip.MustParseAddr("232.1.1.1"), Protocol: unix.IPPROTO_UDP, Port: 5000}

// of returns the stream with something changed.
func of(change func(*Packet)) Packet {
	p := stream
	change(&p)
	return p
}

func TestLegacy(t *testing.T) {
	unknownPort := of(func(p *Packet) { p.Port = 0 })
	certain := func(place, mend string) []Drop {
		return []Drop{{Certain, "iptables -t filter, chain " + place, "iptables -t filter " + mend}}
	}
	maybe := func(place, mend string) []Drop {
		return []Drop{{Perhaps, "iptables -t filter, chain " + place, "iptables -t filter " + mend}}
	}
	const through = "-i eth0 -s 10.1.0.1 -d 232.1.1.1 -p udp --dport 5000 -j ACCEPT"
	const throughAny = "-i eth0 -s 10.1.0.1 -d 232.1.1.1 -p udp -j ACCEPT"
	for name, test := range map[string]struct {
		input  string // the policy
		rules  string
		packet Packet
		want   []Drop
	}{
		"nothing":                {"ACCEPT", "", stream, nil},
		"policy":                 {"DROP", "-A INPUT -p tcp -j ACCEPT", stream, certain("INPUT, policy DROP", "-I INPUT "+through)},
		"accepted before":        {"DROP", "-A INPUT -d 232.0.0.0/8 -j ACCEPT\n-A INPUT -j DROP", stream, nil},
		"perhaps accepted":       {"DROP", "-A INPUT -p udp -m udp --dport 5000 -j ACCEPT", unknownPort, maybe("INPUT, policy DROP", "-I INPUT "+throughAny)},
		"perhaps dropped":        {"ACCEPT", "-A INPUT -m mark --mark 0x1 -j DROP", stream, maybe("INPUT, rule 1", "-I INPUT 1 "+through)},
		"not its interface":      {"ACCEPT", "-A INPUT -i eth1 -j DROP\n-A INPUT -o eth0 -j DROP", stream, nil},
		"all but":                {"ACCEPT", "-A INPUT ! -s 10.0.0.0/8 -j DROP\n-A INPUT ! -i lo -j REJECT --reject-with icmp-port-unreachable", stream, certain("INPUT, rule 2", "-I INPUT 2 "+through)},
		"ports":                  {"ACCEPT", "-A INPUT -p udp -m multiport --dports 22,4000:6000 -j DROP", stream, certain("INPUT, rule 1", "-I INPUT 1 "+through)},
		"another's port":         {"ACCEPT", "-A INPUT -p udp -m multiport --dports 22,4000:4999 -j DROP", stream, nil},
		"quoted":                 {"ACCEPT", `-A INPUT -m comment --comment "say \"no\" -j ACCEPT" -j DROP`, stream, certain("INPUT, rule 1", "-I INPUT 1 "+through)},
		"counts only":            {"ACCEPT", "-A INPUT -p udp\n-A INPUT -j LOG --log-prefix \"x y\"", stream, nil},
		"returns":                {"DROP", "-A INPUT -j in\n-A INPUT -j ACCEPT\n-A in -p udp -j RETURN\n-A in -j DROP", stream, nil},
		"goes for good":          {"ACCEPT", "-A INPUT -g in\n-A INPUT -j DROP\n-A in -p tcp -j DROP", stream, nil},
		"perhaps goes for good":  {"ACCEPT", "-A INPUT -m mark --mark 1 -g in\n-A INPUT -j DROP\n-A in -p tcp -j DROP", stream, maybe("INPUT, rule 2", "-I INPUT 2 "+through)},
		"drops below":            {"ACCEPT", "-A INPUT -i eth0 -j in\n-A in -j DROP", stream, certain("in, rule 1", "-I in 1 "+through)},
		"loop":                   {"ACCEPT", "-A INPUT -j in\n-A in -j in", stream, nil},
		"state":                  {"ACCEPT", "-A INPUT -m state --state ESTABLISHED,RELATED -j DROP\n-A INPUT -m conntrack --ctstate INVALID,NEW -j DROP", stream, certain("INPUT, rule 2", "-I INPUT 2 "+through)},
		"the other way":          {"DROP", "-A OUTPUT -j DROP", of(func(p *Packet) { p.Direction = Out }), []Drop{{Certain, "iptables -t filter, chain OUTPUT, rule 1", "iptables -t filter -I OUTPUT 1 -o eth0 -s 10.1.0.1 -d 232.1.1.1 -p udp --dport 5000 -j ACCEPT"}}},
		"source is not known":    {"ACCEPT", "-A INPUT -s 10.0.0.0/8 -j DROP", of(func(p *Packet) { p.Source = netip.Addr{} }), maybe("INPUT, rule 1", "-I INPUT 1 -i eth0 -d 232.1.1.1 -p udp --dport 5000 -j ACCEPT")},
		"source is likely":       {"ACCEPT", "-A INPUT -s 10.0.0.0/8 -j DROP", of(func(p *Packet) { p.Source, p.Likely = netip.Addr{}, p.Source }), certain("INPUT, rule 1", "-I INPUT 1 -i eth0 -d 232.1.1.1 -p udp --dport 5000 -j ACCEPT")},
		"reverse path":           {"ACCEPT", "-A INPUT -m rpfilter --validmark --invert -j DROP", of(func(p *Packet) { p.Path = PathBack }), nil},
		"no reverse path":        {"ACCEPT", "-A INPUT -m rpfilter --invert -j DROP", of(func(p *Packet) { p.Path = PathAway }), certain("INPUT, rule 1", "-I INPUT 1 "+through)},
		"loose reverse path":     {"ACCEPT", "-A INPUT -m rpfilter --loose --invert -j DROP", of(func(p *Packet) { p.Path = PathAway }), maybe("INPUT, rule 1", "-I INPUT 1 "+through)},
		"untracked":              {"ACCEPT", "-A INPUT -j CT --notrack\n-A INPUT -m conntrack --ctstate UNTRACKED -j DROP", stream, certain("INPUT, rule 2", "-I INPUT 2 "+through)},
		"of another family":      {"DROP", "", of(func(p *Packet) { p.Destination = netip.MustParseAddr("ff3e::1") }), nil},
		"what is no rule at all": {"DROP", "-A", of(func(p *Packet) { p.Protocol = unix.IPPROTO_IGMP }), certain("INPUT, policy DROP", "-I INPUT -i eth0 -s 10.1.0.1 -p igmp -j ACCEPT")},
	} {
		t.Run(name, func(t *testing.T) {
			text := "# made by hand\n*filter\n:INPUT " + test.input + " [0:0]\n:OUTPUT ACCEPT [0:0]\n:in - [0:0]\n" + test.rules + "\nCOMMIT\n"
			got := Rules{legacy: parseLegacy(text, ifwatch.IPv4, "iptables")}.Drops(test.packet)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// Nothing that iptables-save could print makes it stumble.
func FuzzLegacy(f *testing.F) {
	f.Add("*filter\n:INPUT DROP [0:0]\n-A INPUT ! -s 10.0.0.0/8 -m x --y \"z -j ACCEPT\n-A INPUT -g INPUT\nCOMMIT")
	f.Fuzz(func(t *testing.T, text string) {
		rules := Rules{legacy: parseLegacy(text, ifwatch.IPv4, "iptables")}
		for _, d := range rules.Drops(stream) {
			if !strings.Contains(d.Mend, "-j ACCEPT") {
				t.Errorf("%+v", d)
			}
		}
	})
}
