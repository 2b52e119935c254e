package integration

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/membership"
)

// The numbers are over all namespaces, and what was counted in one that is no
// longer of interest, or is gone, stays counted.
func TestStoryTotals(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		a := newAbroad(t)
		a.make("blue", "02:00:00:00:00:01", f)
		red := a.make("red", "02:00:00:00:00:02", f)
		ok(t, a.manager.Apply(a.ctx, []membership.Membership{a.feed("blue", f), a.feed("red", f)}))
		a.wait("blue", membership.StateJoined)
		a.wait("red", membership.StateJoined)
		first := a.totals(func(n membership.Totals) error { return nil })
		if first.Memberships[membership.StateJoined] != 2 || first.Channels != 2 || first.Sockets != 2 || first.Attaches != 2 {
			t.Errorf("two are joined: %+v", first)
		}
		if first.Netlink.Dumps < 3 || first.Netlink.Links < 5 {
			t.Errorf("three namespaces, with two and two interfaces and one: %+v", first.Netlink)
		}

		ok(t, a.manager.Delete(a.ctx, "blue")) // its engine ends
		second := a.totals(func(n membership.Totals) error { return nil })
		want := first
		want.Channels, want.Sockets = 1, 1
		want.Memberships = map[membership.State]int{membership.StateJoined: 1}
		want.Detaches = map[membership.Cause]uint64{membership.CauseRequest: 1}
		if diff := cmp.Diff(moving(want), moving(second)); diff != "" {
			t.Errorf("after one was removed (-want +got):\n%s", diff)
		}

		ok(t, testnet.Unmount(a.path("red")))
		red.Close()
		a.totals(func(n membership.Totals) error {
			if n.Attaches != 2 || n.Detaches[membership.CauseRequest] != 1 || n.Detaches[membership.CauseNamespace] != 1 ||
				n.Channels != 0 || n.Sockets != 0 || n.Netlink.Links < second.Netlink.Links || n.Netlink.Dumps < second.Netlink.Dumps {
				return fmt.Errorf("after the namespace went: %+v", n)
			}
			return nil
		})
	})
}

// moving are the numbers that a test can foretell. Where one is 0 it is left
// out.
func moving(n membership.Totals) map[string]uint64 {
	all := map[string]uint64{
		"channels": uint64(n.Channels), "sockets": uint64(n.Sockets), "attaches": n.Attaches, "reattaches": n.Reattaches,
		"repairs": n.Repairs, "reattach times": n.ReattachTimes.Count(), "overruns": n.Netlink.Overruns, "dumps": n.Netlink.Dumps,
	}
	for state, number := range n.Memberships {
		all[string(state)] = uint64(number)
	}
	for cause, number := range n.Detaches {
		all["detaches "+string(cause)] = number
	}
	for errno, number := range n.JoinErrors {
		all["errors "+errno] = number
	}
	for name, number := range all {
		if number == 0 {
			delete(all, name)
		}
	}
	return all
}

// totals asks until the numbers pass a check.
func (a *abroad) totals(check func(membership.Totals) error) (n membership.Totals) {
	a.t.Helper()
	eventually(a.t, func() (err error) {
		if n, err = a.manager.Totals(a.ctx); err != nil {
			return err
		}
		return check(n)
	})
	return n
}
