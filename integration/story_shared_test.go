package integration

import (
	"testing"

	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/membership"
)

// Two memberships with one channel are one to the kernel. The first that goes
// leaves nothing, the last does.
func TestStoryTwoWantOneChannel(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		second := onEth0("second", channelOf(f.channel), channelOf(f.spare(500)))
		s := newStage(t, f, f.feed(), second)
		s.wait("second", membership.StateJoined)
		s.settled(s.capture)
		s.wantUsers(1)
		receiver := s.fed()
		s.hears(receiver)

		s.quietly(func() { ok(t, s.manager.Delete(s.ctx, "feed")) })
		s.wantUsers(1)
		s.hears(receiver)
		s.quietly(func() { ok(t, s.manager.Put(s.ctx, f.feed())) })
		s.quietly(func() { ok(t, s.manager.Delete(s.ctx, "second")) })
		s.wantUsers(1)
		s.hears(receiver)

		from := len(s.capture.Reports())
		ok(t, s.manager.Delete(s.ctx, "feed"))
		s.left(s.capture, from, f.channel)
		s.wantUsers(0)
	})
}

// Applying the same twice, or in another order, touches nothing.
func TestStoryAppliedTwice(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		other := onEth0("other", channelOf(f.marker), channelOf(f.channel))
		s := newStage(t, f, f.feed(), other)
		s.wait("feed", membership.StateJoined)
		s.settled(s.capture)
		from := len(s.capture.Reports())
		s.quietly(func() {
			s.undisturbed(func() {
				s.apply(f.feed(), other)
				s.apply(onEth0("other", channelOf(f.channel), channelOf(f.marker), channelOf(f.channel)), f.feed())
			})
		})
		silent(t, s.capture, f.marker.group, from, len(s.capture.Reports()))
	})
}

// A changed membership puts what differs on the wire, and nothing else.
func TestStoryOneOfSeveralChanges(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		kept, before, after := f.spare(500), f.spare(501), f.spare(502)
		s := newStage(t, f, f.feed(), onEth0("other", channelOf(kept), channelOf(before)))
		for _, c := range []channel{f.channel, kept, before} {
			ok(t, testnet.Eventually(s.ctx, s.heardTwice(c)))
		}
		from := len(s.capture.Reports())
		s.quietly(func() {
			s.undisturbed(func() { s.apply(f.feed(), onEth0("other", channelOf(kept), channelOf(after))) })
			s.left(s.capture, from, before)
			ok(t, testnet.Eventually(s.ctx, s.heardTwice(after)))
		})
		silent(t, s.capture, kept.group, from, len(s.capture.Reports()))
	})
}
