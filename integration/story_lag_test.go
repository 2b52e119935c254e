package integration

import (
	"testing"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/internal/testnet/wire"
	"github.com/ssmd-project/ssmd/membership"
)

// A join that was under way when its interface got another life at the same
// index lands on that life. It is left with the membership all the same.
func TestStoryJoinLandsOnAnotherLife(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		g := newGate(l.Near)
		s := onStage(l, ifwatch.Options{Within: g.Do})
		g.shut()
		defer g.open()
		put := make(chan error, 1)
		go func() { put <- s.manager.Put(s.ctx, f.feed()) }()
		<-g.waiting // to open its first socket, for the instance that is there
		l.again()
		g.open()
		ok(t, <-put)
		s.caughtUp()
		s.wait("feed", membership.StateJoined)
		s.wantUsers(1)
		from := len(s.capture.Reports())
		ok(t, s.manager.Delete(s.ctx, "feed"))
		s.wantUsers(0)
		s.left(s.capture, from, f.channel)
	})
}

// Two memberships of one socket have a source of one group each. What the
// manager does for the one takes nothing from somebody who has the other.
func TestStoryOwnSocketOfTwoNeverTheThief(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		g := newGate(l.Near)
		r, feed := l.own()
		other := onEth0("second", channelOf(f.other))
		other.Socket = r.Conn()
		s := onStage(l, ifwatch.Options{Within: g.Do}, feed, other)
		s.wait("feed", membership.StateJoined)
		s.wait("second", membership.StateJoined)
		var neighbours []*testnet.Receiver
		s.blindly(g, func() {
			l.again()
			neighbours = []*testnet.Receiver{l.listener(f.channel), l.listener(f.other)}
		})
		s.reattached(1)
		s.wait("second", membership.StateJoined)
		s.hears(r)
		s.hears(neighbours[0])
		s.wantSources(f.channel, f.other)
		s.wantUsers(3) // the socket counts once for the group

		s.apply()
		s.hears(neighbours[0])
		s.wantUsers(2)
		s.wantSources(f.channel, f.other)
	})
}

// A rename there and back that the manager sees as one change, of nothing, is
// no reason to doubt the instance when events are lost later.
func TestStoryOverrunAfterARename(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		g := newGate(l.Near)
		s := onStage(l, ifwatch.Options{Within: g.Do, ReceiveBuffer: 8 * tinyBuffer}, f.feed())
		s.wait("feed", membership.StateJoined)
		s.settled(s.capture)
		s.blindly(g, func() {
			ok(t, s.Near.Set("eth0", testnet.Name("wan0")))
			ok(t, s.Near.Set("wan0", testnet.Name("eth0")))
		})
		s.quietly(func() { s.undisturbed(func() { s.overrun(g, func() {}) }) })
		s.wantUsers(1)
	})
}

// wantSources asks as a router does, and wants the host to report these of the
// channel's group.
func (s *stage) wantSources(channels ...channel) {
	s.t.Helper()
	from := len(s.capture.Reports())
	query := testnet.QueryV3
	if s.name == "v6" {
		query = testnet.QueryMLD
	}
	ok(s.t, testnet.Eventually(s.ctx, func() error { return s.Far.Ask("far0", query) }))
	for _, c := range channels {
		_, err := s.capture.WaitFrom(s.ctx, from, func(r wire.Report) bool {
			return r.Is(wire.ModeIsInclude, c.source, c.group)
		})
		ok(s.t, err)
	}
}
