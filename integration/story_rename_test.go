package integration

import (
	"testing"

	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/internal/testnet/wire"
	"github.com/ssmd-project/ssmd/membership"
	"github.com/ssmd-project/ssmd/reattach"
)

// A rename keeps the instance, and what was joined stays joined.
func TestStoryRenamedStaysJoined(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		s := joinedStage(t, f, f.feed())
		receiver := s.fed()
		s.quietly(func() {
			s.undisturbed(func() {
				ok(t, s.Near.Set("eth0", testnet.Name("wan0")))
				s.caughtUp()
				if status := s.status("feed"); status.State != membership.StateJoined || status.Attachments[0].Interface != "wan0" {
					t.Errorf("the feed is %s (%s) at %+v", status.State, status.Reason, status.Attachments)
				}
				s.hears(receiver)
				ok(t, s.Near.Set("wan0", testnet.Name("eth0")))
			})
		})
		s.hears(receiver)
	})
}

// With on_change leave a renamed interface is left, and joined again when it
// has its name back.
func TestStoryRenamedLeaves(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		feed := f.feed()
		feed.Rules.OnChange = reattach.OnChangeLeave
		s := joinedStage(t, f, feed)
		from := len(s.capture.Reports())
		ok(t, s.Near.Set("eth0", testnet.Name("wan0")))
		s.wait("feed", membership.StateDetached, "eth0")
		s.events.wait(t, membership.EventDetached, membership.CauseMismatch)
		s.left(s.capture, from, f.channel)
		if got := s.users(s.indexOf("wan0"), f.channel.group); got != 0 {
			t.Errorf("%d users of the group", got)
		}

		from = len(s.capture.Reports())
		ok(t, s.Near.Set("wan0", testnet.Name("eth0")))
		s.wait("feed", membership.StateJoined)
		s.reports(from, wire.AllowNewSources)
		s.wantUsers(1)
		s.hears(s.fed())
	})
}
