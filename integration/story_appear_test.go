package integration

import (
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/internal/testnet/wire"
	"github.com/ssmd-project/ssmd/membership"
	"github.com/ssmd-project/ssmd/reattach"
)

// An interface that is there is joined at once, and the datagrams come.
func TestStoryJoinedAtStart(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		s := newStage(t, f, f.feed())
		if status := s.status("feed"); status.State != membership.StateJoined || status.Joined != 1 {
			t.Errorf("the feed is %s (%s) when Apply returns", status.State, status.Reason)
		}
		s.reports(0, wire.AllowNewSources)
		s.wantUsers(1)
		s.hears(s.fed())
	})
}

// An interface that is not there yet is waited for, with a reason, and joined
// when it comes.
func TestStoryInterfaceAppearsLater(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		ok(t, l.Cut("eth0"))
		s := onStage(l, noOptions, f.feed())
		s.wait("feed", membership.StateWaiting, "no interface matches name=eth0")
		ok(t, s.Connect(testnet.Veth{}))
		s.wait("feed", membership.StateJoined, "name=eth0")
		s.reports(0, wire.AllowNewSources)
		s.wantUsers(1)
		s.hears(s.fed())
		if e := s.events.wait(t, membership.EventAttached, membership.CauseAppeared); e.Interface != "eth0" {
			t.Errorf("attached to %q", e.Interface)
		}
	})
}

// With require address an interface is not joined before it has a usable
// address of the channels' family: one that is still being checked for
// duplicates is none.
func TestStoryAddressRequired(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		feed := f.feed()
		feed.Rules.Require = []reattach.Requirement{reattach.RequireUp, reattach.RequireAddress}
		l := newLab(t, f)
		ok(t, l.Cut("eth0"))
		ok(t, l.Near.SetSysctl("net/ipv6/conf/default/addr_gen_mode", "1")) // no link-local address
		s := onStage(l, noOptions, feed)
		ok(t, s.Connect(testnet.Veth{Addresses: []string{}}))
		s.wait("feed", membership.StateWaiting, "require address", "found none")
		s.quietly(func() {})
		if f.name == "v6" {
			ok(t, s.Near.Set("eth0", testnet.TentativeAddress("2001:db8:1::2/64")))
			s.wait("feed", membership.StateWaiting, "tentative")
		} else {
			ok(t, s.Near.Set("eth0", testnet.Address("10.1.0.2/24")))
		}
		s.wait("feed", membership.StateJoined)
		s.reports(0, wire.AllowNewSources)
		s.wantUsers(1)
		s.hears(s.fed())
	})
}

// An address that the kernel still tests for duplicates is not one yet, and the
// reason says which.
func TestStoryTentativeAddress(t *testing.T) {
	t.Parallel()
	l := newLab(t, v6)
	ok(t, l.Near.Set("eth0", testnet.NoAddresses))
	ok(t, l.Near.SetSysctl("net/ipv6/conf/eth0/accept_dad", "1"))
	ok(t, l.Near.SetSysctl("net/ipv6/conf/eth0/dad_transmits", "100")) // a second each
	feed := v6.feed()
	feed.Rules.Require = []reattach.Requirement{reattach.RequireAddress}
	s := onStage(l, noOptions, feed)
	s.wait("feed", membership.StateWaiting, "wanted an IPv6 address")
	link, err := s.Near.Netlink.LinkByName("eth0")
	ok(t, err)
	address, err := netlink.ParseAddr("2001:db8:1::2/64")
	ok(t, err)
	ok(t, s.Near.Netlink.AddrAdd(link, address))
	s.wait("feed", membership.StateWaiting, "2001:db8:1::2/64 still tentative")
	ok(t, s.Near.Netlink.AddrDel(link, address))
	ok(t, s.Near.Set("eth0", testnet.Address("2001:db8:1::2/64"))) // without the test
	s.wait("feed", membership.StateJoined)
	s.hears(s.fed())
}
