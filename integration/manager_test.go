package integration

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/internal/testnet/wire"
	"github.com/ssmd-project/ssmd/membership"
	"github.com/ssmd-project/ssmd/reattach"
)

// channelOf returns what a family's tests are about, as the library has it.
func channelOf(c channel) membership.Channel {
	return membership.Channel{Source: c.source, Group: c.group}
}

// watched is the family as the library has it.
func (f family) watched() ifwatch.Family { return ifwatch.FamilyOf(f.channel.group) }

// listen is where a receiver of the family's channel listens.
func (f family) listen() netip.AddrPort { return netip.AddrPortFrom(f.channel.group, port) }

// feed is the membership of most stories: the family's channel on eth0.
func (f family) feed() membership.Membership { return onEth0("feed", channelOf(f.channel)) }

// onEth0 is a membership of the channels on eth0.
func onEth0(name string, channels ...membership.Channel) membership.Membership {
	return membership.Membership{Name: name, Channels: channels, Rules: reattach.Rules{Selector: reattach.ByName("eth0")}}
}

// noOptions watches as a manager does by itself.
var noOptions ifwatch.Options

// stage is a lab with a manager on the near side, and a capture on the far
// one that hears what it does.
type stage struct {
	*lab
	capture *wire.Capture
	manager *membership.Manager
	events  *journal
	marks   int // how many spare channels were used up
}

// newStage runs a manager with these memberships in a new lab.
func newStage(t testing.TB, f family, set ...membership.Membership) *stage {
	t.Helper()
	return onStage(newLab(t, f), noOptions, set...)
}

// onStage runs a manager with these memberships in a lab.
func onStage(l *lab, watch ifwatch.Options, set ...membership.Membership) *stage {
	l.t.Helper()
	if watch.Within == nil {
		watch.Within = l.Near.Do
	}
	s := &stage{lab: l, capture: newCapture(l.t, l.Far)}
	s.manager = membership.New(membership.Options{Watch: watch})
	s.events = newJournal(l.t, s.manager)
	background(l.t, s.manager.Run)
	s.apply(set...)
	return s
}

// joinedStage waits, besides, until the feed is joined and both reports of it
// went out, so that whatever is heard later has another reason.
func joinedStage(t testing.TB, f family, feed membership.Membership) *stage {
	t.Helper()
	s := newStage(t, f, feed)
	s.wait("feed", membership.StateJoined)
	s.settled(s.capture)
	return s
}

func (s *stage) apply(set ...membership.Membership) {
	s.t.Helper()
	ok(s.t, s.manager.Apply(s.ctx, set))
}

func (s *stage) status(name string) membership.Status {
	s.t.Helper()
	status, err := s.manager.StatusOf(s.ctx, name)
	ok(s.t, err)
	return status
}

// inState checks that a membership is in a state, for a reason that has all
// these words.
func inState(want membership.State, words ...string) func(membership.Status) error {
	return func(status membership.Status) error {
		if status.State != want {
			return fmt.Errorf("want %s", want)
		}
		for _, w := range words {
			if !strings.Contains(status.Reason, w) {
				return fmt.Errorf("want a reason with %q", w)
			}
		}
		return nil
	}
}

// inPlaceOf checks that a membership is joined in the place of as many lost
// instances.
func inPlaceOf(times uint64) func(membership.Status) error {
	return func(status membership.Status) error {
		if status.State != membership.StateJoined || status.Counters.Reattaches != times {
			return fmt.Errorf("with %d reattaches, want %d and joined", status.Counters.Reattaches, times)
		}
		return nil
	}
}

func (s *stage) wait(name string, want membership.State, words ...string) membership.Status {
	s.t.Helper()
	return s.await(name, inState(want, words...))
}

// reattached waits until the feed was attached again so many times.
func (s *stage) reattached(times uint64) membership.Status {
	s.t.Helper()
	return s.await("feed", inPlaceOf(times))
}

func (s *stage) await(name string, check func(membership.Status) error) membership.Status {
	s.t.Helper()
	return awaitStatus(s.t, s.ctx, check, func() (membership.Status, error) { return s.manager.StatusOf(s.ctx, name) })
}

// awaitStatus asks for a membership until it passes a check.
func awaitStatus(t testing.TB, ctx context.Context, check func(membership.Status) error, ask func() (membership.Status, error)) membership.Status {
	t.Helper()
	var status membership.Status
	ok(t, testnet.Eventually(ctx, func() (err error) {
		if status, err = ask(); err != nil {
			return err
		}
		if err := check(status); err != nil {
			return fmt.Errorf("%s is %s (%s): %w", status.Name, status.State, status.Reason, err)
		}
		return nil
	}))
	return status
}

// caughtUp waits until the manager knows of all that has happened to
// interfaces: it does once it knows of a change that is made now, as netlink
// keeps the order.
func (s *stage) caughtUp() {
	s.t.Helper()
	s.marks++
	alias := fmt.Sprint("mark ", s.marks)
	ok(s.t, s.Near.Set("lo", testnet.Alias(alias)))
	ok(s.t, testnet.Eventually(s.ctx, func() error {
		all, err := s.manager.Interfaces(s.ctx)
		if err == nil && !slices.ContainsFunc(all, func(i membership.InterfaceStatus) bool { return i.Alias == alias }) {
			err = errors.New("the manager lags behind")
		}
		return err
	}))
}

// undisturbed does something that must end no attachment.
func (s *stage) undisturbed(do func()) {
	s.t.Helper()
	before := s.status("feed")
	do()
	s.caughtUp()
	after := s.status("feed")
	ends := func(c membership.Counters) [3]uint64 { return [...]uint64{c.Attaches, c.Detaches, c.Errors} }
	if after.State != membership.StateJoined || ends(after.Counters) != ends(before.Counters) {
		s.t.Errorf("the feed is %s (%s) with %+v, was with %+v", after.State, after.Reason, after.Counters, before.Counters)
	}
	if !after.Since.Equal(before.Since) {
		s.t.Error("the feed was in another state meanwhile")
	}
	if e, found := s.events.find(func(e membership.Event) bool { return e.Type == membership.EventDetached && e.Membership == "feed" }); found {
		s.t.Errorf("heard of %+v", e)
	}
}
