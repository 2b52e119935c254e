package membership

import (
	"testing"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// A life that ended and another that began between two looks.
func TestStoryMergedRecreation(t *testing.T) {
	s := joined(t, feed("a", "eth1", one, two))
	s.recreate(1, mac2)
	s.kernel.life(1, ifwatch.IPv4).foreignJoin(one)
	s.deliver()
	s.wantEvents("detached a eth1 removal", "reattached a eth1 appeared", "state a eth1 joined appeared")
	s.wantKernel("2 joins, 0 leaves") // parked
	s.sound()
	s.remove(1)
	s.deliver()
	s.sound()
	if len(s.kernel.open_) > 0 {
		t.Errorf("%d sockets open", len(s.kernel.open_))
	}
}

// What is parked is freed when any interface changes, though of the short life
// that had the index nothing is told.
func TestStoryParkedThroughAnUntoldLife(t *testing.T) {
	s := joined(t, feed("a", "eth1", one))
	s.remove(1)
	healthy := s.told[1]
	delete(s.told, 1)
	s.kernel.begin(1, "eth1")
	s.keeper.observe(ifwatch.Changes{Changes: []ifwatch.Change{{Index: 1, Removed: &healthy, Read: s.now}}}, s.now)
	if s.parkedSockets() != 1 {
		t.Fatal("nothing is parked")
	}
	s.kernel.end(1)
	s.create(2, mac1)
	s.deliver()
	if len(s.kernel.open_) > 0 {
		t.Errorf("%d sockets open", len(s.kernel.open_))
	}
}

func TestStoryProtocolDeathOfMixedFamilies(t *testing.T) {
	s := joined(t, feed("a", "eth1", one, six))
	s.put(feed("six", "eth1", six))
	s.heard()
	s.endIPv6(1)
	s.deliver()
	s.wantState("a", StateDegraded, "eth1 (instance 1): IPv6 channels not joined: protocol IPv6: wanted alive, found not alive at MTU 1000")
	s.wantState("six", StateDetached, "eth1 (instance 1): protocol IPv6: wanted alive, found not alive at MTU 1000")
	if status := s.status(t, "a"); status.Joined != 1 || !s.hears(1, one) {
		t.Errorf("%+v", status)
	}
	s.beginIPv6(1)
	s.deliver()
	for _, name := range []string{"a", "six"} {
		s.wantState(name, StateJoined, "eth1 (instance 1) matches name=eth1"+map[string]string{"six": ""}[name])
	}
	s.wantCounters("a", Counters{Attaches: 1})
	s.wantCounters("six", Counters{Attaches: 2, Detaches: 1, Reattaches: 1})
	s.sound()
}

// IPv6 died and lived again between two looks: the other family is untouched.
func TestStoryMergedProtocolDeath(t *testing.T) {
	s := joined(t, feed("a", "eth1", one, six))
	s.endIPv6(1)
	s.beginIPv6(1)
	s.kernel.life(1, ifwatch.IPv6).foreignJoin(six)
	s.deliver()
	s.wantEvents()
	s.wantKernel("1 joins, 0 leaves")
	s.wantState("a", StateJoined, "eth1 (instance 1) matches name=eth1")
	s.sound()
}

// Events are lost while an interface is re-created with its index.
func TestStoryResync(t *testing.T) {
	s := joined(t, feed("a", "eth1", one, six))
	s.put(feed("b", "eth2", one))
	s.create(2, mac1)
	s.deliver()
	s.heard()
	s.losing = true
	s.recreate(1, mac1)
	s.resync()
	s.wantEvents("resynced kernel", "detached a eth1 removal", "reattached a eth1 appeared", "state a eth1 joined appeared")
	s.wantCounters("b", Counters{Attaches: 1})
	s.sound()
	s.losing = true
	s.resync()
	s.wantEvents("resynced kernel") // nothing happened, nothing is touched
}

// Events are lost while IPv6 dies and lives again.
func TestStoryResyncAfterProtocolDeath(t *testing.T) {
	s := joined(t, feed("a", "eth1", one, six))
	s.losing = true
	s.endIPv6(1)
	s.beginIPv6(1)
	s.resync()
	s.wantEvents("resynced kernel")
	s.wantState("a", StateJoined, "eth1 (instance 1) matches name=eth1")
	s.wantKernel("1 joins, 0 leaves")
	s.sound()
}

// The end of a life that is not told yet: nothing is touched.
func TestStoryNothingIsTouchedBeforeTheNews(t *testing.T) {
	s := joined(t, feed("a", "eth1", one))
	s.recreate(1, mac1)
	s.kernel.life(1, ifwatch.IPv4).foreignJoin(one)
	s.put(feed("a", "eth1", two))
	s.wantKernel("0 joins, 0 leaves")
	s.wantState("a", StateDegraded, "eth1 (instance 1): channels not joined: its removal is under way")
	if s.keeper.nextWake().IsZero() {
		t.Error("nobody looks again")
	}
	s.deliver()
	s.wantKernel("1 joins, 0 leaves")
	s.sound()
}

// A join that landed on the next life is left with the membership.
func TestStoryJoinLandsOnTheNextLife(t *testing.T) {
	s := newStory(t)
	s.create(1, mac1)
	s.deliver()
	s.recreate(1, mac1)
	s.put(feed("a", "eth1", one))
	s.wantKernel("1 joins, 0 leaves")
	s.deliver()
	if users := s.kernel.life(1, ifwatch.IPv4).groups[one.Group].users; users != 1 {
		t.Errorf("%d users", users)
	}
	s.keeper.delete("a", s.now)
	if s.hears(1, one) {
		t.Error("still joined")
	}
	s.sound()
}

// At an index whose interface has another name than was told, nothing is
// joined: it may be another life, of which there is no probe.
func TestStoryProbeOfAnUnknownName(t *testing.T) {
	s := newStory(t)
	s.create(1, mac1)
	s.rename(1, "wan1")
	s.deliver()
	s.recreate(1, mac1) // as eth1
	s.put(feed("a", "*", one))
	s.wantKernel("0 joins, 0 leaves")
	s.deliver()
	s.wantKernel("1 joins, 0 leaves")
	s.sound()
}

// The kernel tells of a new name before there is anything to probe under it.
func TestStoryProbeComesAfterTheNews(t *testing.T) {
	s := newStory(t)
	s.kernel.hidden = true
	s.create(1, mac1)
	s.deliver()
	s.put(feed("a", "eth1", one))
	s.wantKernel("0 joins, 0 leaves")
	s.kernel.hidden = false
	s.later(firstWait)
	s.wantKernel("1 joins, 0 leaves")
	s.wantState("a", StateJoined, "eth1 (instance 1) matches name=eth1")
	if next := s.keeper.nextWake(); !next.IsZero() {
		t.Errorf("something is due at %v", next)
	}
}

func TestStoryRename(t *testing.T) {
	s := joined(t, feed("a", "*", one))
	s.rename(1, "wan1")
	s.deliver()
	s.wantState("a", StateJoined, "wan1 (instance 1) matches name=wan1")
	s.rename(1, "lan1")
	s.rename(1, "wan1") // a change of nothing
	s.deliver()
	s.put(feed("a", "*", one, two))
	s.wantKernel("1 joins, 0 leaves")
	s.wantCounters("a", Counters{Attaches: 1})
	s.sound()
}

// The news of a rename comes when another life has the index under the new
// name: a probe that is opened then proves nothing of earlier joins.
func TestStoryRenameToldInTheNextLife(t *testing.T) {
	s := joined(t, feed("a", "*", one))
	s.kernel.end(1)
	s.kernel.begin(1, "wan1")
	s.kernel.life(1, ifwatch.IPv4).foreignJoin(one)
	renamed := s.told[1]
	renamed.Name, renamed.Renames = "wan1", renamed.Renames+1
	s.keeper.observe(ifwatch.Changes{Changes: []ifwatch.Change{{Index: 1, Now: &renamed, Read: s.now}}}, s.now)
	s.keeper.observe(ifwatch.Changes{Changes: []ifwatch.Change{{Index: 1, Removed: &renamed, Read: s.now}}}, s.now)
	if err := s.robbed(); err != nil {
		t.Error(err)
	}
	if s.parkedSockets() != 1 {
		t.Error("nothing is parked")
	}
}

// While an interface is down a socket waits for it. It is the one that is
// joined on, or closed where nothing is to be joined.
func TestStorySpareSocket(t *testing.T) {
	for name, c := range map[string]struct {
		then func(*story)
		open int
	}{
		"accepted": {func(s *story) { s.alter(1, func(i *ifwatch.Interface) { i.Up = true }) }, 1},
		"rejected": {func(s *story) { s.alter(1, func(i *ifwatch.Interface) { i.Up, i.Name = true, "other" }) }, 0},
		"removed":  {func(s *story) { s.remove(1) }, 0},
		"renamed":  {func(s *story) { s.rename(1, "eth2") }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory(t)
			before := s.kernel.sockets
			s.put(feed("a", "eth1", one))
			s.create(1, mac1)
			s.alter(1, func(i *ifwatch.Interface) { i.Up = false })
			s.deliver()
			if opened := s.kernel.sockets - before; opened != 1 {
				t.Errorf("%d sockets opened for an interface that is down", opened)
			}
			c.then(s)
			s.deliver()
			if opened := s.kernel.sockets - before; opened != 1 || len(s.kernel.open_) != c.open {
				t.Errorf("%d sockets opened, %d open, want 1 and %d", opened, len(s.kernel.open_), c.open)
			}
			s.sound()
		})
	}
}

// Sockets that wait take no descriptors from those that are needed, and none
// waits for what nobody wants.
func TestStorySpareSocketsAreFew(t *testing.T) {
	s := newStory(t)
	for n := range 3 * mostSpares {
		s.create(n+1, mac1)
		s.alter(n+1, func(i *ifwatch.Interface) { i.Up = false })
	}
	s.deliver()
	s.put(feed("a", "eth*", one))
	if n := len(s.kernel.open_); n != mostSpares {
		t.Errorf("%d sockets open, want %d", n, mostSpares)
	}
	s.keeper.delete("a", s.now)
	if n := len(s.kernel.open_); n != 0 {
		t.Errorf("%d sockets open without a membership", n)
	}
}

// The life may end between two joins: each new socket is preceded by a look.
func TestStoryEachNewSocketIsPrecededByALook(t *testing.T) {
	s := newStory(t)
	s.kernel.maxSources, s.kernel.maxGroups = 20, 1
	s.create(1, mac1)
	s.deliver()
	many, other := manyChannels(10, 1), manyChannels(1, 2)[1]
	s.put(feed("a", "eth1", many[0]))
	joins := 0
	s.kernel.joining = func() {
		if joins++; joins == 2 {
			s.kernel.end(1)
			s.kernel.begin(1, "eth1")
		}
	}
	s.put(feed("a", "eth1", append(many[:5:5], other)...))
	if s.hears(1, other) {
		t.Error("a new socket was joined in the next life")
	}
}
