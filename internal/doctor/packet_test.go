package doctor

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/membership"
)

var (
	compareAddr = cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{})

	addr     = netip.MustParseAddr
	source4  = addr("10.1.0.1")
	group4   = addr("232.1.1.1")
	source6  = addr("2001:db8::1")
	group6   = addr("ff3e::8000:1")
	channel4 = membership.Channel{Source: source4, Group: group4}
	channel6 = membership.Channel{Source: source6, Group: group6}
)

// ip puts an IP header before a body; of IPv6 with a router alert where it is
// ICMPv6.
func ip(from, to netip.Addr, protocol byte, body []byte) []byte {
	if to.Is4() {
		b := make([]byte, 20, 64)
		b[0], b[9] = 0x45, protocol
		copy(b[12:], from.AsSlice())
		copy(b[16:], to.AsSlice())
		return append(b, body...)
	}
	b := make([]byte, 40, 128)
	b[0], b[6] = 0x60, protocol
	copy(b[8:], from.AsSlice())
	copy(b[24:], to.AsSlice())
	if protocol == unix.IPPROTO_ICMPV6 {
		b[6] = unix.IPPROTO_HOPOPTS
		b = append(b, protocol, 0, 5, 2, 0, 0, 1, 0)
	}
	return append(b, body...)
}

func udp(port uint16) []byte { return []byte{0, 1, byte(port >> 8), byte(port), 0, 8, 0, 0} }

// report is one of IGMPv3 or MLDv2 with a record of each kind.
func report(kind byte, group, source netip.Addr, records ...byte) []byte {
	b := []byte{kind, 0, 0, 0, 0, 0, 0, byte(len(records))}
	for _, r := range records {
		b = append(b, r, 0, 0, 1)
		b = append(append(b, group.AsSlice()...), source.AsSlice()...)
	}
	return b
}

func TestHear(t *testing.T) {
	const in, out = false, true
	query := func(kind, code byte, length int) []byte {
		b := make([]byte, length)
		b[0], b[1] = kind, code
		return b
	}
	for name, test := range map[string]struct {
		packet   []byte
		outgoing bool
		want     Heard
		streams  int
	}{
		"stream v4":      {ip(source4, group4, unix.IPPROTO_UDP, udp(5000)), in, Heard{}, 1},
		"stream v6":      {ip(source6, group6, unix.IPPROTO_UDP, udp(5000)), in, Heard{}, 1},
		"own stream":     {ip(source4, group4, unix.IPPROTO_UDP, udp(5000)), out, Heard{}, 0},
		"IGMPv1 query":   {ip(source4, allSystems, unix.IPPROTO_IGMP, query(igmpQuery, 0, 8)), in, Heard{Queries: []Query{{source4, ifwatch.IPv4, 1}}}, 0},
		"IGMPv2 query":   {ip(source4, allSystems, unix.IPPROTO_IGMP, query(igmpQuery, 10, 8)), in, Heard{Queries: []Query{{source4, ifwatch.IPv4, 2}}}, 0},
		"IGMPv3 query":   {ip(source4, allSystems, unix.IPPROTO_IGMP, query(igmpQuery, 10, 12)), in, Heard{Queries: []Query{{source4, ifwatch.IPv4, 3}}}, 0},
		"MLDv1 query":    {ip(source6, allNodes, unix.IPPROTO_ICMPV6, query(mldQuery, 0, 24)), in, Heard{Queries: []Query{{source6, ifwatch.IPv6, 1}}}, 0},
		"MLDv2 query":    {ip(source6, allNodes, unix.IPPROTO_ICMPV6, query(mldQuery, 0, 28)), in, Heard{Queries: []Query{{source6, ifwatch.IPv6, 2}}}, 0},
		"others' report": {ip(source4, igmpRouters, unix.IPPROTO_IGMP, report(igmpV3Report, group4, source4, 5)), in, Heard{}, 0},
		"IGMPv3 report": {ip(source4, igmpRouters, unix.IPPROTO_IGMP, report(igmpV3Report, group4, source4, 5, 6)), out, Heard{Reports: []GroupReport{
			{group4, []netip.Addr{source4}, 3, false}, {group4, []netip.Addr{source4}, 3, true}}}, 0},
		"MLDv2 report": {ip(source6, mldRouters, unix.IPPROTO_ICMPV6, report(mldV2Report, group6, source6, 5)), out, Heard{Reports: []GroupReport{{group6, []netip.Addr{source6}, 2, false}}}, 0},
		"IGMPv2 report": {ip(source4, group4, unix.IPPROTO_IGMP, append([]byte{igmpV2Report, 0, 0, 0}, group4.AsSlice()...)), out,
			Heard{Reports: []GroupReport{{Group: group4, Version: 2}}}, 0},
		"IGMPv2 leave": {ip(source4, group4, unix.IPPROTO_IGMP, append([]byte{igmpV2Leave, 0, 0, 0}, group4.AsSlice()...)), out,
			Heard{Reports: []GroupReport{{Group: group4, Version: 2, Leave: true}}}, 0},
		"MLDv1 report": {ip(source6, group6, unix.IPPROTO_ICMPV6, append([]byte{mldV1Report, 0, 0, 0, 0, 0, 0, 0}, group6.AsSlice()...)), out,
			Heard{Reports: []GroupReport{{Group: group6, Version: 1}}}, 0},
		"ping":            {ip(source4, group4, unix.IPPROTO_ICMP, make([]byte, 8)), in, Heard{}, 0},
		"not IP":          {[]byte{0x11, 2, 3}, in, Heard{}, 0},
		"too many groups": {ip(source4, igmpRouters, unix.IPPROTO_IGMP, report(igmpV3Report, group4, source4, 5)[:13]), out, Heard{}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			e := &ear{count: make(map[streamKey]int)}
			for end := range len(test.packet) { // nothing is too short
				(&ear{count: make(map[streamKey]int)}).hear(test.packet[:end], test.outgoing)
			}
			e.hear(test.packet, test.outgoing)
			if diff := cmp.Diff(test.want, e.heard, compareAddr); diff != "" || len(e.count) != test.streams {
				t.Errorf("%d streams, want %d; -want +got:\n%s", len(e.count), test.streams, diff)
			}
		})
	}
}

// The filter in the kernel lets pass what is looked at, and nothing else.
func TestFilter(t *testing.T) {
	many := []membership.Channel{channel4, channel6}
	for n := range mostTests {
		many = append(many, membership.Channel{Source: source4, Group: netip.AddrFrom4([4]byte{232, 2, 0, byte(n)})}, membership.Channel{Source: source6, Group: netip.AddrFrom16([16]byte{0xff, 0x3e, 12: 0x80, 13: 1, 15: byte(n)})})
	}
	fragment := ip(source4, group4, unix.IPPROTO_UDP, udp(1))
	for name, channels := range map[string][]membership.Channel{"few": {channel4, channel6}, "many": many} {
		vm, err := bpf.NewVM(filterFor(channels))
		if err != nil {
			t.Fatal(err)
		}
		for what, test := range map[string]struct {
			packet []byte
			passes bool
		}{
			"stream v4": {fragment, true}, "stream v6": {ip(source6, group6, unix.IPPROTO_UDP, udp(1)), true},
			"other group v4": {ip(source4, addr("232.9.9.9"), unix.IPPROTO_UDP, udp(1)), name == "many"},
			"other group v6": {ip(source6, addr("ff3e::9"), unix.IPPROTO_UDP, udp(1)), name == "many"},
			"unicast v4":     {ip(source4, source4, unix.IPPROTO_UDP, udp(1)), false}, "unicast v6": {ip(source6, source6, unix.IPPROTO_UDP, udp(1)), false},
			"IGMP": {ip(source4, allSystems, unix.IPPROTO_IGMP, make([]byte, 8)), true}, "MLD": {ip(source6, allNodes, unix.IPPROTO_ICMPV6, make([]byte, 24)), true},
			"TCP": {ip(source4, group4, unix.IPPROTO_TCP, make([]byte, 20)), false}, "TCP v6": {ip(source6, group6, unix.IPPROTO_TCP, make([]byte, 20)), false},
		} {
			n, err := vm.Run(test.packet)
			if err != nil || (n > 0) != test.passes {
				t.Errorf("%s: %s: %d, %v; want it to pass: %t", name, what, n, err, test.passes)
			}
		}
	}
}
