package integration

import (
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/membership"
	"golang.org/x/sys/unix"
)

// own is an application's receiver, which hears nothing but what is joined on
// its own socket, and the feed that joins there.
func (l *lab) own() (*testnet.Receiver, membership.Membership) {
	l.t.Helper()
	r := newReceiver(l.t, l.Near, testnet.ReceiverConfig{Listen: l.listen(), OwnOnly: true})
	feed := l.feed()
	feed.Socket = r.Conn()
	return r, feed
}

// The caller's own socket hears before and after each kind of re-creation,
// and the events come in their order.
func TestStoryOwnSocket(t *testing.T) {
	eachLife(t, func(l *lab, again func(*lab)) {
		r, feed := l.own()
		s := onStage(l, noOptions, feed)
		s.wait("feed", membership.StateJoined)
		s.hears(r)
		again(s.lab)
		s.reattached(1)
		s.wantUsers(1)
		s.hears(r)

		s.events.wait(l.t, membership.EventReattached, membership.CauseAppeared)
		var order []membership.EventType
		for _, e := range s.events.all(membership.EventAttached, membership.EventDetached, membership.EventReattached) {
			order = append(order, e.Type)
		}
		if want := []membership.EventType{membership.EventAttached, membership.EventDetached, membership.EventReattached}; !slices.Equal(order, want) {
			l.t.Errorf("heard of %v, want %v", order, want)
		}
	})
}

// Deleting the membership leaves the channel and keeps the socket, which is
// the application's.
func TestStoryOwnSocketDeleted(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		r, feed := l.own()
		s := onStage(l, noOptions, feed)
		s.wait("feed", membership.StateJoined)
		s.hears(r)
		from := len(s.capture.Reports())
		ok(t, s.manager.Delete(s.ctx, "feed"))
		s.left(s.capture, from, f.channel)
		s.wantUsers(0)
		ok(t, socketOf(t, r).join(s.index(), f.channel))
		s.hears(r)
	})
}

// An application that gives the membership another socket has it joined there
// and left on the first.
func TestStoryOwnSocketReplaced(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		first, feed := l.own()
		s := onStage(l, noOptions, feed)
		s.wait("feed", membership.StateJoined)
		s.hears(first)
		other, feed := l.own()
		ok(t, s.manager.Put(s.ctx, feed))
		s.wait("feed", membership.StateJoined)
		s.wantUsers(1)
		s.hears(other)
		times := s.status("feed").Counters.Reattaches
		s.again()
		s.reattached(times + 1)
		s.wantUsers(1)
		s.hears(other)
	})
}

// An application that closes its socket has ended the membership, until it
// gives it another one.
func TestStoryOwnSocketClosed(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		r, feed := l.own()
		s := onStage(l, noOptions, feed, onEth0("other", channelOf(f.spare(500))))
		s.wait("feed", membership.StateJoined)
		ok(t, r.Close())
		ok(t, s.Recreate("eth0", testnet.Veth{}))
		s.wait("feed", membership.StateEnded, "closed its socket")
		s.wait("other", membership.StateJoined)
		s.wantUsers(0)
		ok(t, s.Recreate("eth0", testnet.Veth{}))
		s.caughtUp()
		s.wait("feed", membership.StateEnded, "closed its socket")

		another, feed := l.own()
		ok(t, s.manager.Put(s.ctx, feed))
		s.wait("feed", membership.StateJoined)
		s.hears(another)
	})
}

// Without a change of the interface it is found out too, though somebody else has
// the channel, and nothing is left joined in the application's place.
func TestStoryOwnSocketClosedAlone(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		for name, others := range map[string]int{"alone": 0, "among others": 1} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				l := newLab(t, f)
				r, feed := l.own()
				s := onStage(l, noOptions, feed)
				ok(t, s.manager.SetAudit(s.ctx, time.Second))
				s.wait("feed", membership.StateJoined)
				if others > 0 {
					l.joined()
				}
				ok(t, r.Close())
				s.wait("feed", membership.StateEnded, "closed its socket")
				s.wantUsers(others)
			})
		}
	})
}

// What is left makes room for what is joined, on a socket that takes no more.
func TestStoryOwnSocketFull(t *testing.T) {
	t.Parallel()
	l := newLab(t, v4)
	_, feed := l.own()
	many := func(from int) (all []membership.Channel) {
		for n := range 20 { // net.ipv4.igmp_max_memberships
			all = append(all, channelOf(v4.spare(from+n)))
		}
		return all
	}
	feed.Channels = many(100)
	s := onStage(l, noOptions, feed)
	s.wait("feed", membership.StateJoined)
	feed.Channels = many(200)
	ok(t, s.manager.Put(s.ctx, feed))
	if status := s.status("feed"); status.State != membership.StateJoined || status.Counters.Errors > 0 {
		t.Errorf("%+v", status)
	}
	other := feed
	other.Name, other.Channels = "other", many(300)
	ok(t, s.manager.Apply(s.ctx, []membership.Membership{other}))
	if status := s.status("other"); status.State != membership.StateJoined || status.Counters.Errors > 0 {
		t.Errorf("%+v", status)
	}
}

// A socket that is bound to a device is bound to it again.
func TestStoryOwnSocketBoundToDevice(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		r, feed := l.own()
		ok(t, socketOf(t, r).bindToDevice("eth0"))
		s := onStage(l, noOptions, feed)
		s.wait("feed", membership.StateJoined)
		s.hears(r)
		ok(t, s.Recreate("eth0", testnet.Veth{}))
		s.reattached(1)
		s.hears(r)
		ok(t, socketOf(t, r).do(func(fd int) error {
			bound, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX)
			if bound != s.index() {
				t.Errorf("bound to %d, want %d", bound, s.index())
			}
			return err
		}))
	})
}

// However often the interface is re-created, the caller's socket keeps its
// room: it takes as many groups as a fresh one.
func TestStoryOwnSocketKeepsItsRoom(t *testing.T) {
	t.Parallel()
	const lives, room = 50, 20 // net.ipv4.igmp_max_memberships
	l := newLab(t, v4)
	r, feed := l.own()
	s := onStage(l, noOptions, feed)
	s.wait("feed", membership.StateJoined)
	for life := range lives {
		ok(t, s.Recreate("eth0", testnet.Veth{Index: s.index() * (life % 2)}))
		s.reattached(uint64(life + 1))
	}
	s.wantUsers(1)
	s.hears(r)
	for i := range room - 1 {
		ok(t, socketOf(t, r).join(s.index(), v4.spare(500+i)))
	}
	wantErrno(t, "one more join", socketOf(t, r).join(s.index(), v4.spare(600)), unix.ENOBUFS)
}

// An application may pass on its socket to another connection, and close the first:
// it is the same socket.
func TestStoryOwnSocketByAnotherName(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		conn := l.bound(f.channel.group, nil)
		s := onStage(l, noOptions, feedOn(f, "feed", conn))
		s.wait("feed", membership.StateJoined)
		file, err := conn.File() // a duplicate
		ok(t, err)
		defer file.Close()
		from := len(s.capture.Reports())
		ok(t, s.manager.Put(s.ctx, feedOn(f, "feed", file)))
		ok(t, conn.Close())
		s.notLeft(s.capture, from, s.mark())
		other, err := net.FilePacketConn(file)
		ok(t, err)
		defer other.Close()
		for n := range 2 {
			s.wantUsers(1)
			s.heardOn(other.(*net.UDPConn))
			s.again()
			s.await("feed", attachedTimes(uint64(n+3)))
		}
		s.heardOn(other.(*net.UDPConn))
	})
}

// attachedTimes checks that a membership is joined, and was attached so often.
func attachedTimes(times uint64) func(membership.Status) error {
	return func(status membership.Status) error {
		if status.State != membership.StateJoined || status.Counters.Attaches != times {
			return fmt.Errorf("attached %d times, want %d and joined", status.Counters.Attaches, times)
		}
		return nil
	}
}
