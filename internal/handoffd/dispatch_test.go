package handoffd

import (
	"fmt"
	"testing"

	"github.com/ssmd-project/ssmd/handoff"
	"github.com/ssmd-project/ssmd/membership"
)

// publish publishes an event, and waits until it went where it goes.
func (k *keeper) publish(seq uint64, name string) {
	k.events <- membership.Event{Seq: seq, Type: membership.EventState, Membership: name, Reason: fmt.Sprint(seq)}
	k.events <- membership.Event{Type: membership.EventState, Reason: "of nobody"}
}

// Of somebody else's membership nothing is heard: neither of one whose name was
// tried, nor of one that had the name before.
func TestForeignEvents(t *testing.T) {
	s := newStand(t, 8, quick())
	s.keeper.with(func() {
		s.keeper.taken = []string{ownName(1)}
		s.keeper.trying = func(name string) uint64 {
			if name == ownName(1) {
				s.keeper.publish(1, name)
				return 0
			}
			s.keeper.publish(2, name)
			return 3
		}
	})
	c, one, _ := s.handed("")
	for seq := uint64(3); seq < 6; seq++ { // the first was under way
		s.keeper.publish(seq, one.wish.Name)
		s.keeper.publish(seq, ownName(1))
	}
	for _, want := range []string{"4", "5"} {
		if m := c.wantType("state"); m.Reason != want {
			t.Fatalf("heard event %s, want %s", m.Reason, want)
		}
	}
}

// The end of a membership is told after its last event, however late that comes,
// and nothing after.
func TestEndedAfterTheLastEvent(t *testing.T) {
	s := newStand(t, 8, quick())
	c, one, _ := s.handed("a")
	one.lost("it was removed", 7)
	s.keeper.publish(6, "a")
	s.keeper.publish(7, "a")
	for _, want := range []string{"6", "7"} {
		if m := c.wantType("state"); m.Reason != want {
			t.Fatalf("heard event %s, want %s", m.Reason, want)
		}
	}
	c.wantType(handoff.TypeEnded)
	c.wantEnd()

	late, one, _ := s.handed("a")
	one.lost("it was removed", 7) // which went already
	late.wantType(handoff.TypeEnded)

	missed, one, _ := s.handed("b")
	one.lost("it was removed", 8)
	s.keeper.publish(9, "b") // of whoever has the name next
	missed.wantType(handoff.TypeEnded)

	never, one, _ := s.handed("c")
	one.lost("it was removed", 100)
	close(s.keeper.events) // the manager has ended
	never.wantType(handoff.TypeEnded)
}
