package demo

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestLedger(t *testing.T) {
	t.Parallel()
	var l ledger
	at := func(sent, plainCount, heldCount, last uint64) reading {
		return reading{plain: {sent, plainCount, 0}, held: {sent, heldCount, last}}
	}
	check := func(now reading, want [2]tally) {
		t.Helper()
		if diff := cmp.Diff(want, l.totals(now), cmp.AllowUnexported(tally{})); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	check(at(5, 5, 5, 5), [2]tally{})
	l.begin(at(0, 0, 0, 0))
	check(at(10, 10, 10, 10), [2]tally{{10, 10}, {10, 10}})
	// Two more arrived after what was sent was read.
	l.end(at(100, 90, 101, 102))
	check(at(100, 90, 101, 102), [2]tally{{100, 90}, {100, 99}})
	// No acceptable eth0: nothing counts.
	check(at(200, 90, 101, 102), [2]tally{{100, 90}, {100, 99}})
	l.end(at(200, 90, 101, 102))
	check(at(200, 90, 101, 102), [2]tally{{100, 90}, {100, 99}})
	l.begin(at(200, 90, 101, 102))
	check(at(300, 90, 200, 300), [2]tally{{200, 90}, {200, 198}})
	if lost := l.totals(at(300, 90, 200, 300))[plain].lost(); lost != 110 {
		t.Errorf("%d lost, want 110", lost)
	}
}

func TestAxis(t *testing.T) {
	t.Parallel()
	a := axis{view{planned: 10 * second, elapsed: 4500 * time.Millisecond, samples: []sample{
		{at: second, sent: 100}, {at: 2 * second, sent: 300}, {at: 4 * second, sent: 300},
	}}, 10}
	for _, c := range []struct {
		at   time.Duration
		want float64
	}{
		{0, 0}, {second, 100}, {1500 * time.Millisecond, 200}, {2 * second, 300}, {3 * second, 300}, {9 * second, 300},
	} {
		if got := a.at(c.at, sentOf); got != c.want {
			t.Errorf("at %s: %v, want %v", c.at, got, c.want)
		}
	}
	if from, to := a.column(4); from != 4*second || to != a.view.elapsed {
		t.Errorf("column 4 is %s to %s", from, to)
	}
	if from, to := a.column(7); to > from {
		t.Errorf("column 7 is %s to %s, and to come", from, to)
	}
	if got := (axis{view{}, 10}).at(0, sentOf); got != 0 {
		t.Errorf("without samples: %v", got)
	}
}

func TestWrap(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text    string
		columns int
		want    []string
	}{
		{"", 10, []string{""}},
		{"one two three", 7, []string{"one two", "three"}},
		{"one two three", 6, []string{"one", "two", "three"}},
		{"unbreakable word", 4, []string{"unbreakable", "word"}},
		{"a b", -3, []string{"a", "b"}},
		{"ééé ééé", 7, []string{"ééé ééé"}},
	} {
		if diff := cmp.Diff(c.want, wrap(c.text, c.columns)); diff != "" {
			t.Errorf("wrap %q to %d (-want +got):\n%s", c.text, c.columns, diff)
		}
	}
}

func TestThousands(t *testing.T) {
	t.Parallel()
	for n, want := range map[uint64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", 1000000: "1,000,000"} {
		if got := thousands(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

func TestPainter(t *testing.T) {
	t.Parallel()
	l := line{{"a ", bold}, {"  ", red}, {"b", ""}, {" ", ""}}
	if got, want := painter(true)(l), "\x1b[1ma \x1b[0m  b"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := painter(false)(l), "a   b"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestScenario holds what the rest relies on: eth0 exists and is cut in turn,
// every re-creation has a name, and one of them is refused.
func TestScenario(t *testing.T) {
	t.Parallel()
	exists, refused := true, 0
	for _, s := range scenario() {
		switch {
		case s.cut && s.make != nil:
			t.Errorf("%s: cuts and makes", s.text)
		case s.cut && !exists, s.make != nil && exists:
			t.Errorf("%s: eth0 exists: %v", s.text, exists)
		case s.make != nil && s.name == "":
			t.Errorf("%s: has no name", s.text)
		case s.make != nil && s.make.refused:
			refused++
		}
		exists = exists && !s.cut || s.make != nil
		if len(wrap(s.text, 41)) > 2 {
			t.Errorf("%s: too long for two lines", s.text)
		}
	}
	if refused != 1 || !exists {
		t.Errorf("%d are refused, want 1; exists at the end: %v", refused, exists)
	}
	if d := duration(scenario(), 1); d < 10*second || d > 17*second {
		t.Errorf("takes %s", d)
	}
}
