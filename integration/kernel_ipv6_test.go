package integration

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/internal/testnet/wire"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Fact K27: MLD reports come from :: while the link-local address is
// tentative, and once more from that address when it is ready.
func TestK27ReportsBeforeAndAfterTheLinkLocalAddress(t *testing.T) {
	t.Parallel()
	l := newLab(t, v6)
	c := newCapture(t, l.Far)
	l.joined()
	first, err := c.Wait(l.ctx, l.isReport(wire.AllowNewSources))
	ok(t, err)
	if first.From != netip.IPv6Unspecified() {
		t.Errorf("heard first %v", first)
	}
	_, err = c.Wait(l.ctx, func(r wire.Report) bool {
		return r.From.IsLinkLocalUnicast() && r.Group == v6.channel.group && slices.Contains(r.Sources, v6.channel.source)
	})
	ok(t, err)
}

// Fact K28: on a fresh interface IPv6 multicast is delivered only once the
// kernel has added the route to ff00::/8.
func TestK28IPv6WaitsForItsRoute(t *testing.T) {
	t.Parallel()
	l := newLab(t, v6)
	ok(t, l.Recreate("eth0", testnet.Veth{}))
	r := l.listener(v6.channel)
	index := l.index()
	eventually(t, func() error {
		count := r.Stats().Count
		there, err := hasMulticastRoute(l.Near, index) // the later look
		ok(t, err)
		if count == 0 {
			return errors.New("nothing is delivered")
		}
		if !there {
			t.Errorf("%d datagrams without a route", count)
		}
		return nil
	})
}

func hasMulticastRoute(n *testnet.Namespace, index int) (bool, error) {
	const localTable = 255
	routes, err := n.Netlink.RouteListFiltered(netlink.FAMILY_V6,
		&netlink.Route{Table: localTable, LinkIndex: index}, netlink.RT_FILTER_TABLE|netlink.RT_FILTER_OIF)
	if err != nil {
		return false, fmt.Errorf("list routes: %w", err)
	}
	for _, r := range routes {
		if r.Dst != nil && r.Dst.String() == "ff00::/8" {
			return true, nil
		}
	}
	return false, nil
}

// Fact K31: IPv6 goes deaf after down and up when any process left or joined
// any other channel meanwhile, although the kernel lists the membership. The
// first report that is due while the interface is down takes all memberships
// that were there for left, and after up nothing is reported. Leaving the source
// and joining it again cures that. IPv4 is not affected.
func TestK31ChangeWhileDownDeafensIPv6(t *testing.T) {
	changes := map[string]func(l *lab, neighbour process){
		"leave": func(_ *lab, neighbour process) { neighbour.end() },
		"join":  func(l *lab, _ process) { ok(l.t, l.socket().join(l.index(), l.spare(2))) },
	}
	bothFamilies(t, func(t *testing.T, f family) {
		for name, change := range changes {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				l := newLab(t, f)
				c, r, index := newCapture(t, l.Far), l.listener(f.channel), l.index()
				neighbour, clock := newProcess(t, l.Near, index, f.spare(1)), l.clock()
				l.hears(r)
				l.reported(c, wire.AllowNewSources, 2)
				ok(t, l.Near.SetSysctl("net/ipv6/conf/eth0/mldv2_unsolicited_report_interval", "10")) // ms
				ok(t, l.Near.Set("eth0", testnet.Down))
				change(l, neighbour)
				ok(t, clock.WaitNew(l.ctx, reportsGo))
				heard := len(c.Reports())
				ok(t, l.Near.Set("eth0", testnet.Up))
				l.wantUsers(1)
				if f.name == "v4" {
					l.hears(r)
					return
				}
				l.deaf(r)
				silent(t, c, f.channel.group, heard, l.mark(c, 3))
				l.wantUsers(1)
				l.believes(socketOf(t, r), index)
				rejoinCures(l, c, r)
			})
		}
	})
}

func rejoinCures(l *lab, c *wire.Capture, r *testnet.Receiver) {
	l.t.Helper()
	s, heard := socketOf(l.t, r), len(c.Reports())
	ok(l.t, s.leave(l.index(), l.channel))
	ok(l.t, s.join(l.index(), l.channel))
	l.wantUsers(1)
	l.hears(r)
	_, err := c.WaitFrom(l.ctx, heard, l.isReport(wire.AllowNewSources))
	ok(l.t, err)
}

// Fact K32: asked with index 0, the kernel chooses an interface by its routes.
func TestK32IndexZeroFollowsRoutes(t *testing.T) {
	t.Parallel()
	l := newLab(t, v6)
	ok(t, l.Connect(testnet.Veth{Name: "eth1", PeerName: "far1", Addresses: []string{}, PeerAddresses: []string{}}))
	for i, name := range []string{"eth0", "eth1"} {
		group := v6.spare(i).group
		dst, err := netlink.ParseIPNet(group.String() + "/128")
		ok(t, err)
		route := &netlink.Route{Dst: dst, LinkIndex: l.indexOf(name), Table: 255, Type: unix.RTN_MULTICAST}
		eventually(t, func() error { return l.Near.Netlink.RouteReplace(route) })
		ok(t, l.socket().join(0, v6.spare(i)))
		if got := l.users(l.indexOf(name), group); got != 1 {
			t.Errorf("%s has %d users on %s, where its route leads", group, got, name)
		}
	}
}
