package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/internal/testnet/wire"
	"github.com/ssmd-project/ssmd/membership"
	"github.com/ssmd-project/ssmd/reattach"
)

// temporary runs a manager in a lab until end is called.
func (l *lab) temporary(set ...membership.Membership) (manager *membership.Manager, end func()) {
	l.t.Helper()
	manager = membership.New(membership.Options{Watch: ifwatch.Options{Within: l.Near.Do}})
	ctx, cancel := context.WithCancel(l.ctx)
	ended := make(chan error, 1)
	go func() { ended <- manager.Run(ctx) }()
	end = func() {
		cancel()
		ok(l.t, <-ended)
	}
	l.t.Cleanup(cancel)
	ok(l.t, manager.Apply(l.ctx, set))
	return manager, end
}

// What is kept at the end of a manager is counted by the next one as it is: the
// network hears of neither.
func TestStoryKeptAtEnd(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		r, feed := l.own()
		feed.Keep = membership.KeepAtEnd
		c := newCapture(t, l.Far)
		_, end := l.temporary(feed)
		l.settled(c)
		from := len(c.Reports())
		l.hears(r)
		end()
		l.wantUsers(1)
		l.hears(r)

		s := onStage(l, noOptions, feed)
		s.wait("feed", membership.StateJoined)
		s.wantUsers(1)
		silent(t, c, f.channel.group, from, l.mark(c, 600))
		s.again()
		s.reattached(1)
		s.wantUsers(1)
		s.hears(r)

		ok(t, s.manager.Delete(s.ctx, "feed"))
		s.wantUsers(0)
	})
}

// What died while no manager ran is freed by the next one, which joins where the
// interface is by then.
func TestStoryKeptAtEndDiedMeanwhile(t *testing.T) {
	eachLife(t, func(l *lab, again func(*lab)) {
		r, feed := l.own()
		feed.Keep = membership.KeepAtEnd
		former := l.index()
		_, end := l.temporary(feed)
		end()
		again(l)
		l.deaf(r)

		s := onStage(l, noOptions, feed)
		s.wait("feed", membership.StateJoined)
		s.wantUsers(1)
		s.hears(r)
		if former != s.index() {
			wantErrno(l.t, "leaving the dead", socketOf(l.t, r).leaveGroup(former, l.channel.group), unix.EADDRNOTAVAIL)
		}
	})
}

// followed is a program's receiver that joined by itself, and the feed that
// follows it.
func (l *lab) followed() (*testnet.Receiver, membership.Membership) {
	l.t.Helper()
	r := l.listener(l.channel)
	feed := l.feed()
	feed.Socket, feed.Keep = r.Conn(), membership.KeepAlways
	return r, feed
}

// A program that knows nothing of the manager hears through re-creations of each
// kind; the network hears nothing of the beginning and of the end.
func TestStoryFollowed(t *testing.T) {
	eachLife(t, func(l *lab, again func(*lab)) {
		r, feed := l.followed()
		l.hears(r)
		s := onStage(l, noOptions, feed)
		s.wait("feed", membership.StateJoined)
		for times := range uint64(3) {
			again(s.lab)
			s.reattached(times + 1)
			s.wantUsers(1)
			s.hears(r)
		}
		from := l.mark(s.capture, 600)
		ok(l.t, s.manager.Delete(s.ctx, "feed"))
		until := l.mark(s.capture, 601)
		for _, report := range s.capture.Reports()[from:until] {
			if report.Is(wire.BlockOldSources, l.channel.source, l.channel.group) {
				l.t.Errorf("heard %v", report)
			}
		}
		s.wantUsers(1)
		s.hears(r)
	})
}

// What a program leaves while its interface is away is not joined again.
func TestStoryFollowedLeftMeanwhile(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		r, feed := l.followed()
		former := l.index()
		s := onStage(l, noOptions, feed)
		s.wait("feed", membership.StateJoined)
		ok(t, s.Cut("eth0"))
		s.wait("feed", membership.StateDetached)
		ok(t, socketOf(t, r).leaveGroup(former, f.channel.group))
		ok(t, s.Connect(testnet.Veth{Name: "eth0"}))
		s.wait("feed", membership.StateDegraded, membership.ErrOwnerLeft.Error())
		s.wantUsers(0)
	})
}

// What a program joins by itself on the new interface is counted.
func TestStoryFollowedJoinsItself(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		r, feed := l.followed()
		former := l.index()
		feed.Rules.Policy.Kind = reattach.PolicyApprove
		s := onStage(l, noOptions, feed)
		s.wait("feed", membership.StateJoined)
		ok(t, s.Recreate("eth0", testnet.Veth{}))
		ok(t, socketOf(t, r).leaveGroup(former, f.channel.group))
		ok(t, socketOf(t, r).join(s.index(), f.channel))
		s.wait("feed", membership.StateHeld)
		ok(t, s.manager.Approve(s.ctx, "feed", 0))
		s.reattached(1)
		s.wantUsers(1)
		s.hears(r)
	})
}

// What a program never joined is not joined for it, and a deaf one is cured.
func TestStoryFollowedDeaf(t *testing.T) {
	eachLife(t, func(l *lab, again func(*lab)) {
		r, feed := l.followed()
		again(l)
		l.deaf(r)
		feed.Channels = append(feed.Channels, channelOf(l.spare(500)))
		s := onStage(l, noOptions, feed)
		s.wait("feed", membership.StateDegraded, membership.ErrOwnerLeft.Error())
		s.hears(r)
		s.wantUsers(1)
	})
}

// A socket of another network namespace is joined there, where its interfaces are
// followed, and nothing of the namespace is held once the membership is gone.
func TestStoryOwnSocketElsewhere(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		r, feed := l.own()
		before := heldOpen(t, l.Near)
		s := onStage(l, ifwatch.Options{Within: newNamespace(t).Do}, feed)
		status := s.wait("feed", membership.StateJoined)
		if len(status.Attachments) != 1 || status.Attachments[0].Netns == "" {
			t.Errorf("attached to %+v, want it with a network namespace", status.Attachments)
		}
		s.hears(r)
		for times := range uint64(3) {
			s.again()
			s.reattached(times + 1)
			s.wantUsers(1)
			s.hears(r)
		}
		ok(t, s.manager.Delete(s.ctx, "feed"))
		s.wantUsers(0)
		ok(t, testnet.Eventually(s.ctx, func() error {
			if now := heldOpen(t, l.Near); now != before {
				return fmt.Errorf("%d descriptors of the namespace, were %d", now, before)
			}
			return nil
		}))
	})
}

// Where the namespace of one of several sockets is not to be had, nothing is
// changed, and the other one's is not held.
func TestStoryOwnSocketElsewhereRefused(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		_, feed := l.own()
		s := onStage(l, ifwatch.Options{Within: newNamespace(t).Do})
		before := heldOpen(t, l.Near)
		refused := feed
		refused.Name = "refused"
		refused.Socket = onceConn{newReceiver(t, l.Far, testnet.ReceiverConfig{Listen: l.listen(), OwnOnly: true}).Conn(), new(atomic.Int32)}
		if err := s.manager.Apply(s.ctx, []membership.Membership{feed, refused}); err == nil || !strings.Contains(err.Error(), "refused") {
			t.Errorf("apply: %v, want it refused by name", err)
		}
		if now := heldOpen(t, l.Near); now != before {
			t.Errorf("%d descriptors of the namespace, were %d", now, before)
		}
		statuses, err := s.manager.Status(s.ctx)
		ok(t, err)
		if len(statuses) > 0 {
			t.Errorf("%d memberships, want none", len(statuses))
		}
	})
}

// onceConn tells its descriptor to whoever asks first.
type onceConn struct {
	syscall.Conn
	asked *atomic.Int32
}

func (c onceConn) SyscallConn() (syscall.RawConn, error) {
	if c.asked.Add(1) > 1 {
		return nil, unix.EIO
	}
	return c.Conn.SyscallConn()
}

// heldOpen returns how many descriptors of this process are of a namespace.
func heldOpen(t *testing.T, n *testnet.Namespace) int {
	t.Helper()
	var name string
	ok(t, n.Do(func() (err error) {
		name, err = os.Readlink("/proc/thread-self/ns/net")
		return err
	}))
	files, err := filepath.Glob("/proc/self/fd/*")
	ok(t, err)
	held := 0
	for _, file := range files {
		if to, err := os.Readlink(file); err == nil && to == name {
			held++
		}
	}
	return held
}
