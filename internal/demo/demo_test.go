package demo

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// quick makes the whole story as short as measuring allows.
const quick = 0.1

// TestDemo plays the whole story, quickly, and holds what it is to show.
func TestDemo(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	o, err := perform(t.Context(), &out, Options{Scale: quick}, scenario())
	t.Log(out.String())
	ok(t, err)
	if !o.finished || len(o.recreations) != 7 || o.reattached() != 6 {
		t.Errorf("finished: %v, %d re-creations, %d taken, want 7 and 6", o.finished, len(o.recreations), o.reattached())
	}
	if p := o.tallies[plain]; p.received == 0 || p.lost() < p.sent/3 {
		t.Errorf("the plain receiver lost %d of %d and heard %d, want some heard and far more lost", p.lost(), p.sent, p.received)
	}
	if h := o.tallies[held]; h.sent == 0 || h.lost() > h.sent/5 {
		t.Errorf("the held receiver lost %d of %d", h.lost(), h.sent)
	}
	for _, r := range o.recreations {
		switch {
		case r.refused:
			if !strings.Contains(r.reason, "same subnet: wanted 10.1.0.0/24, found 10.9.0.0/24") {
				t.Errorf("%s was refused: %s", r.name, r.reason)
			}
		case r.join <= 0 || r.again > patience:
			t.Errorf("%s: again after %s, joined in %s", r.name, r.again, r.join)
		}
	}
	for _, want := range []string{"now         deleting eth0", "reattached  eth0", "refused     eth0", "eth0 was re-created 7 times", "ssmd run --join"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the output lacks %q", want)
		}
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Error("escape codes without a terminal")
	}
}

// TestSameIndex holds that the second re-creation gets the index back.
func TestSameIndex(t *testing.T) {
	t.Parallel()
	d := &recorder{}
	_, err := play(t.Context(), d, scenario()[:5], quick)
	ok(t, err)
	lives := d.last.lives
	if len(lives) != 3 || lives[1].index == lives[0].index || lives[2].index != lives[1].index {
		t.Errorf("lives: %+v, want three, the last two of one index", lives)
	}
}

// recorder is a display that keeps the last view, and may call something.
type recorder struct {
	last view
	then func()
}

func (r *recorder) open() error  { return nil }
func (r *recorder) close() error { return nil }

func (r *recorder) show(v view, _ int) error {
	r.last = v
	if r.then != nil {
		r.then()
	}
	return nil
}

// TestLive plays on a terminal and cuts the story short there.
func TestLive(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
	defer cancel()
	var out bytes.Buffer
	ok(t, Run(ctx, &out, Options{Size: func() (int, int) { return 80, 24 }, Color: true, Unicode: true}))
	text := out.String()
	hidden, shown := strings.Index(text, hideCursor), strings.LastIndex(text, showCursor)
	if hidden != 0 || shown < strings.LastIndex(text, "plain receiver") {
		t.Errorf("cursor hidden at %d, shown again at %d of %d", hidden, shown, len(text))
	}
	if !strings.HasSuffix(text, "nothing is left behind.\n") {
		t.Errorf("ends with %q", text[max(0, len(text)-100):])
	}
}

// TestEndedAtOnce holds that an end is none too early.
func TestEndedAtOnce(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ok(t, Run(ctx, &bytes.Buffer{}, Options{}))
}

// TestInterruptedAnywhere ends the story after each of its first views.
func TestInterruptedAnywhere(t *testing.T) {
	t.Parallel()
	for n := 1; n < 40; n += 3 {
		ctx, cancel := context.WithCancel(t.Context())
		left := n
		o, err := play(ctx, &recorder{then: func() {
			if left--; left == 0 {
				cancel()
			}
		}}, scenario(), 0.02)
		cancel()
		ok(t, err)
		if o.finished {
			t.Errorf("finished after %d views", n)
		}
	}
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	for n := range 12 {
		full := fullAfter(n)
		if err := Run(t.Context(), &full, Options{Scale: quick}); !errors.Is(err, errFull) {
			t.Errorf("after %d writes: %v", n, err)
		}
	}
}
