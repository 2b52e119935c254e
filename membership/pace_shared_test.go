package membership

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ssmd-project/ssmd/reattach"
)

// What a turn joins is joined for everybody who wants it, and they are told at
// once: nobody waits for a turn of their own.
func TestStoryPaceJoinedByAnother(t *testing.T) {
	s := paced(t, 10, 1)
	all := manyChannels(1, 40)
	s.put(feed("large", "eth1", all...))
	for n := range 5 {
		s.put(feed(fmt.Sprint("before", n), "eth1", all[20+n], all[30+n]))
	}
	for n := range 20 {
		s.put(feed(fmt.Sprint("same", n), "eth1", all[1]))
	}
	s.put(feed("two", "eth1", all[1], all[2]))
	s.heard()
	s.turn()
	if !s.hears(1, all[1]) {
		t.Fatal("it is not joined by now")
	}
	heard := s.heard()
	for n := range 20 {
		name := fmt.Sprint("same", n)
		s.wantState(name, StateJoined, "eth1 (instance 1) matches name=eth1")
		if n := strings.Count(strings.Join(heard, "\n")+"\n", "attached "+name+" eth1 request\n"); n != 1 {
			t.Errorf("%s was told to be attached %d times", name, n)
		}
	}
	s.wantInOrder()
	for s.status(t, "two").State != StateJoined {
		s.turn()
		s.wantInOrder()
	}
}

// Whoever wishes for less does not wait for what only others wish for now.
func TestStoryPaceWishedForLess(t *testing.T) {
	s := paced(t, 1, 1)
	all := manyChannels(1, 5)
	s.put(feed("first", "eth1", all[0], all[1]))
	s.put(feed("less", "eth1", all[2], all[3]))
	s.put(feed("other", "eth1", all[3], all[4]))
	s.put(feed("less", "eth1", all[2]))
	for !s.hears(1, all[2]) {
		s.turn()
		s.wantInOrder()
	}
	s.wantState("less", StateJoined, "eth1 (instance 1) matches name=eth1")
	s.wantState("other", StateSettling, s.status(t, "other").Reason)
	s.keeper.delete("less", s.now)
	for s.status(t, "other").State != StateJoined {
		s.turn()
		s.wantInOrder()
	}
}

// Whoever is joined and gets more to join is settling until the kernel holds that
// too, and keeps what it had.
func TestStoryPaceOfMore(t *testing.T) {
	all := manyChannels(1, 8)
	for cause, more := range map[string]func(*story){
		"appeared": func(s *story) { s.create(2, mac2); s.deliver() },
		"request": func(s *story) {
			s.put(with(feed("a", "eth[12]", all...), func(r *reattach.Rules) { r.Attach = reattach.AttachAll }))
		},
	} {
		s := paced(t, 10, 1)
		s.put(with(feed("a", "eth[12]", all[:4]...), func(r *reattach.Rules) { r.Attach = reattach.AttachAll }))
		for s.status(t, "a").State != StateJoined {
			s.turn()
		}
		s.later(time.Second)
		s.heard()
		s.kernelDid()
		more(s)
		s.wantEvents("state a eth1 settling " + cause)
		for n := 1; n < 4; n++ {
			if got := s.status(t, "a"); got.State != StateSettling || got.Joined < 4 || !strings.Contains(got.Reason, fmt.Sprintf("%d of %d channels joined", got.Attachments[len(got.Attachments)-1].Joined, got.Channels)) {
				t.Errorf("%s: %+v", cause, got)
			}
			for _, c := range all[:4] {
				if !s.hears(1, c) {
					t.Errorf("%s: %s is not joined meanwhile", cause, c)
				}
			}
			s.turn()
		}
		if got := s.status(t, "a"); got.State != StateJoined || got.Joined != got.Channels {
			t.Errorf("%s: %+v", cause, got)
		}
		if heard := s.heard(); !strings.HasPrefix(heard[len(heard)-1], "state a eth1 joined") {
			t.Errorf("%s: heard %q", cause, heard)
		}
		s.wantKernel("4 joins, 0 leaves")
		s.wantInOrder()
	}
}

// BenchmarkTurns measures a step at a pace with 10,000 memberships in line, each
// of which wants a channel of its own and one that another wants too.
func BenchmarkTurns(b *testing.B) {
	var w *world
	for b.Loop() {
		if w == nil || w.keeper.line.left < 5000 {
			b.StopTimer()
			w = tenThousand()
			b.StartTimer()
		}
		w.later(w.keeper.nextWake().Sub(w.now))
		w.events = nil
	}
}

// tenThousand is a world with 10,000 memberships that have begun to wait at a
// pace of 500 joins a second.
func tenThousand() *world {
	w := newWorld()
	w.kernel.maxGroups = 20
	w.keeper.setPace(newPace(500), w.now)
	w.create(1, mac1)
	w.deliver()
	all := manyChannels(1, 15000)
	var set []Membership
	for n := range 10000 {
		set = append(set, feed(fmt.Sprint("m", n), "eth1", all[n], all[10000+n/2]))
	}
	w.apply(set...)
	return w
}

// Who wants what another has been waiting for has its own turns, and what is
// joined for either is for both.
func TestStoryPaceShared(t *testing.T) {
	s := paced(t, 10, 1)
	all := manyChannels(1, 20)
	s.put(feed("large", "eth1", all...))
	s.put(feed("small", "eth1", all[18], all[19]))
	for range 4 {
		s.turn()
	}
	s.wantState("small", StateJoined, "eth1 (instance 1) matches name=eth1")
	for s.status(t, "large").State != StateJoined {
		s.turn()
	}
	s.wantKernel("20 joins, 0 leaves")
	s.wantInOrder()
}
