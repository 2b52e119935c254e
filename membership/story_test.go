package membership

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// story is a world in which a test says what it wants after each step.
type story struct {
	*world
	t *testing.T
}

func newStory(t *testing.T) *story { return &story{newWorld(), t} }

func (s *story) wantEvents(want ...string) {
	s.t.Helper()
	if diff := cmp.Diff(want, s.heard()); diff != "" {
		s.t.Errorf("events (-want +got):\n%s", diff)
	}
}

func (s *story) wantKernel(want string) {
	s.t.Helper()
	if got := s.kernelDid(); got != want {
		s.t.Errorf("the kernel saw %s, want %s", got, want)
	}
}

func (s *story) wantState(name string, state State, reason string) {
	s.t.Helper()
	got := s.status(s.t, name)
	if diff := cmp.Diff([]string{string(state), reason}, []string{string(got.State), got.Reason}); diff != "" {
		s.t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func (s *story) wantCounters(name string, want Counters) {
	s.t.Helper()
	if diff := cmp.Diff(want, s.status(s.t, name).Counters); diff != "" {
		s.t.Errorf("counters of %s (-want +got):\n%s", name, diff)
	}
}

func (s *story) sound() {
	s.t.Helper()
	for _, err := range []error{s.robbed(), s.untrue(nil), s.leaked()} {
		if err != nil {
			s.t.Error(err)
		}
	}
}

// joined is a story that begins with an interface eth1 and a membership that is
// joined there.
func joined(t *testing.T, m Membership) *story {
	t.Helper()
	s := newStory(t)
	s.create(1, mac1)
	s.deliver()
	s.put(m)
	if got := s.status(t, m.Name); got.State != StateJoined {
		t.Fatalf("%s is %s: %s", m.Name, got.State, got.Reason)
	}
	s.heard()
	s.kernelDid()
	return s
}

func TestStoryFromWaitingToReattached(t *testing.T) {
	s := newStory(t)
	s.apply(feed("a", "eth1", one))
	s.wantEvents("reloaded request", "state a waiting request")
	s.wantState("a", StateWaiting, "no interface matches name=eth1")

	s.create(1, mac1)
	s.deliver()
	s.wantEvents("attached a eth1 appeared", "state a eth1 joined appeared")
	s.wantState("a", StateJoined, "eth1 (instance 1) matches name=eth1")

	s.remove(1)
	s.deliver()
	s.wantEvents("detached a eth1 removal", "state a detached removal")
	s.wantState("a", StateDetached, "no interface matches name=eth1")

	s.create(1, mac2)
	s.deliver()
	s.wantEvents("reattached a eth1 appeared", "state a eth1 joined appeared")
	s.wantState("a", StateJoined, "eth1 (instance 2) matches name=eth1")
	s.wantCounters("a", Counters{Attaches: 2, Detaches: 1, Reattaches: 1})
	if previous := s.status(t, "a").Previous; previous == nil || previous.Instance != 1 || previous.MAC != mac1 {
		t.Errorf("previous: %+v", previous)
	}
	if s.keeper.delete("b", s.now) || !s.keeper.delete("a", s.now) {
		t.Error("deleted what is not there, or not what is")
	}
	s.wantEvents("detached a eth1 request")
	s.wantKernel("2 joins, 2 leaves") // the first of which was for nobody
	s.sound()
}

func TestStoryRefusal(t *testing.T) {
	s := newStory(t)
	s.create(1, mac1)
	s.deliver()
	s.kernel.refuse, s.kernel.refuseOnly = unix.ENOBUFS, &two
	s.put(feed("a", "eth1", one, two))
	s.wantEvents("attached a eth1 request", "error a eth1 kernel", "state a eth1 degraded kernel")
	s.wantState("a", StateDegraded, "eth1 (instance 1): 1 of 2 channels not joined: 10.0.0.1@232.0.0.2: no buffer space available on an empty socket (ENOBUFS), limits: fake=3")
	x, _ := s.keeper.explain("a", s.now)
	want := []ChannelStatus{
		{Channel: one, Interface: "eth1", Instance: 1, Joined: true},
		{Channel: two, Interface: "eth1", Instance: 1, Error: "no buffer space available on an empty socket", Err: unix.ENOBUFS},
	}
	if diff := cmp.Diff(want, x.Channels, compareAddrs, cmpopts.EquateErrors()); diff != "" {
		t.Errorf("channels (-want +got):\n%s", diff)
	}
	s.later(firstBackoff)
	s.wantEvents() // the same again
	s.kernel.refuse = nil
	s.later(2 * firstBackoff)
	s.wantEvents("state a eth1 joined request")
	s.wantCounters("a", Counters{Attaches: 1, Errors: 1})
	if next := s.keeper.nextWake(); !next.IsZero() {
		t.Errorf("something is due at %v", next)
	}
}

// Nothing is due once the refused channel is no longer wished for.
func TestStoryRefusedIsUnwished(t *testing.T) {
	s := newStory(t)
	s.create(1, mac1)
	s.deliver()
	s.kernel.refuse, s.kernel.refuseOnly = unix.EINVAL, &two
	s.put(feed("a", "eth1", one, two))
	s.put(feed("a", "eth1", one))
	s.wantState("a", StateJoined, "eth1 (instance 1) matches name=eth1")
	if next := s.keeper.nextWake(); !next.IsZero() {
		t.Errorf("something is due at %v", next)
	}
}

func TestStoryCallersSocket(t *testing.T) {
	s := newStory(t)
	s.create(1, mac1)
	s.deliver()
	s.put(on(feed("a", "eth1", one), s.caller))
	s.put(on(feed("b", "eth1", one, two), &fakeConn{socket: s.caller.socket})) // by another name
	s.wantState("b", StateJoined, "eth1 (instance 1) matches name=eth1")
	s.wantKernel("2 joins, 0 leaves")
	s.keeper.delete("a", s.now)
	s.wantKernel("0 joins, 0 leaves")
	s.heard()

	s.recreate(1, mac1)
	s.kernel.life(1, ifwatch.IPv4).foreignJoin(two)
	s.deliver()
	s.wantEvents("detached b eth1 removal", "reattached b eth1 appeared", "state b eth1 joined appeared")
	s.sound()

	other := newFakeConn(s.kernel)
	s.put(on(feed("b", "eth1", one, two), other))
	s.wantEvents("detached b eth1 request", "attached b eth1 request")
	if n, m := len(s.caller.socket.entries), len(other.socket.entries); n != 0 || m != 2 {
		t.Errorf("%d groups on the old socket, %d on the new", n, m)
	}
	s.keeper.shutdown(s.now)
	if len(other.socket.entries) > 0 || other.socket.closed {
		t.Error("the caller's socket is not as it was")
	}
}

func TestStoryCallersSocketClosed(t *testing.T) {
	s := newStory(t)
	s.create(1, mac1)
	s.deliver()
	s.put(on(feed("a", "eth1", one), s.caller))
	s.put(on(feed("b", "eth1", two), s.caller))
	s.heard()
	s.caller.socket.close()
	s.wantState("a", StateJoined, "eth1 (instance 1) matches name=eth1") // nobody can tell yet
	s.put(on(feed("a", "eth1", one, six), s.caller))
	for _, name := range []string{"a", "b"} {
		s.wantState(name, StateEnded, "the caller closed its socket")
	}
	s.recreate(1, mac1)
	s.deliver()
	s.wantState("a", StateEnded, "the caller closed its socket")
}

// An audit notices it, whoever else has the channel, and leaves nothing joined.
func TestStoryCallersSocketClosedAtAnAudit(t *testing.T) {
	for name, others := range map[string]int{"alone": 0, "among others": 1} {
		t.Run(name, func(t *testing.T) {
			s := newStory(t)
			s.keeper.auditEvery = time.Minute
			s.create(1, mac1)
			s.deliver()
			s.put(on(feed("a", "eth1", one), s.caller))
			for range others {
				s.kernel.life(1, ifwatch.IPv4).foreignJoin(one)
			}
			s.caller.socket.close()
			s.later(time.Minute)
			s.wantState("a", StateEnded, "the caller closed its socket")
			if users := s.kernel.life(1, ifwatch.IPv4).groups[one.Group]; others == 0 && users != nil || others > 0 && users.users != others {
				t.Errorf("users of the group: %+v, want %d", users, others)
			}
			if open := len(s.kernel.open_); open > 0 {
				t.Errorf("%d sockets are left open", open)
			}
		})
	}
}

func TestStoryCallersSocketOfNoUse(t *testing.T) {
	for name, test := range map[string]struct {
		break_ func(*fakeConn)
		want   string
	}{
		"closed": {func(c *fakeConn) { c.socket.close() }, "the caller closed its socket"},
		"other":  {func(c *fakeConn) { c.unusable = fmt.Errorf("it receives nothing of IPv6") }, "the caller's socket cannot be used: it receives nothing of IPv6"},
	} {
		s := newStory(t)
		s.create(1, mac1)
		s.deliver()
		test.break_(s.caller)
		s.put(on(feed("a", "eth1", one, six), s.caller))
		s.wantEvents("attached a eth1 request", "detached a eth1 socket", "state a ended socket")
		s.wantState("a", StateEnded, test.want)
		if name == "other" {
			s.wantKernel("0 joins, 0 leaves")
		}
		s.put(on(feed("a", "eth1", one), newFakeConn(s.kernel)))
		s.wantState("a", StateJoined, "eth1 (instance 1) matches name=eth1")
		s.sound()
	}
}

func TestStoryShutdown(t *testing.T) {
	s := joined(t, feed("a", "eth1", manyChannels(1, 7)...))
	s.put(on(feed("own", "eth1", six), s.caller))
	s.heard()
	s.kernel.leaves = nil
	s.keeper.shutdown(s.now)
	if n := len(s.kernel.open_) + s.kernel.probes + len(s.caller.socket.entries); n > 0 {
		t.Errorf("%d things are left", n)
	}
	causes := make(map[Cause]int)
	for _, e := range s.events {
		causes[e.Cause]++
	}
	if diff := cmp.Diff(map[Cause]int{CauseShutdown: 2}, causes); diff != "" {
		t.Errorf("causes (-want +got):\n%s", diff)
	}
}

// Nobody is robbed at the end either.
func TestStoryShutdownBeforeTheNews(t *testing.T) {
	s := joined(t, feed("a", "eth1", one, six))
	s.recreate(1, mac1)
	for _, c := range []Channel{one, six} {
		s.kernel.life(1, c.Family()).foreignJoin(c)
	}
	s.keeper.shutdown(s.now)
	if err := s.robbed(); err != nil {
		t.Error(err)
	}
}
