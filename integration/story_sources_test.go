package integration

import (
	"testing"

	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/membership"
)

// An application that changes what it wants on its own socket loses no datagram
// of what it wanted before and wants still, also of a group whose other sources
// come and go, and the network hears nothing of that.
func TestStoryOwnSocketChanged(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		r, feed := l.own()
		s := onStage(l, noOptions, feed)
		s.wait("feed", membership.StateJoined)
		s.hears(r)
		many := []membership.Channel{channelOf(f.channel)}
		for n := range 10 {
			many = append(many, channelOf(f.spare(500+n)))
		}
		s.unpruned(func() {
			for n := range 4 {
				for _, set := range [][]membership.Channel{
					{channelOf(f.channel), channelOf(f.other)}, // another source of the group
					{channelOf(f.channel)},
					{channelOf(f.other), channelOf(f.spare(600 + n)), channelOf(f.channel)},
					many,
					many[:5],
					{channelOf(f.channel)},
				} {
					before := r.Stats().Count
					feed.Channels = set
					ok(t, s.manager.Put(s.ctx, feed))
					if status := s.status("feed"); status.State != membership.StateJoined || status.Joined != len(set) || status.Counters.Detaches > 0 {
						t.Fatalf("with %v it is %+v", set, status)
					}
					s.hears(r)
					if r.Stats().Count == before {
						t.Errorf("nothing came with %v", set)
					}
				}
			}
		})
		if lost := r.Stats().Lost; lost > 0 {
			t.Errorf("%d datagrams of %d were lost", lost, r.Stats().Last)
		}
		ok(t, s.Recreate("eth0", testnet.Veth{}))
		s.reattached(1)
		s.hears(r)
	})
}
