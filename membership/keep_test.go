package membership

import (
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// followed is a story of a program that joined these channels on its socket by
// itself, and of a membership that follows it there.
func followed(t *testing.T, channels ...Channel) (*story, fakeCaller) {
	t.Helper()
	s := newStory(t)
	s.keeper.auditEvery = time.Minute
	s.create(1, mac1)
	s.deliver()
	program := fakeCaller{s.caller.socket, ifwatch.IPv4, s.caller}
	for _, c := range channels {
		if err := program.join(1, c); err != nil {
			t.Fatal(err)
		}
	}
	s.kernelDid()
	m := on(feed("a", "eth1", channels...), s.caller)
	m.Keep = KeepAlways
	s.put(m)
	s.wantState("a", StateJoined, "eth1 (instance 1) matches name=eth1")
	s.wantKernel("0 joins, 0 leaves")
	s.heard()
	return s, program
}

// What the program leaves is not lost, and is not joined again, whether it was all
// of a group or not.
func TestFollowedProgramLeaves(t *testing.T) {
	another := Channel{Source: one.Source.Next(), Group: one.Group}
	for name, left := range map[string]Channel{"a group": two, "a source": another} {
		t.Run(name, func(t *testing.T) {
			s, program := followed(t, one, another, two)
			if err := program.leave(1, left); err != nil {
				t.Fatal(err)
			}
			s.later(time.Minute)
			status := s.status(t, "a")
			if status.State != StateDegraded || !errors.Is(status.Err, ErrOwnerLeft) || status.Joined != 2 {
				t.Errorf("%+v", status)
			}
			for _, e := range s.events {
				if e.Type == EventRepaired {
					t.Errorf("told of %+v", e)
				}
			}
			if s.hears(1, left) {
				t.Error("it is joined again")
			}
		})
	}
}

// What the kernel took from the program is lost, and repaired: without ballast,
// whose end would take it again where this process dies.
func TestFollowedProgramIsRobbed(t *testing.T) {
	s, _ := followed(t, one, two)
	s.kernel.life(1, ifwatch.IPv4).rob(one)
	s.later(time.Minute)
	if s.wantState("a", StateJoined, "eth1 (instance 1) matches name=eth1"); !s.hears(1, one) {
		t.Error("it is not joined again")
	}
	if n := len(s.kernel.open_); n > 0 {
		t.Errorf("%d sockets are open for it", n)
	}
}

// While the program has not freed what the dead interface left behind, its room
// is not used up, and the next life of the index gets it all, also late.
func TestFollowedIntoTheSameIndex(t *testing.T) {
	s, program := followed(t, one, two)
	s.recreate(1, mac1)
	s.kernel.refuse = unix.ENOBUFS
	s.deliver()
	s.kernel.refuse = nil
	s.rest()
	if s.wantState("a", StateJoined, "eth1 (instance 2) matches name=eth1"); !s.hears(1, one) || !s.hears(1, two) {
		t.Error("not both are joined again")
	}
	if program.stale() {
		t.Error("the socket has entries of the dead life")
	}
}

// The interface comes back at another index, and nobody has said so yet: what the
// socket has at the old one is the only sign of what the program wants.
func TestFollowedWhileItsInterfaceIsGone(t *testing.T) {
	s := newStory(t)
	s.create(1, mac1)
	s.deliver()
	program := fakeCaller{s.caller.socket, ifwatch.IPv4, s.caller}
	if err := program.join(1, one); err != nil {
		t.Fatal(err)
	}
	s.remove(1)
	s.create(2, mac1)
	s.rename(2, ethernet(1))
	m := on(feed("a", "eth1", one), s.caller)
	m.Keep = KeepAlways
	s.put(m)
	s.deliver()
	s.rest()
	if s.wantState("a", StateJoined, "eth1 (instance 2) matches name=eth1"); !s.hears(2, one) {
		t.Error("it is not joined")
	}
	if program.stale() {
		t.Error("the socket has entries of the dead life")
	}
}

// The interface goes again just when what its former life left behind is freed.
func TestFollowedIntoAShortLife(t *testing.T) {
	s, _ := followed(t, one, two)
	s.kernel.joining = func() {
		s.kernel.joining = nil
		s.remove(1)
	}
	s.recreate(1, mac1)
	s.deliver()
	s.create(1, mac1)
	s.deliver()
	s.rest()
	if s.wantState("a", StateJoined, "eth1 (instance 3) matches name=eth1"); !s.hears(1, one) || !s.hears(1, two) {
		t.Error("not both are joined again")
	}
	if n := len(s.keeper.parking.freed); n > 0 {
		t.Errorf("%d entries are remembered yet", n)
	}
}

// A restart touches nothing of what lives on, whatever there was at its index before.
func TestFollowedOverARestart(t *testing.T) {
	s, program := followed(t, one)
	s.recreate(1, mac1)
	s.deliver()
	s.rest()
	s.kernelDid()
	s.restart(s.nothing)
	m := on(feed("a", "eth1", one), s.caller)
	m.Keep = KeepAlways
	s.put(m)
	s.rest()
	s.wantKernel("0 joins, 0 leaves")
	if err := program.leave(1, one); err != nil || s.hears(1, one) {
		t.Errorf("the program left, %v, and something holds it still", err)
	}
}

// Keep is for callers' sockets.
func TestKeepWithoutSocket(t *testing.T) {
	m := feed("a", "eth1", one)
	m.Keep = KeepAtEnd
	if m.Validate() == nil {
		t.Error("it is valid")
	}
	m = on(m, newFakeConn(newFakeKernel()))
	if err := m.Validate(); err != nil {
		t.Error(err)
	}
	if m.Keep = KeepAlways + 1; m.Validate() == nil {
		t.Error("it is valid")
	}
}
