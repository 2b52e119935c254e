package testnet

import (
	"net/netip"
	"testing"
)

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
