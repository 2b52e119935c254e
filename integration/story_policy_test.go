package integration

import (
	"testing"

	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/internal/testnet/wire"
	"github.com/ssmd-project/ssmd/membership"
	"github.com/ssmd-project/ssmd/reattach"
)

// sameFeed is the feed, which only an interface with the same attribute may
// carry on.
func (f family) sameFeed(a reattach.Attribute) membership.Membership {
	feed := f.feed()
	feed.Rules.Policy = reattach.Policy{Kind: reattach.PolicySame, Same: []reattach.Attribute{a}}
	return feed
}

// refusedThenJoined re-creates eth0 as a stranger, who is refused with a
// reason in which these words are, and then as what it was.
func (s *stage) refusedThenJoined(stranger, same testnet.Veth, words ...string) {
	s.t.Helper()
	s.quietly(func() {
		ok(s.t, s.Recreate("eth0", stranger))
		s.wait("feed", membership.StateDetached, words...)
		s.wantUsers(0)
	})
	from := len(s.capture.Reports())
	ok(s.t, s.Recreate("eth0", same))
	s.reattached(1)
	s.reports(from, wire.AllowNewSources)
	s.wantUsers(1)
	s.hears(s.fed())
}

// With same: [subnet] an interface in another subnet is refused.
func TestStorySameSubnet(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		s := joinedStage(t, f, f.sameFeed(reattach.Subnet))
		wanted, found := "10.1.0.0/24", "10.2.0.0/24"
		if f.name == "v6" {
			wanted, found = "2001:db8:1::/64", "2001:db8:2::/64"
		}
		s.refusedThenJoined(testnet.Veth{Addresses: []string{"10.2.0.2/24", "2001:db8:2::2/64"}}, testnet.Veth{},
			"same subnet: wanted "+wanted+", found "+found)
		if p := s.status("feed").Previous; p == nil || p.Name != "eth0" || len(p.Subnet) != 2 {
			t.Errorf("the previous instance is remembered as %+v", p)
		}
	})
}

// The subnet of a refused interface is mended in place: that is the right one
// then.
func TestStorySameSubnetMended(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		s := joinedStage(t, f, f.sameFeed(reattach.Subnet))
		ok(t, s.Recreate("eth0", testnet.Veth{Addresses: []string{"10.2.0.2/24", "2001:db8:2::2/64"}}))
		s.wait("feed", membership.StateDetached, "same subnet")
		ok(t, s.Near.Set("eth0", testnet.Address("10.1.0.2/24", "2001:db8:1::2/64")))
		s.reattached(1)
		s.wantUsers(1)
		s.hears(s.fed())
	})
}

// With same: [mac] an interface with another address is refused.
func TestStorySameMAC(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		const right, wrong = "02:00:00:00:00:01", "02:00:00:00:00:02"
		l := newLab(t, f)
		ok(t, l.Recreate("eth0", testnet.Veth{MAC: right}))
		s := onStage(l, noOptions, f.sameFeed(reattach.MAC))
		s.wait("feed", membership.StateJoined)
		s.settled(s.capture)
		s.refusedThenJoined(testnet.Veth{MAC: wrong}, testnet.Veth{MAC: right},
			"same mac: wanted "+right+", found "+wrong)
	})
}

// With policy never the membership ends with its interface, and nothing
// joins it again.
func TestStoryPolicyNever(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		feed := f.feed()
		feed.Rules.Policy.Kind = reattach.PolicyNever
		s := joinedStage(t, f, feed)
		ok(t, s.Cut("eth0"))
		s.wait("feed", membership.StateEnded, "policy never", "eth0")
		s.quietly(func() { ok(t, s.Connect(testnet.Veth{})) })
		s.wait("feed", membership.StateEnded, "policy never", "eth0")
		s.wantUsers(0)
	})
}
