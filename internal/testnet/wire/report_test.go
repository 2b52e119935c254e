package wire

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ssmd-project/ssmd/internal/testnet"
)

// Reports as they are on the wire, of two records, with options.
func TestDecodeReports(t *testing.T) {
	t.Parallel()
	a4, b4 := netip.MustParseAddr("232.1.1.1"), netip.MustParseAddr("232.1.1.2")
	group6 := netip.MustParseAddr("ff3e::8000:1")
	for name, c := range map[string]struct {
		packet []byte
		want   []Report
		fails  bool
	}{
		"IGMPv3": {ipv4Packet(igmpv3...), []Report{
			{Group: a4, Type: AllowNewSources, Sources: []netip.Addr{testnet.Source4, b4}},
			{Group: b4, Type: ChangeToExcludeMode},
		}, false},
		"IGMPv3 cut short": {ipv4Packet(igmpv3[:len(igmpv3)-4]...), nil, true},
		"IGMPv2 report":    {ipv4Packet(0x16, 0, 0, 0, 232, 1, 1, 1), []Report{{Group: a4, Type: V2Report}}, false},
		"IGMPv2 leave":     {ipv4Packet(0x17, 0, 0, 0, 232, 1, 1, 1), []Report{{Group: a4, Type: V2Leave}}, false},
		"IGMP query":       {ipv4Packet(0x11, 1, 0xec, 0x81, 0, 0, 0, 0, 2, 125, 0, 0), nil, false},
		"MLDv2": {ipv6Packet(mldv2...), []Report{
			{Group: group6, Type: BlockOldSources, Sources: []netip.Addr{testnet.Source6}},
			{Group: group6, Type: ModeIsInclude, Sources: []netip.Addr{testnet.Source6}},
		}, false},
		"MLDv2 cut short": {ipv6Packet(mldv2[:len(mldv2)-8]...), nil, true},
		"nothing":         {nil, nil, false},
		"garbage":         {[]byte{0x45, 0}, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := decodeReports(c.packet)
			if (err != nil) != c.fails {
				t.Errorf("error %v", err)
			}
			if diff := cmp.Diff(c.want, got, cmpopts.IgnoreFields(Report{}, "From"), cmp.Comparer(sameAddr)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func sameAddr(a, b netip.Addr) bool { return a == b }

func FuzzDecodeReports(f *testing.F) {
	f.Add(ipv4Packet(igmpv3...))
	f.Add(ipv6Packet(mldv2...))
	f.Fuzz(func(t *testing.T, b []byte) {
		reports, err := decodeReports(b)
		if err != nil && reports != nil {
			t.Error("both reports and an error")
		}
	})
}

var (
	igmpv3 = []byte{0x22, 0, 0, 0, 0, 0, 0, 2,
		5, 0, 0, 2, 232, 1, 1, 1, 10, 1, 0, 1, 232, 1, 1, 2,
		4, 0, 0, 0, 232, 1, 1, 2}
	mldv2 = mldReport()
)

func mldReport() []byte {
	group, source := netip.MustParseAddr("ff3e::8000:1").AsSlice(), testnet.Source6.AsSlice()
	b := []byte{143, 0, 0, 0, 0, 0, 0, 2}
	for _, kind := range []byte{6, 1} {
		b = append(b, kind, 0, 0, 1)
		b = append(append(b, group...), source...)
	}
	return b
}

// ipv4Packet puts a header with the router alert option before an IGMP
// message.
func ipv4Packet(message ...byte) []byte {
	return append([]byte{0x46, 0xc0, 0, byte(24 + len(message)), 0, 0, 0, 0, 1, 2, 0, 0,
		10, 1, 0, 2, 224, 0, 0, 22, 0x94, 4, 0, 0}, message...)
}

// ipv6Packet puts a header and a hop-by-hop header with the router alert
// option before an ICMPv6 message.
func ipv6Packet(message ...byte) []byte {
	b := []byte{0x60, 0, 0, 0, 0, byte(8 + len(message)), 0, 1}
	b = append(b, netip.MustParseAddr("fe80::2").AsSlice()...)
	b = append(b, netip.MustParseAddr("ff02::16").AsSlice()...)
	return append(append(b, 58, 0, 5, 2, 0, 0, 1, 0), message...)
}
