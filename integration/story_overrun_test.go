package integration

import (
	"fmt"
	"testing"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/membership"
)

const tinyBuffer = 4 << 10

// overrun floods the watcher with changes until it loses some, and does
// something while it stands at the gate, about to begin anew: it will hear
// nothing of that.
func (s *stage) overrun(g *gate, do func()) {
	s.t.Helper()
	ok(s.t, s.Near.Add(testnet.Bridge("br0"), testnet.Up))
	g.shut()
	defer g.open()
	s.flood(g)
	do()
	g.open()
	s.events.wait(s.t, membership.EventResynced, membership.CauseKernel)
}

func (s *stage) flood(g *gate) {
	s.t.Helper()
	for {
		for _, alias := range []string{"odd", "even"} {
			ok(s.t, s.Near.Set("br0", testnet.Alias(alias)))
		}
		select {
		case <-g.waiting:
			return
		case <-s.ctx.Done():
			s.t.Fatal("no overrun")
		default:
		}
	}
}

// Events are lost, and among them those of an interface that was re-created
// with the index it had, which a dump cannot show. The membership ends up on
// the new life, and nobody else's there is harmed.
func TestStoryOverrunHidesAnotherLife(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		for name, again := range f.sameIndex() {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				l := newLab(t, f)
				g := newGate(l.Near)
				s := onStage(l, ifwatch.Options{Within: g.Do, ReceiveBuffer: tinyBuffer}, f.feed())
				s.wait("feed", membership.StateJoined)
				receiver := s.fed()
				s.hears(receiver)
				from := 0
				var neighbour *testnet.Receiver
				s.overrun(g, func() {
					from = len(s.capture.Reports())
					again(l)
					neighbour = l.listener(f.channel)
				})
				s.reattached(1)
				s.reports(from, testnet.AllowNewSources)
				s.wantUsers(2)
				s.hears(neighbour)
				ok(t, neighbour.Close())
				s.wantUsers(1)
				s.hears(receiver)
			})
		}
	})
}

// Events are lost, and nothing had happened to the interface: the membership
// is not touched.
func TestStoryOverrunTouchesNothing(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		g := newGate(l.Near)
		s := onStage(l, ifwatch.Options{Within: g.Do, ReceiveBuffer: tinyBuffer}, f.feed())
		s.wait("feed", membership.StateJoined)
		s.reported(s.capture, testnet.AllowNewSources, 2)
		receiver := s.fed()
		s.hears(receiver)
		s.quietly(func() { s.undisturbed(func() { s.overrun(g, func() {}) }) })
		s.wantUsers(1)
		s.hears(receiver)
	})
}

// Events are lost over and over, and the interface gets a new life somewhere
// among them.
func TestStoryOverrunAllAlong(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		const changes = 1000
		l := newLab(t, f)
		s := onStage(l, ifwatch.Options{ReceiveBuffer: tinyBuffer}, f.feed())
		s.wait("feed", membership.StateJoined)
		ok(t, s.Near.Add(testnet.Bridge("br0"), testnet.Up))
		for i := range changes {
			ok(t, s.Near.Set("br0", testnet.Alias(fmt.Sprint(i))))
			if i == changes/2 {
				l.again()
			}
		}
		s.caughtUp()
		s.events.wait(t, membership.EventResynced, membership.CauseKernel)
		s.reattached(1)
		s.wantUsers(1)
		s.hears(s.fed())
	})
}
