package integration

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/internal/testnet/wire"
	"github.com/ssmd-project/ssmd/membership"
	"github.com/ssmd-project/ssmd/reattach"
)

// ruled is the feed with other rules.
func (f family) ruled(change func(*reattach.Rules)) membership.Membership {
	feed := f.feed()
	change(&feed.Rules)
	return feed
}

// apart returns the time between the last event of one kind and the last of
// another.
func (s *stage) apart(first, then func(membership.Event) bool) time.Duration {
	s.t.Helper()
	var from, to time.Time
	for _, e := range s.events.all() {
		if first(e) {
			from = e.Time
		}
		if then(e) {
			to = e.Time
		}
	}
	if from.IsZero() || to.IsZero() {
		s.t.Errorf("not both among %+v", s.events.all())
	}
	return to.Sub(from)
}

func isType(kind membership.EventType) func(membership.Event) bool {
	return func(e membership.Event) bool { return e.Type == kind }
}

func isState(state membership.State) func(membership.Event) bool {
	return func(e membership.Event) bool { return e.State == state }
}

// With settle an interface has to be there for a while: one that flaps is not
// joined, and nothing of it is on the wire.
func TestStorySettle(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		const settle = 600 * time.Millisecond
		s := newStage(t, f, f.ruled(func(r *reattach.Rules) { r.Settle = settle }))
		s.wait("feed", membership.StateJoined)
		s.settled(s.capture)
		from := len(s.capture.Reports())
		ok(t, s.Recreate("eth0", testnet.Veth{}))
		s.wait("feed", membership.StateSettling, "to settle until")
		ok(t, s.Near.Set("eth0", testnet.Down))
		s.wait("feed", membership.StateDetached, "require up")
		silent(t, s.capture, s.channel.group, from, len(s.capture.Reports()))
		ok(t, s.Near.Set("eth0", testnet.Up))
		s.reattached(1)
		s.events.wait(t, membership.EventReattached, membership.CauseTime)
		if took := s.apart(isState(membership.StateSettling), isType(membership.EventReattached)); took < settle || took > 10*settle {
			t.Errorf("joined after %s, want %s", took, settle)
		}
		s.reports(from, wire.AllowNewSources)
		s.wantUsers(1)
		s.hears(s.fed())
	})
}

// With within a membership ends when nothing took the lost interface's place
// in that time.
func TestStoryWithin(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		const within = 300 * time.Millisecond
		s := joinedStage(t, f, f.ruled(func(r *reattach.Rules) { r.Within = within }))
		ok(t, s.Cut("eth0"))
		s.wait("feed", membership.StateEnded, "within 300ms", "eth0")
		s.events.wait(t, membership.EventState, membership.CauseTime)
		if took := s.apart(isType(membership.EventDetached), isState(membership.StateEnded)); took < within {
			t.Errorf("ended after %s", took)
		}
		s.quietly(func() { ok(t, s.Connect(testnet.Veth{})) })
		s.wait("feed", membership.StateEnded, "within 300ms")
		s.wantUsers(0)
	})
}

// With limit a membership that is reattached too often is held, and joined
// again by itself when the time has come.
func TestStoryLimit(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		const per = 3 * time.Second
		s := joinedStage(t, f, f.ruled(func(r *reattach.Rules) { r.Limit = reattach.Limit{Count: 1, Per: per} }))
		ok(t, s.Recreate("eth0", testnet.Veth{}))
		s.reattached(1)
		ok(t, s.Recreate("eth0", testnet.Veth{}))
		s.wait("feed", membership.StateHeld, "limit: wanted at most 1 reattachments in 3s, found as many already, until ")
		s.wantUsers(0)
		s.reattached(2)
		s.events.wait(t, membership.EventReattached, membership.CauseTime)
		reattached := s.events.all(membership.EventReattached)
		if len(reattached) != 2 || reattached[1].Time.Sub(reattached[0].Time) < per || reattached[1].Cause != membership.CauseTime {
			t.Errorf("%+v", reattached)
		}
		s.wantUsers(1)
		s.hears(s.fed())
	})
}

// With when an interface takes the place of the lost one if an expression over
// both is true.
func TestStoryWhen(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		const text = "any(candidate.subnet, # in previous.subnet)"
		when, err := reattach.ParseWhen(text)
		ok(t, err)
		s := joinedStage(t, f, f.ruled(func(r *reattach.Rules) { r.When = when }))
		s.refusedThenJoined(testnet.Veth{Addresses: []string{"10.2.0.2/24", "2001:db8:2::2/64"}}, testnet.Veth{},
			"when: wanted "+text+", found candidate.subnet [10.2.0.0/24 2001:db8:2::/64], previous.subnet [10.1.0.0/24 2001:db8:1::/64]")
	})
}

// With the policy approve a new interface is held until somebody approves that
// very instance.
func TestStoryApprove(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		s := joinedStage(t, f, f.ruled(func(r *reattach.Rules) { r.Policy.Kind = reattach.PolicyApprove }))
		for n := range uint64(2) {
			lost := s.status("feed").Attachments[0].Instance
			s.quietly(func() {
				ok(t, s.Recreate("eth0", testnet.Veth{}))
				s.wait("feed", membership.StateHeld, "approval wanted")
				if err := s.manager.Approve(s.ctx, "feed", lost); !errors.Is(err, membership.ErrNotApproved) {
					t.Errorf("the lost instance approved: %v", err)
				}
				s.wantUsers(0)
			})
			from := len(s.capture.Reports())
			ok(t, s.manager.Approve(s.ctx, "feed", 0))
			s.reattached(n + 1)
			s.reports(from, wire.AllowNewSources)
			s.reported(s.capture, wire.AllowNewSources, int(2*(n+2)))
			s.wantUsers(1)
			s.hears(s.fed())
		}
	})
}

// Drain returns when the network knows: both reports are out although the link
// goes down at once. Undrain joins again.
func TestStoryDrain(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		s := joinedStage(t, f, f.feed())
		began := time.Now()
		ok(t, s.manager.Drain(s.ctx, "", "eth0"))
		ok(t, s.Near.Set("eth0", testnet.Down))
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("took %s", took)
		}
		eventually(t, func() error {
			if got := s.capture.Count(func(r wire.Report) bool { return isLeave(r, s.channel) }); got != 2 {
				return fmt.Errorf("%d reports of the leave, want 2", got)
			}
			return nil
		})
		s.events.wait(t, membership.EventDetached, membership.CauseDrain)
		ok(t, s.Near.Set("eth0", testnet.Up))
		s.wait("feed", membership.StateHeld, "drained")
		s.quietly(func() {
			s.caughtUp()
			s.apply(s.ruled(func(r *reattach.Rules) { r.Ambiguous = reattach.AmbiguousOldest }))
			s.wantUsers(0)
		})
		from := len(s.capture.Reports())
		ok(t, s.manager.Undrain(s.ctx, "", "eth0"))
		s.reattached(1)
		s.reports(from, wire.AllowNewSources)
		s.wantUsers(1)
		s.hears(s.fed())
	})
}

// What is drained is one instance: the next of the same name is not.
func TestStoryDrainEndsWithTheInstance(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		s := joinedStage(t, f, f.feed())
		ok(t, s.manager.Drain(s.ctx, "", "eth0"))
		from := len(s.capture.Reports())
		ok(t, s.Recreate("eth0", testnet.Veth{}))
		s.reattached(1)
		s.reports(from, wire.AllowNewSources)
		s.wantUsers(1)
		s.hears(s.fed())
	})
}
