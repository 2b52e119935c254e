package integration

import (
	"fmt"
	"testing"

	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/internal/testnet/wire"
	"github.com/ssmd-project/ssmd/membership"
	"github.com/ssmd-project/ssmd/reattach"
)

// second is another pair beside the first.
var second = testnet.Veth{
	Name: "eth1", Addresses: []string{"10.2.0.2/24", "2001:db8:2::2/64"},
	PeerName: "far1", PeerAddresses: []string{"10.2.0.1/24", "2001:db8:2::1/64"},
}

// onTwo runs a manager whose feed may be on eth0 and on eth1.
func onTwo(t testing.TB, f family, attach reattach.Attach, ambiguous reattach.Ambiguous) *stage {
	t.Helper()
	l := newLab(t, f)
	ok(t, l.Connect(second))
	feed := f.feed()
	feed.Rules = reattach.Rules{Selector: reattach.Selector{Name: reattach.Globs{"eth*"}}, Attach: attach, Ambiguous: ambiguous}
	return onStage(l, noOptions, feed)
}

// joinedOn waits until the feed is joined on these interfaces alone, and
// checks the kernel and the wire.
func (s *stage) joinedOn(from int, wanted ...string) {
	s.t.Helper()
	s.await("feed", func(status membership.Status) error {
		if len(status.Attachments) != len(wanted) {
			return fmt.Errorf("attached to %+v, want %v", status.Attachments, wanted)
		}
		return nil
	})
	s.wait("feed", membership.StateJoined, wanted...)
	on := map[string]int{}
	for _, name := range wanted {
		on[name] = 1
		_, err := s.capture.WaitFrom(s.ctx, from, func(r wire.Report) bool {
			return s.isReport(wire.AllowNewSources)(r) && r.Interface == "far"+name[len("eth"):]
		})
		ok(s.t, err)
	}
	for _, name := range []string{"eth0", "eth1"} {
		index, err := s.Near.Index(name)
		if err != nil {
			continue
		}
		if got := s.users(index, s.channel.group); got != on[name] {
			s.t.Errorf("%d users of the group on %s, want %d", got, name, on[name])
		}
	}
}

// Of two candidates none is taken, with a reason that names both, until one of
// them goes.
func TestStoryAmbiguousHold(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		for gone, other := range map[string]string{"eth0": "eth1", "eth1": "eth0"} {
			t.Run(gone+" goes", func(t *testing.T) {
				t.Parallel()
				s := onTwo(t, f, reattach.AttachOne, reattach.AmbiguousHold)
				s.wait("feed", membership.StateHeld, "eth0", "eth1", "several accepted")
				silent(t, s.capture, f.channel.group, 0, s.mark())
				ok(t, s.Cut(gone))
				s.joinedOn(0, other)
			})
		}
	})
}

// Who is attached stays so when another candidate comes, and only a loss makes
// a choice necessary.
func TestStoryAnotherCandidateComes(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		feed := f.feed()
		feed.Rules.Selector = reattach.Selector{Name: reattach.Globs{"eth*"}}
		s := joinedStage(t, f, feed)
		s.quietly(func() { s.undisturbed(func() { ok(t, s.Connect(second)) }) })
		from := len(s.capture.Reports())
		ok(t, s.Cut("eth0"))
		s.joinedOn(from, "eth1")
	})
}

// Of two candidates the one that was seen first, or last, is taken.
func TestStoryAmbiguousByAge(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		for choice, first := range map[reattach.Ambiguous]string{reattach.AmbiguousOldest: "eth0", reattach.AmbiguousNewest: "eth1"} {
			t.Run(string(choice), func(t *testing.T) {
				t.Parallel()
				s := onTwo(t, f, reattach.AttachOne, choice)
				s.joinedOn(0, first)
				from := len(s.capture.Reports())
				ok(t, s.Cut(first))
				s.joinedOn(from, map[string]string{"eth0": "eth1", "eth1": "eth0"}[first])
			})
		}
	})
}

// With attach all each candidate is joined, and the loss of one is nothing to
// the other.
func TestStoryAttachAll(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		s := onTwo(t, f, reattach.AttachAll, "")
		s.joinedOn(0, "eth0", "eth1")
		s.reported(s.capture, wire.AllowNewSources, 4)
		s.quietly(func() {
			ok(t, s.Cut("eth1"))
			s.joinedOn(0, "eth0")
		})
		from := len(s.capture.Reports())
		ok(t, s.Connect(second))
		status := s.reattached(1)
		if len(status.Attachments) != 2 {
			t.Errorf("attached to %+v", status.Attachments)
		}
		r := s.reports(from, wire.AllowNewSources)
		if r.Interface != "far1" {
			t.Errorf("heard %v", r)
		}
	})
}
