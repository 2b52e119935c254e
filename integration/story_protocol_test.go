package integration

import (
	"testing"

	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/internal/testnet/wire"
	"github.com/ssmd-project/ssmd/membership"
	"github.com/ssmd-project/ssmd/reattach"
)

const (
	smallMTU  = 1200 // ends IPv6
	normalMTU = 1500
)

// back raises the MTU again. IPv6 lost its address with its life.
func (s *stage) back() {
	s.t.Helper()
	ok(s.t, s.Near.Set("eth0", testnet.MTU(normalMTU), testnet.Address("2001:db8:1::2/64")))
}

// An MTU that is too small for IPv6 ends its memberships without any removal;
// with a greater one they are joined again, on the same instance.
func TestStoryProtocolDies(t *testing.T) {
	t.Parallel()
	s := joinedStage(t, v6, v6.feed())
	receiver := s.fed()
	s.hears(receiver)
	for i := range 2 {
		from := len(s.capture.Reports())
		ok(t, s.Near.Set("eth0", testnet.MTU(smallMTU)))
		s.wait("feed", membership.StateDetached, "IPv6", "1200")
		s.events.wait(t, membership.EventDetached, membership.CauseProtocol)
		s.back()
		s.reattached(uint64(i + 1))
		s.reports(from, wire.AllowNewSources)
		s.wantUsers(1)
		s.hears(receiver)
	}
}

// IPv4 dies below 68, on drivers that allow that.
func TestStoryProtocolDiesIPv4(t *testing.T) {
	t.Parallel()
	l := newLab(t, v4)
	needs(t, "ifb", l.Near.Add(testnet.IFB("ifb7"), testnet.Address("10.7.0.2/24"), testnet.Up))
	link, err := l.Near.Netlink.LinkByName("ifb7")
	ok(t, err)
	ok(t, l.Near.Netlink.LinkSetMulticastOn(link)) // the driver leaves it off
	feed := v4.feed()
	feed.Rules.Selector = reattach.ByName("ifb7")
	s := onStage(l, noOptions, feed)
	s.wait("feed", membership.StateJoined)
	index, sockets := s.indexOf("ifb7"), socketsIn(t, s.Near)
	for i := range 2 {
		ok(t, s.Near.Set("ifb7", testnet.MTU(67)))
		s.wait("feed", membership.StateDetached, "IPv4", "67")
		s.events.wait(t, membership.EventDetached, membership.CauseProtocol)
		ok(t, s.Near.Set("ifb7", testnet.MTU(normalMTU), testnet.Address("10.7.0.2/24"), testnet.Up))
		s.reattached(uint64(i + 1))
		if n := s.users(index, v4.channel.group); n != 1 {
			t.Errorf("%d users", n)
		}
		wantSockets(t, s.Near, sockets)
	}
}

// Where the membership has channels of both families, the other one stays
// joined.
func TestStoryProtocolDiesOfTwo(t *testing.T) {
	t.Parallel()
	s := newStage(t, v6, onEth0("feed", channelOf(v6.channel), channelOf(v4.channel)))
	s.wait("feed", membership.StateJoined)
	newSender(t, s.Network, v4.listen())
	other := newReceiver(t, s.Near, testnet.ReceiverConfig{Listen: v4.listen()})
	receiver := s.fed()
	s.hears(receiver)
	s.hears(other)
	from := len(s.capture.Reports())
	ok(t, s.Near.Set("eth0", testnet.MTU(smallMTU)))
	if status := s.wait("feed", membership.StateDegraded, "IPv6", "1200"); status.Joined != 1 {
		t.Errorf("%+v", status)
	}
	s.hears(other)
	s.back()
	s.wait("feed", membership.StateJoined)
	s.reports(from, wire.AllowNewSources)
	s.wantUsers(1)
	s.hears(receiver)
	s.hears(other)
	for _, r := range s.capture.Reports()[from:] {
		if r.Group == v4.channel.group && r.Type != wire.AllowNewSources { // whose second report may be late
			t.Errorf("heard %v", r)
		}
	}
}
