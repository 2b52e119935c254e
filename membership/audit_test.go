package membership

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// joinedWorld has eth1 with a joined feed of these channels, and nothing told.
func joinedWorld(channels ...Channel) *world {
	w := newWorld()
	w.keeper.auditEvery = time.Minute
	w.create(1, mac1)
	w.put(feed("a", "eth1", channels...))
	w.deliver()
	w.heard()
	w.kernelDid()
	return w
}

func (w *world) wantHeard(t *testing.T, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, w.heard()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestAuditRepairsATheft(t *testing.T) {
	w := joinedWorld(one, two)
	w.kernel.life(1, ifwatch.IPv4).rob(one)
	w.later(59 * time.Second)
	w.wantHeard(t)
	w.later(time.Second)
	w.wantHeard(t, "repaired a eth1 audit")
	if !w.hears(1, one) || w.status(t, "a").Counters.Repairs != 1 {
		t.Errorf("not repaired: %+v", w.status(t, "a"))
	}
	w.kernelDid()
	w.later(time.Hour)
	if did := w.kernelDid(); did != "0 joins, 0 leaves" {
		t.Errorf("an audit without a theft made %s", did)
	}
}

// What another group's change made deaf while the interface was down is left and
// joined again, and counts once afterwards. What was stolen is not left.
func TestAuditCuresTheDeaf(t *testing.T) {
	for name, rob := range map[string]func(*fakeLife, Channel){
		"deaf":          func(l *fakeLife, c Channel) { clear(l.groups[c.Group].sources) },
		"stolen":        func(l *fakeLife, c Channel) { l.rob(c) },
		"stolen of two": func(l *fakeLife, c Channel) { l.foreignJoin(Channel{c.Source.Next(), c.Group}); l.rob(c) },
	} {
		t.Run(name, func(t *testing.T) {
			w := joinedWorld(six)
			m := feed("a", "eth1", six)
			m.Reannounce.On = []Trigger{}
			w.put(m)
			life := w.kernel.life(1, ifwatch.IPv6)
			users := 1 + strings.Count(name, "two")
			w.alter(1, func(i *ifwatch.Interface) { i.Up = false })
			w.deliver()
			rob(life, six)
			w.alter(1, func(i *ifwatch.Interface) { i.Up = true; i.Returns.Ups++ })
			w.deliver()
			w.later(time.Minute)
			w.wantHeard(t, "repaired a eth1 audit")
			if g := life.groups[six.Group]; !w.hears(1, six) || g.users != users {
				t.Errorf("%+v, want to hear it, and %d users", g, users)
			}
			if err := w.robbed(); err != nil {
				t.Error(err)
			}
		})
	}
}

// What was lost and cannot be joined again, on the manager's socket or on the
// caller's, is not said to be joined.
func TestAuditOfWhatIsRefused(t *testing.T) {
	own := func(w *world) Membership {
		m := feed("a", "eth1", one, two)
		m.Socket = &fakeConn{socket: w.caller.socket}
		return m
	}
	for name, wish := range map[string]func(*world) Membership{"own": func(*world) Membership { return feed("a", "eth1", one, two) }, "caller's": own} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.keeper.auditEvery = time.Minute
			w.create(1, mac1)
			w.put(wish(w))
			w.deliver()
			w.heard()
			w.kernel.life(1, ifwatch.IPv4).rob(one)
			w.kernel.refuse = unix.ENOBUFS
			for range 2 {
				w.later(time.Minute)
				s := w.status(t, "a")
				if s.State != StateDegraded || s.Joined != 1 || s.Attachments[0].Failed != 1 || !strings.Contains(s.Reason, "1 of 2 channels not joined: "+one.String()+": the kernel lost it, and refuses it now") {
					t.Errorf("%+v", s)
				}
				if err := w.miscounted(); err != nil {
					t.Error(err)
				}
			}
			w.wantHeard(t, "error a eth1 kernel", "state a eth1 degraded kernel")
			w.kernel.refuse = nil
			w.later(time.Minute)
			w.wantHeard(t, "repaired a eth1 audit", "state a eth1 joined audit")
			if s := w.status(t, "a"); !w.hears(1, one) || s.Joined != 2 {
				t.Errorf("%+v", s)
			}
			if err := w.miscounted(); err != nil {
				t.Error(err)
			}
		})
	}
}

// Another process is a member of the same group: what it has is not taken.
func TestRepairIsNoTheft(t *testing.T) {
	w := joinedWorld(manyChannels(3, 1)...) // on two sockets
	life := w.kernel.life(1, ifwatch.IPv4)
	c := manyChannels(3, 1)[2]
	life.rob(c)
	life.foreignJoin(Channel{one.Source, c.Group})
	life.rob(c)
	w.later(time.Minute)
	if err := w.robbed(); err != nil {
		t.Error(err)
	}
	for _, c := range manyChannels(3, 1) {
		if !w.hears(1, c) {
			t.Errorf("%s is not heard", c)
		}
	}
}

// After a rename a probe may be of the life that has the index by now, and the
// watcher late: what seems to be lost is looked at again.
func TestLossAfterARenameIsNotBelievedAtOnce(t *testing.T) {
	w := joinedWorld(one)
	w.rename(1, "wan1")
	w.deliver() // the probe is new
	w.heard()
	w.kernel.end(1)
	w.kernel.begin(1, "wan1")
	w.keeper.instances[1].closeProbes() // as where the directory came late
	w.keeper.probe(w.keeper.instances[1], ifwatch.IPv4)
	w.keeper.suspect(nil, w.now)
	w.wantHeard(t)
	w.recreate(1, mac1)
	w.deliver()
	for _, line := range w.heard() {
		if line == "repaired a eth1 audit" {
			t.Error("repaired what was not lost")
		}
	}

	w = joinedWorld(one)
	w.rename(1, "wan1")
	w.deliver()
	w.heard()
	w.kernel.life(1, ifwatch.IPv4).rob(one)
	w.keeper.suspect(nil, w.now)
	w.wantHeard(t)
	w.later(hintPause)
	w.wantHeard(t, "repaired a wan1 audit")
}

// While an interface is down its filters are not listed. What was lost meanwhile
// is found once it is up.
func TestNothingIsRepairedWhileDown(t *testing.T) {
	w := joinedWorld(one, two)
	w.keeper.auditEvery = 0
	w.kernel.down = true
	w.alter(1, func(i *ifwatch.Interface) { i.Up = false })
	w.deliver()
	w.kernel.life(1, ifwatch.IPv4).rob(one)
	w.keeper.suspect(nil, w.now)
	w.wantHeard(t)
	w.kernel.down = false
	w.alter(1, func(i *ifwatch.Interface) { i.Up, i.Returns.Ups = true, i.Returns.Ups+1 })
	w.deliver()
	if got := w.heard(); !slices.Contains(got, "repaired a eth1 audit") {
		t.Errorf("heard %q", got)
	}
	if !w.hears(1, one) || !w.hears(1, two) || w.status(t, "a").Counters.Repairs != 1 {
		t.Errorf("%+v", w.status(t, "a"))
	}
}

func TestLostEventsLeadToAnAudit(t *testing.T) {
	w := joinedWorld(one)
	w.keeper.auditEvery = 0
	w.keeper.nextAudit = time.Time{}
	w.kernel.life(1, ifwatch.IPv4).rob(one)
	w.resync()
	w.wantHeard(t, "resynced kernel", "repaired a eth1 audit")
	if next := w.keeper.nextWake(); !next.IsZero() {
		t.Errorf("wakes at %s", next)
	}
}

func TestMulticastOffIsDegraded(t *testing.T) {
	w := joinedWorld(one)
	w.alter(1, func(i *ifwatch.Interface) { i.Multicast = false })
	w.deliver()
	if s := w.status(t, "a"); s.State != StateDegraded {
		t.Errorf("%+v", s)
	}
	w.alter(1, func(i *ifwatch.Interface) { i.Multicast = true })
	w.deliver()
	if s := w.status(t, "a"); s.State != StateJoined {
		t.Errorf("%+v", s)
	}
}

func TestOldQuerierIsTold(t *testing.T) {
	w := joinedWorld(one)
	w.kernel.queriers = map[int]string{1: "V2"}
	w.later(time.Minute)
	if s := w.status(t, "a"); s.State != StateJoined || s.Reason != "eth1 (instance 1) matches name=eth1; IGMPv2 is spoken: reports name no source, and the network may send every one" {
		t.Errorf("%+v", s)
	}
	w.kernel.queriers = nil
	w.later(time.Minute)
	if s := w.status(t, "a"); s.Reason != "eth1 (instance 1) matches name=eth1" {
		t.Errorf("%+v", s)
	}
}

// The group has as many users as before: another process came. What counts is
// the source.
func TestAuditIsNotFooledByAnotherMember(t *testing.T) {
	other := Channel{netip.MustParseAddr("10.1.0.9"), one.Group}
	for name, channels := range map[string][]Channel{
		"all of the socket's sources": {one},
		"one of the socket's sources": {one, {netip.MustParseAddr("10.1.0.7"), one.Group}},
	} {
		t.Run(name, func(t *testing.T) {
			w := joinedWorld(channels...)
			life := w.kernel.life(1, ifwatch.IPv4)
			life.foreignJoin(other)
			life.rob(one)
			w.later(time.Minute)
			w.wantHeard(t, "repaired a eth1 audit")
			if err := w.robbed(); err != nil {
				t.Error(err)
			}
			for _, c := range append(channels, other) {
				if !w.hears(1, c) {
					t.Errorf("%s is not heard", c)
				}
			}
			if repairs := w.status(t, "a").Counters.Repairs; repairs != 1 {
				t.Errorf("%d repairs", repairs)
			}
			w.later(time.Hour)
			w.wantHeard(t)
		})
	}
}

// What the kernel holds is not touched, though a user was taken who may be ours.
func TestAuditLeavesWhatIsHeld(t *testing.T) {
	w := joinedWorld(one)
	life := w.kernel.life(1, ifwatch.IPv4)
	life.foreignJoin(one)
	life.rob(one)
	w.later(time.Minute)
	w.wantHeard(t)
	if did := w.kernelDid(); did != "0 joins, 0 leaves" {
		t.Errorf("made %s", did)
	}
}

// Where the filters are not listed, the users of the groups have to do.
func TestAuditWithoutFilters(t *testing.T) {
	w := joinedWorld(one, two)
	w.kernel.blind = true
	w.later(time.Minute)
	w.wantHeard(t)
	w.kernel.life(1, ifwatch.IPv4).rob(one)
	w.later(time.Minute)
	w.wantHeard(t, "repaired a eth1 audit")
	if !w.hears(1, one) {
		t.Error("not repaired")
	}
}

// An interface on its way out is listed no more while its life goes on yet. To
// repair would be to join on whoever gets its index.
func TestNothingIsRepairedOnAnInterfaceThatLeaves(t *testing.T) {
	for _, blind := range []bool{false, true} {
		w := joinedWorld(one)
		w.kernel.leaving, w.kernel.blind = true, blind
		w.later(time.Minute)
		w.wantHeard(t)
		if did := w.kernelDid(); did != "0 joins, 0 leaves" {
			t.Errorf("made %s", did)
		}
	}
}

// Another time between audits counts from now on; what was due stays due.
func TestSetAudit(t *testing.T) {
	w := joinedWorld(one)
	rob := func() { w.kernel.life(1, ifwatch.IPv4).rob(one) }
	w.later(30 * time.Second)
	w.keeper.setAudit(10*time.Second, w.now)
	rob()
	w.later(9 * time.Second)
	w.wantHeard(t)
	w.later(time.Second)
	w.wantHeard(t, "repaired a eth1 audit")

	w.keeper.setAudit(time.Hour, w.now) // one is due in 10 s
	rob()
	w.later(10 * time.Second)
	w.wantHeard(t, "repaired a eth1 audit")
	rob()
	w.later(59 * time.Minute)
	w.wantHeard(t)
	w.later(time.Minute)
	w.wantHeard(t, "repaired a eth1 audit")

	w.keeper.setAudit(0, w.now)
	w.later(time.Hour)
	rob()
	w.later(24 * time.Hour)
	w.wantHeard(t)
	w.keeper.setAudit(time.Second, w.now)
	w.later(time.Second)
	w.wantHeard(t, "repaired a eth1 audit")
}

// Audits that take long come less often: the owner has other things to do.
func TestStorySlowAudit(t *testing.T) {
	s := newStory(t)
	s.keeper.auditEvery = 30 * time.Second
	s.create(1, mac1)
	s.deliver()
	s.put(feed("a", "eth1", one))
	s.wantWake(30 * time.Second)
	slow := 3 * time.Second
	s.keeper.aside = func(now time.Time, read func(), then func(time.Time)) {
		read()
		then(now.Add(slow))
	}
	s.later(30 * time.Second)
	s.wantWake(time.Minute)
	s.kernel.life(1, one.Family()).rob(one)
	s.keeper.suspect(nil, s.now.Add(time.Second)) // a hint waits too
	s.wantWake(time.Minute)
	slow = time.Second / 2
	s.later(time.Minute)
	s.wantEvents("attached a eth1 request", "state a eth1 joined request", "repaired a eth1 audit")
	s.wantWake(30 * time.Second)
}

// What the kernel lost, and refuses to have back, is not left where that would take
// another process's membership, however the socket that believes in it goes.
func TestLostIsLeftAtNobodysCost(t *testing.T) {
	ends := map[string]func(*world){
		"shutdown": func(w *world) { w.keeper.shutdown(w.now) },
		"deleted":  func(w *world) { w.keeper.delete("a", w.now) },
		"fewer":    func(w *world) { w.put(feed("a", "eth1", two)) },
		"drained":  func(w *world) { _, _ = w.keeper.drain("eth1", w.now) },
	}
	for name, end := range ends {
		for _, refused := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, refused: %t", name, refused), func(t *testing.T) {
				w := joinedWorld(one)
				w.put(feed("a", "eth1", one, two))
				life := w.kernel.life(1, ifwatch.IPv4)
				life.rob(one)
				w.kernel.refuse = unix.ENOMEM
				w.later(time.Minute)
				if s := w.status(t, "a"); s.Joined != 1 {
					t.Fatalf("%+v", s)
				}
				life.foreignJoin(one)
				if !refused {
					w.kernel.refuse = nil
				}
				end(w)
				if err := w.robbed(); err != nil {
					t.Error(err)
				}
				if name != "fewer" && w.hears(1, two) {
					t.Error("what was not lost is not left")
				}
				w.kernel.end(1)
				w.keeper.parking.vacateAll()
				w.kernel.left.vacate()
				if open := len(w.kernel.open_); name != "fewer" && open > 0 {
					t.Errorf("%d sockets are open after the end of the interface", open)
				}
			})
		}
	}
}

// Nor is one source of several that are lost.
func TestLostSourcesAreLeftAtNobodysCost(t *testing.T) {
	beside := Channel{one.Source.Next(), one.Group}
	for name, keep := range map[string][]Channel{"one of them": {one, two}, "both": {two}} {
		t.Run(name, func(t *testing.T) {
			w := joinedWorld(one, beside, two)
			life := w.kernel.life(1, ifwatch.IPv4)
			delete(life.groups, one.Group)
			w.kernel.refuse = unix.ENOMEM
			w.later(time.Minute)
			life.foreignJoin(one)
			life.foreignJoin(beside)
			w.put(feed("a", "eth1", keep...))
			if err := w.robbed(); err != nil {
				t.Error(err)
			}
			w.keeper.shutdown(w.now)
			if err := w.robbed(); err != nil {
				t.Errorf("at the end: %v", err)
			}
		})
	}
}
