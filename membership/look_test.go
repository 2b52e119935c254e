package membership

import (
	"slices"
	"testing"
	"time"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// slowly has the kernel's lists read when the test says so, and gone on with when
// it says so again.
type slowly struct {
	w    *world
	read func()
	then func(time.Time)

	looks int // so far
}

func lookSlowly(w *world) *slowly {
	s := &slowly{w: w}
	w.keeper.aside = func(_ time.Time, read func(), then func(time.Time)) {
		s.read, s.then = read, then
		s.looks++
	}
	return s
}

// underWay reports whether the lists are being read.
func (s *slowly) underWay() bool { return s.then != nil }

func (s *slowly) goOn() {
	then := s.then
	s.read, s.then = nil, nil
	then(s.w.now)
	s.w.keeper.flush(s.w.now)
}

// What is joined, left, or announced while the lists are read is not missed.
func TestWhatChangesDuringALookIsNotMissed(t *testing.T) {
	for name, change := range map[string]func(*world){
		"joined":    func(w *world) { w.put(feed("a", "eth1", one, two)) },
		"left":      func(w *world) { w.put(feed("a", "eth1", two)) },
		"announced": func(w *world) { w.keeper.reannounce(w.keeper.members["a"], w.now) },
		"gone":      func(w *world) { w.recreate(1, mac1); w.deliver() },
	} {
		for _, blind := range []bool{false, true} {
			w := joinedWorld(one)
			w.kernel.blind = blind
			s := lookSlowly(w)
			w.later(time.Minute)
			s.read()
			change(w)
			w.heard()
			if s.goOn(); s.underWay() {
				t.Errorf("%s, filters listed %v: looked for again", name, !blind)
			}
			if heard := w.heard(); len(heard) > 0 {
				t.Errorf("%s, filters listed %v: heard %q", name, !blind, heard)
			}
			if err := w.miscounted(); err != nil {
				t.Error(err)
			}
		}
	}
}

// What is lost before the lists are read is found, though others are joined
// meanwhile; and one look follows another, never two at once.
func TestSlowLookFindsALoss(t *testing.T) {
	w := joinedWorld(one)
	s := lookSlowly(w)
	w.kernel.life(1, ifwatch.IPv4).rob(one)
	w.later(time.Minute)
	s.read()
	w.put(feed("a", "eth1", one, two))
	w.later(time.Hour)
	w.keeper.suspect(nil, w.now)
	if s.looks != 1 {
		t.Fatalf("%d looks at once", s.looks)
	}
	w.heard()
	s.goOn()
	if !s.underWay() {
		t.Fatal("what seems to be missing is not looked for again")
	}
	s.read()
	s.goOn()
	if heard := w.heard(); !slices.Contains(heard, "repaired a eth1 audit") || !w.hears(1, one) || !w.hears(1, two) {
		t.Errorf("heard %q", heard)
	}
	if !s.underWay() {
		t.Error("a hint of meanwhile is forgotten")
	}
}

// An announcement waits for a look that was hinted at: to leave what is lost would
// take it from others.
func TestAnnouncementWaitsForTheLook(t *testing.T) {
	w := joinedWorld(one)
	s := lookSlowly(w)
	w.kernel.life(1, ifwatch.IPv4).rob(one)
	w.kernel.life(1, ifwatch.IPv4).foreignJoin(one)
	w.later(time.Second)
	w.keeper.suspect([]ifwatch.GroupKey{{Index: 1, Group: one.Group}}, w.now)
	w.keeper.reannounce(w.keeper.members["a"], w.now)
	if heard := w.heard(); len(heard) > 0 {
		t.Errorf("heard %q before the look", heard)
	}
	for s.underWay() {
		s.read()
		s.goOn()
	}
	if heard := w.heard(); !slices.Contains(heard, "reannounced a eth1 request") {
		t.Errorf("heard %q", heard)
	}
	if err := w.robbed(); err != nil {
		t.Error(err)
	}
}

// Only what is held is looked for.
func TestHintOfWhatIsNotHeld(t *testing.T) {
	w := joinedWorld(one)
	s := lookSlowly(w)
	w.later(time.Second)
	for _, g := range []ifwatch.GroupKey{{Index: 1, Group: two.Group}, {Index: 2, Group: one.Group}} {
		if w.keeper.suspect([]ifwatch.GroupKey{g}, w.now); s.underWay() {
			t.Fatalf("looked for %v", g)
		}
	}
	if w.keeper.suspect([]ifwatch.GroupKey{{Index: 2, Group: one.Group}, {Index: 1, Group: one.Group}}, w.now); !s.underWay() {
		t.Error("what is held is not looked for")
	}
}
