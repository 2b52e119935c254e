package integration

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink/nl"

	"github.com/ssmd-project/ssmd/membership"
)

func groupsOf(channels []membership.Channel) []netip.Addr {
	groups := make([]netip.Addr, len(channels))
	for n, c := range channels {
		groups[n] = c.Group
	}
	return groups
}

// joinAll joins channels on eth0, each on a socket of its own.
func (s *network) joinAll(channels []membership.Channel) {
	s.t.Helper()
	for _, c := range channels {
		ok(s.t, s.socket().join(s.index(), channel{c.Source, c.Group}))
	}
}

// Fact K34: a bridge whose table of groups is full stops snooping, and floods
// every group to every port from then on.
func TestK34FullBridgeFloods(t *testing.T) {
	t.Parallel()
	const most = 64
	s := newSwitch(t, nl.NewRtAttr(nl.IFLA_BR_MCAST_HASH_MAX, nl.Uint32Attr(most)))
	channels := v4.many(1 + most)
	s.send(groupsOf(channels[:3])...)
	near, beside := s.watch("eth0"), s.watch("eth1")
	s.joinAll(channels[:1])
	eventually(t, func() error {
		if !s.forwards("port0")[channels[0].Group] || near.count(channels[0].Group) == 0 {
			return fmt.Errorf("%s is not in the table, or does not arrive", channels[0].Group)
		}
		return nil
	})
	s.wantNothing(near, beside, channels[1].Group) // nobody's
	if !s.snoops() {
		t.Fatal("it does not snoop from the beginning")
	}

	s.joinAll(channels[1:]) // one with a source takes two places
	eventually(t, func() error {
		if s.snoops() {
			return fmt.Errorf("it snoops with %d groups in the table", len(s.forwards("port0")))
		}
		return nil
	})
	before := beside.count(channels[2].Group)
	eventually(t, func() error {
		if beside.count(channels[2].Group) < before+3 {
			return fmt.Errorf("nothing reaches the port where nobody joined")
		}
		return nil
	})
}

// wantNothing waits until nothing of a group that is sent reaches an interface,
// while much does reach one: the bridge floods at first.
func (s *network) wantNothing(something, nothing *seen, group netip.Addr) {
	s.t.Helper()
	had, from := nothing.count(group), something.all()
	eventually(s.t, func() error {
		if now := nothing.count(group); now != had {
			err := fmt.Errorf("%d datagrams of %s", now-had, group)
			had, from = now, something.all()
			return err
		}
		if something.all() < from+40 {
			return fmt.Errorf("%d datagrams", something.all()-from)
		}
		return nil
	})
}

// Fact K35: a bridge's port with a limit of groups takes no more than these, and
// tells nobody: what else is joined there does not arrive.
func TestK35FullPortDropsReports(t *testing.T) {
	t.Parallel()
	const most = 20
	s := newSwitch(t)
	s.limitPort("port0", 2*most)
	channels := v4.many(most + 10)
	s.joinAll(channels)
	s.send(groupsOf(channels)...)
	near := s.watch("eth0")
	var in map[netip.Addr]bool
	eventually(t, func() error {
		in = s.forwards("port0")
		for _, c := range channels {
			if in[c.Group] && near.count(c.Group) < 3 {
				return fmt.Errorf("%s is in the table, and does not arrive", c.Group)
			}
		}
		if len(in) < most/2 {
			return fmt.Errorf("%d groups in the table", len(in))
		}
		return nil
	})
	left := 0
	for _, c := range channels {
		if !in[c.Group] {
			left++
			s.wantNothing(near, near, c.Group)
		}
		if got := s.users(s.index(), c.Group); got != 1 {
			t.Errorf("%s has %d users on the host", c.Group, got)
		}
	}
	if left < 10 || !s.snoops() {
		t.Errorf("%d groups are left out, snooping: %t", left, s.snoops())
	}
	t.Logf("%d of %d groups in the table of a port with a limit of %d", len(in), len(channels), 2*most)
}
