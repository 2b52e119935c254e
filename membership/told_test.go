package membership

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ssmd-project/ssmd/reattach"
)

// Whoever hears that a membership is detached finds that the kernel holds it
// no longer.
func TestDetachedIsToldAfterTheLeave(t *testing.T) {
	leaving := with(feed("a", "eth1", one, two), func(r *reattach.Rules) { r.OnChange = reattach.OnChangeLeave })
	for name, end := range map[string]func(*story){
		"delete":           func(s *story) { s.keeper.delete("a", s.now) },
		"apply":            func(s *story) { s.apply(feed("b", "eth2", six)) },
		"another selector": func(s *story) { s.put(feed("a", "eth2", one, two)) },
		"another socket":   func(s *story) { s.put(on(feed("a", "eth1", one, two), s.caller)) },
		"drain":            func(s *story) { _, _ = s.keeper.drain("eth1", s.now) },
		"no longer matches": func(s *story) {
			s.rename(1, "wan1")
			s.deliver()
		},
		"shutdown": func(s *story) { s.keeper.shutdown(s.now) },
	} {
		s := joined(t, leaving)
		told := false
		s.keeper.publish = func(e Event) {
			told = told || e.Type == EventDetached
			if e.Type == EventDetached && len(s.kernel.open_) > 0 {
				t.Errorf("%s: told while a socket holds the groups", name)
			}
		}
		end(s)
		if !told {
			t.Errorf("%s: not told", name)
		}
	}
}

// What is kept for the end of a step does not stay, and its order and times are
// those in which it happened.
func TestToldInOrder(t *testing.T) {
	s := newStory(t)
	s.create(1, mac1)
	s.deliver()
	var set []Membership
	for n := range 10_000 {
		set = append(set, feed(fmt.Sprintf("m%04d", n), "eth1", manyChannels(1, 1)...))
	}
	s.apply(set...)
	s.events = nil
	s.apply()
	if n := len(s.events); n != len(set)+1 || s.events[n-1].Type != EventReloaded {
		t.Fatalf("%d events, the last is %+v", n, s.events[n-1])
	}
	for n, e := range s.events[:len(set)] {
		if e.Type != EventDetached || e.Membership != set[n].Name || !e.Time.Equal(s.now) {
			t.Fatalf("event %d is %+v", n, e)
		}
	}
	if len(s.keeper.told) > 0 || cap(s.keeper.told) > mostToldAhead {
		t.Errorf("room for %d events is kept", cap(s.keeper.told))
	}
}

// A state is told with the one before, so that nobody has to remember it.
func TestStateIsToldWithTheOneBefore(t *testing.T) {
	s := newStory(t)
	var got []string
	s.keeper.publish = func(e Event) {
		if e.Type == EventState {
			got = append(got, fmt.Sprintf("%s, was %q", e.State, e.Was))
		}
	}
	s.apply(feed("a", "eth2", one))
	s.apply(feed("a", "eth1", one))
	s.create(1, mac1)
	s.deliver()
	s.remove(1)
	s.deliver()
	s.create(1, mac1)
	s.deliver()
	s.apply()
	s.apply(feed("a", "eth1", one))
	want := []string{`waiting, was ""`, `waiting, was "waiting"`, `joined, was "waiting"`, `detached, was "joined"`, `joined, was "detached"`, `joined, was ""`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
