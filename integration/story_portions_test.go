package integration

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/membership"
	"github.com/ssmd-project/ssmd/reattach"
)

// channels6 returns so many IPv6 channels, each of a group of its own.
func channels6(n int) []membership.Channel {
	all := make([]membership.Channel, n)
	for i := range all {
		group := netip.MustParseAddr("ff3e::8001:0").As16()
		group[14], group[15], group[13] = byte(i>>8), byte(i), byte(1+i>>16)
		all[i] = membership.Channel{Source: testnet.Source6, Group: netip.AddrFrom16(group)}
	}
	return all
}

// TestStoryPortions joins more IPv6 groups than the kernel takes in a moment, and
// takes the interface away in the midst of that: it is answered, and torn down,
// before all are joined. On the next instance nothing is missing.
func TestStoryPortions(t *testing.T) {
	const channels = 20000
	h := newHerd(t)
	h.create(0)
	wish := membership.Membership{Name: "many", Channels: channels6(channels), Rules: reattach.Rules{Selector: reattach.ByName(herdName(0))}}
	events := newJournal(t, h.manager)
	applied := make(chan error, 1)
	h.measure()
	go func() { applied <- h.manager.Apply(t.Context(), []membership.Membership{wish}) }()

	status := func() (membership.Status, error) { return h.manager.StatusOf(t.Context(), "many") }
	awaitStatus(t, patience(t), func(s membership.Status) error {
		if s.Joined == 0 {
			return errors.New("want the first joined")
		}
		if s.State != membership.StateSettling || s.Joined == channels {
			t.Fatalf("%d joined when asked first, %s", s.Joined, s.State)
		}
		return nil
	}, status)
	h.took("the first answer")
	ok(t, h.near.Set(herdName(0), testnet.Deleted))
	h.took("removed")
	ok(t, <-applied)
	h.took("torn down")
	lost := awaitStatus(t, patience(t), inState(membership.StateDetached), status)
	if lost.Counters.Detaches != 1 {
		t.Errorf("%+v", lost.Counters)
	}
	if e, found := events.find(func(e membership.Event) bool { return e.State == membership.StateJoined }); found {
		t.Errorf("it was joined before: %+v", e)
	}
	h.wait(func(totals membership.Totals) error {
		if totals.Sockets != 0 {
			return fmt.Errorf("%d sockets are open", totals.Sockets)
		}
		return nil
	})

	h.measure()
	h.create(0)
	awaitStatus(t, patience(t), inPlaceOf(1), status)
	h.took("joined again")
	index, err := h.near.Index(herdName(0))
	ok(t, err)
	groups, err := testnet.Groups(h.near)
	ok(t, err)
	missing := 0
	for _, c := range wish.Channels {
		if groups[index][c.Group] != 1 {
			missing++
		}
	}
	if missing > 0 {
		t.Errorf("%d groups missing in the kernel", missing)
	}
}
