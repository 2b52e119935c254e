package testnet

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// Joins arrive on the far side as reports, also after the far interface was
// made anew, with their sources and groups.
func TestCaptureReports(t *testing.T) {
	t.Parallel()
	ctx, n := patience(t), network(t)
	c := capture(t, n.Far)
	channels := []struct {
		to     netip.AddrPort
		source netip.Addr
	}{{data4, Source4}, {data6, Source6}}
	for range 2 {
		heard := len(c.Reports())
		for _, ch := range channels {
			r, err := NewReceiver(n.Near, ReceiverConfig{Listen: ch.to, Join: "eth0", Source: ch.source})
			ok(t, err)
			defer r.Close()
			report, err := c.WaitFrom(ctx, heard, func(r Report) bool {
				return r.Is(AllowNewSources, ch.source, ch.to.Addr())
			})
			ok(t, err)
			if report.Interface != "far0" || len(report.Sources) != 1 {
				t.Errorf("got %v", report)
			}
		}
		ok(t, n.Recreate("eth0", Veth{}))
	}
}

// A query is answered with all groups: several records in one packet.
func TestAsk(t *testing.T) {
	t.Parallel()
	ctx, n := patience(t), network(t)
	c := capture(t, n.Far)
	for _, g := range append(someGroups, data6) {
		source := Source4
		if g.Addr().Is6() {
			source = Source6
		}
		r, err := NewReceiver(n.Near, ReceiverConfig{Listen: g, Join: "eth0", Source: source})
		ok(t, err)
		defer r.Close()
	}
	ok(t, n.Far.Ask("far0", QueryV3))
	packet := 0
	for _, g := range someGroups {
		r, err := c.Wait(ctx, func(r Report) bool { return r.Is(ModeIsInclude, Source4, g.Addr()) })
		ok(t, err)
		if packet != 0 && r.Packet != packet {
			t.Errorf("record in packet %d, the one before in %d", r.Packet, packet)
		}
		packet = r.Packet
	}
	ok(t, Eventually(ctx, func() error { return n.Far.Ask("far0", QueryMLD) }))
	_, err := c.Wait(ctx, func(r Report) bool { return r.Is(ModeIsInclude, Source6, data6.Addr()) })
	ok(t, err)
	eth0, err := n.Near.Index("eth0")
	ok(t, err)
	for version, q := range map[string]Query{"V2": QueryV2} {
		ok(t, n.Far.Ask("far0", q))
		ok(t, Eventually(ctx, func() error {
			queriers, err := Queriers(n.Near)
			if queriers[eth0] != version && err == nil {
				return errors.New("not yet")
			}
			return err
		}))
	}
	_, err = c.Wait(ctx, func(r Report) bool { return r.Is(V2Report, netip.Addr{}, data4.Addr()) })
	ok(t, err)
}

func TestGroups(t *testing.T) {
	t.Parallel()
	n := network(t)
	eth0, err := n.Near.Index("eth0")
	ok(t, err)
	for range 2 {
		for _, c := range []ReceiverConfig{
			{Listen: data4, Join: "eth0", Source: Source4}, {Listen: data6, Join: "eth0", Source: Source6},
		} {
			r, err := NewReceiver(n.Near, c)
			ok(t, err)
			defer r.Close()
		}
	}
	groups, err := Groups(n.Near)
	ok(t, err)
	for _, g := range []netip.Addr{data4.Addr(), data6.Addr()} {
		if got := groups[eth0][g]; got != 2 {
			t.Errorf("%s has %d users: %v", g, got, groups)
		}
	}
	if got := groups[1][netip.MustParseAddr("224.0.0.1")]; got != 1 {
		t.Errorf("224.0.0.1 has %d users on lo", got)
	}
}

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
			{Group: a4, Type: AllowNewSources, Sources: []netip.Addr{Source4, b4}},
			{Group: b4, Type: ChangeToExcludeMode},
		}, false},
		"IGMPv3 cut short": {ipv4Packet(igmpv3[:len(igmpv3)-4]...), nil, true},
		"IGMPv2 report":    {ipv4Packet(0x16, 0, 0, 0, 232, 1, 1, 1), []Report{{Group: a4, Type: V2Report}}, false},
		"IGMPv2 leave":     {ipv4Packet(0x17, 0, 0, 0, 232, 1, 1, 1), []Report{{Group: a4, Type: V2Leave}}, false},
		"IGMP query":       {ipv4Packet(QueryV3.body...), nil, false},
		"MLDv2": {ipv6Packet(mldv2...), []Report{
			{Group: group6, Type: BlockOldSources, Sources: []netip.Addr{Source6}},
			{Group: group6, Type: ModeIsInclude, Sources: []netip.Addr{Source6}},
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
	group, source := netip.MustParseAddr("ff3e::8000:1").AsSlice(), Source6.AsSlice()
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
