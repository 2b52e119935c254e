package integration

import (
	"testing"

	"github.com/ssmd-project/ssmd/internal/testnet/wire"
	"github.com/ssmd-project/ssmd/membership"
)

// A join that the kernel refuses is said with the limit behind it, hinders no
// other one, and is tried again.
func TestStoryRefusedJoin(t *testing.T) {
	t.Parallel()
	const limit = "net/ipv4/igmp_max_memberships"
	l := newLab(t, v4)
	ok(t, l.Near.SetSysctl(limit, "0"))
	s := onStage(l, noOptions, onEth0("feed", channelOf(v4.channel), channelOf(v6.channel)))
	status := s.wait("feed", membership.StateDegraded, "1 of 2", v4.channel.String(), "ENOBUFS", "net.ipv4.igmp_max_memberships=0")
	if a := status.Attachments[0]; status.Joined != 1 || a.Joined != 1 || a.Failed != 1 {
		t.Errorf("%+v", status)
	}
	if got := s.users(s.index(), v6.channel.group); got != 1 {
		t.Errorf("%d users of the other family's group", got)
	}
	s.wantUsers(0)
	e := s.events.wait(t, membership.EventError, membership.CauseKernel)
	t.Log(e.Reason)

	ok(t, l.Near.SetSysctl(limit, "20"))
	s.wait("feed", membership.StateJoined)
	s.reports(0, wire.AllowNewSources)
	s.wantUsers(1)
	s.hears(s.fed())
	if got := s.status("feed").Counters.Errors; got != 1 {
		t.Errorf("%d errors are counted, of one refused channel", got)
	}
	if got := len(s.events.all(membership.EventError)); got != 1 {
		t.Errorf("%d events tell of one refused channel", got)
	}
}
