package integration

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/internal/testnet/wire"
	"golang.org/x/sys/unix"
)

// Fact K8: an MTU below 1280 ends IPv6 on an interface, and all memberships,
// while the interface and its index live on. A greater MTU does not bring them
// back, and the socket's entry is stale just as after a removal. The signs are
// the MTU, the end of each IPv6 address and of the group ff02::1.
func TestK08SmallMTUEndsIPv6(t *testing.T) {
	t.Parallel()
	l := newLab(t, v6)
	r, index := l.listener(v6.channel), l.index()
	s := socketOf(t, r)
	l.hears(r)
	m := newMonitor(t, l.Near, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV6_IFADDR, rtnlgrpIPv6McAddr)
	ok(t, l.Near.Set("eth0", testnet.MTU(1200)))
	l.wantUsers(0)
	l.believes(s, index)

	events := m.mark(l.Near, "after")
	allNodes := netip.MustParseAddr("ff02::1")
	for what, sign := range map[string]func(event) bool{
		"NEWLINK":            is(unix.RTM_NEWLINK, unix.AF_UNSPEC, index),
		"DELADDR":            is(unix.RTM_DELADDR, unix.AF_INET6, index),
		"DELMULTICAST of it": func(e event) bool { return e.kind == unix.RTM_DELMULTICAST && e.group() == allNodes },
	} {
		if !slices.ContainsFunc(events, sign) {
			t.Errorf("no %s: %v", what, events)
		}
	}
	for _, e := range events {
		if e.kind == unix.RTM_DELLINK && e.index == index {
			t.Errorf("%v", e)
		}
		if e.kind == unix.RTM_DELMULTICAST && e.group() == v6.channel.group {
			t.Errorf("the channel's own end is told: %v", e)
		}
	}

	ok(t, l.Near.Set("eth0", testnet.MTU(1500), testnet.Address("2001:db8:1::2/64")))
	if l.index() != index {
		t.Errorf("the index is %d, was %d", l.index(), index)
	}
	l.wantUsers(0)
	l.deaf(r)
	wantErrno(t, "joining again", s.join(index, v6.channel), unix.EADDRNOTAVAIL)
	ok(t, s.leaveGroup(index, v6.channel.group))
	ok(t, s.join(index, v6.channel))
	l.hears(r)
}

// Fact K8 for IPv4: an MTU below 68 ends it, on drivers that allow one.
func TestK08SmallMTUEndsIPv4(t *testing.T) {
	t.Parallel()
	n := newNamespace(t)
	needs(t, "ifb", n.Add(testnet.IFB("ifb7"), testnet.Address("10.1.0.2/24"), testnet.Up))
	index, err := n.Index("ifb7")
	ok(t, err)
	s := newSocket(t, n, v4)
	ok(t, s.join(index, v4.channel))
	users := func(want int) {
		t.Helper()
		if got := usersOf(t, n, index, v4.channel.group); got != want {
			t.Errorf("%d users, want %d", got, want)
		}
	}
	users(1)
	ok(t, n.Set("ifb7", testnet.MTU(67)))
	users(0)
	ok(t, n.Set("ifb7", testnet.MTU(1500), testnet.Address("10.1.0.2/24")))
	users(0)
	wantErrno(t, "joining again", s.join(index, v4.channel), unix.EADDRNOTAVAIL)
}

// Fact K9: turning IPv6 off on an interface stops delivery, and turning it on
// restores it without a new join.
func TestK09DisableIPv6(t *testing.T) {
	t.Parallel()
	l := newLab(t, v6)
	newSender(t, l.Network, netip.AddrPortFrom(v4.marker.group, port))
	r := l.listener(v6.channel)
	l.hears(r)
	const sysctl = "net/ipv6/conf/eth0/disable_ipv6"
	ok(t, l.Near.SetSysctl(sysctl, "1"))
	l.deafBy(r, l.listener(v4.marker))
	ok(t, l.Near.SetSysctl(sysctl, "0"))
	l.hears(r)
}

// Fact K11: after down and up the kernel itself joins again and reports it.
func TestK11DownAndUp(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		c, r := newCapture(t, l.Far), l.listener(f.channel)
		l.hears(r)
		l.reported(c, wire.AllowNewSources, 2)
		heard := len(c.Reports())
		ok(t, l.Near.Set("eth0", testnet.Down))
		ok(t, l.Near.Set("eth0", testnet.Up))
		_, err := c.WaitFrom(l.ctx, heard, l.isReport(wire.AllowNewSources))
		ok(t, err)
		l.hears(r)
	})
}

// Fact K11: a join while the interface is down is accepted, and reported and
// delivered when it is up. (For IPv6 it may deafen others: K31.)
func TestK11JoinWhileDown(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		c := newCapture(t, l.Far)
		ok(t, l.Near.Set("eth0", testnet.Down))
		r := l.listener(f.channel)
		ok(t, l.Near.Set("eth0", testnet.Up))
		_, err := c.Wait(l.ctx, func(r wire.Report) bool { return r.Group == f.channel.group })
		ok(t, err)
		l.hears(r)
	})
}

// Fact K12: a membership outlives the interface's name, also when it is up,
// and all of its addresses.
func TestK12RenameAndNoAddress(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		newSender(t, l.Network, netip.AddrPortFrom(f.spare(1).group, port))
		r, index := l.listener(f.channel), l.index()
		l.hears(r)
		ok(t, l.Near.Set("eth0", testnet.Name("lan0")))
		if got := l.indexOf("lan0"); got != index {
			t.Errorf("the index is %d, was %d", got, index)
		}
		l.hears(r)
		ok(t, l.Near.Set("lan0", testnet.NoAddresses))
		l.hears(r)
	})
}

// Fact K12 for IPv4: a join needs no address. Its report comes from 0.0.0.0,
// and an address that is added later brings no new one.
func TestK12JoinWithoutAddress(t *testing.T) {
	t.Parallel()
	l := newLab(t, v4)
	c := newCapture(t, l.Far)
	ok(t, l.Near.Set("eth0", testnet.NoAddresses))
	s := l.socket()
	ok(t, s.join(l.index(), v4.channel))
	l.reported(c, wire.AllowNewSources, 2)
	for _, r := range c.Reports() {
		if r.Group == v4.channel.group && r.From != netip.IPv4Unspecified() {
			t.Errorf("heard %v", r)
		}
	}
	heard := len(c.Reports())
	ok(t, l.Near.Set("eth0", testnet.Address("10.1.0.2/24")))
	silent(t, c, v4.channel.group, heard, l.mark(c, 1))
}

// Fact K13: the kernel accepts joins that make no sense: of a source that
// cannot be one, a source outside the source-specific range, any source
// inside it, and on an interface without IFF_MULTICAST (where a veth pair even
// delivers, but a driver need not).
func TestK13JoinsAreNotChecked(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		c := newCapture(t, l.Far)
		bogus := []channel{
			{netip.MustParseAddr("0.0.0.0"), f.spare(1).group},
			{netip.MustParseAddr("255.255.255.255"), f.spare(2).group},
			{netip.MustParseAddr("224.0.0.5"), f.spare(3).group},
			{testnet.Source4, netip.MustParseAddr("239.1.1.1")},
			{group: f.spare(4).group},
		}
		if f.name == "v6" {
			bogus = []channel{
				{netip.IPv6Unspecified(), f.spare(1).group},
				{netip.MustParseAddr("ff02::5"), f.spare(3).group},
				{testnet.Source6, netip.MustParseAddr("ff0e::1:1")},
				{group: f.spare(4).group},
			}
		}
		for _, b := range bogus {
			if err := l.socket().join(l.index(), b); err != nil {
				t.Errorf("join of %v: %v", b, err)
			}
		}
		l.mark(c, 9)

		ok(t, l.Near.Set("eth0", testnet.MulticastOff))
		ok(t, l.socket().join(l.index(), f.channel))
		l.wantUsers(1)
	})
}
