package filewatch

import (
	"testing"
	"time"
)

func TestQuiet(t *testing.T) {
	start := time.Unix(1000, 0)
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	var q quiet
	if !q.over().IsZero() {
		t.Error("it is over before it began")
	}
	check := func(what string, ms int) {
		t.Helper()
		if got := q.over(); !got.Equal(at(ms)) {
			t.Errorf("%s: over at %s, want %d ms", what, got.Sub(start), ms)
		}
	}
	q.happens(at(0))
	check("one event", 250)
	q.happens(at(200))
	check("another", 450)
	q.writes("a", at(300))
	check("a is written", 2300)
	q.writes("b", at(400))
	check("so is b", 2400)
	q.settles("b", at(500))
	check("b is whole", 2300)
	q.happens(at(600))
	check("something else", 2300)
	q.settles("a", at(700))
	check("a is whole", 950)
	for ms := 800; ms < 12_000; ms += 100 {
		q.happens(at(ms))
	}
	check("it never ends", 10_000)
}
