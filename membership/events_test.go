package membership

import (
	"context"
	"errors"
	"io"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func publish(h *hub, n int) {
	for i := range n {
		h.publish(Event{Type: EventState, Reason: strconv.Itoa(i)})
	}
}

func TestSubscriptionInOrderUntilTheEnd(t *testing.T) {
	h := newHub()
	publish(h, 1) // before anybody listens
	a, b := h.subscribe(), h.subscribe()
	publish(h, 3)
	h.end()
	publish(h, 1) // to nobody
	for _, s := range []*Subscription{a, b} {
		for n := range 3 {
			if e, err := s.Next(t.Context()); err != nil || e.Reason != strconv.Itoa(n) {
				t.Errorf("event %d: %+v, %v", n, e, err)
			}
		}
		for range 2 {
			if e, err := s.Next(t.Context()); err != io.EOF {
				t.Errorf("after the end: %+v, %v", e, err)
			}
		}
	}
}

// A slow reader loses the oldest events and learns how many.
func TestSubscriptionSlowReader(t *testing.T) {
	h := newHub()
	s := h.subscribe()
	publish(h, ringEvents+1)
	e, err := s.Next(t.Context())
	if err != nil || e.Type != EventMissed || e.Missed != blockEvents || e.Seq != 0 || e.Reason != "the reader was too slow" {
		t.Fatalf("%+v, %v", e, err)
	}
	if e, _ := s.Next(t.Context()); e.Reason != strconv.Itoa(blockEvents) || e.Seq != blockEvents+1 {
		t.Errorf("then %+v", e)
	}
	publish(h, ringEvents)
	h.end()
	missed, events := uint64(blockEvents), uint64(1)
	for {
		e, err := s.Next(t.Context())
		if err == io.EOF {
			break
		}
		missed += e.Missed
		if e.Type != EventMissed {
			events++
		}
	}
	if total := uint64(2*ringEvents + 1); missed+events != total {
		t.Errorf("%d read and %d missed, want %d together", events, missed, total)
	}
}

// What is large is kept in less number, and what readers have not read is
// not kept for them.
func TestPastIsBoundedByMemory(t *testing.T) {
	word := func(n, length int) string { return strings.Repeat(strconv.Itoa(n%10), length) }
	for name, test := range map[string]struct {
		count int
		event func(n int) Event
	}{
		"long reasons": {2000, func(n int) Event { return Event{Type: EventState, Reason: word(n, 100<<10)} }},
		"reasons":      {100_000, func(n int) Event { return Event{Type: EventState, Reason: word(n, 300)} }},
		"many types":   {200_000, func(n int) Event { return Event{Type: EventType(strconv.Itoa(n) + word(n, 100))} }},
		"many sites":   {200_000, func(n int) Event { return Event{Type: EventState, Index: n, Interface: word(n, 100)} }},
	} {
		h := newHub()
		slow := h.subscribe()
		before := heap()
		for n := range test.count {
			h.publish(test.event(n))
		}
		if grown := heap() - before; grown < ringBytes*3/4 || grown > ringBytes*5/4 {
			t.Errorf("%s: %d bytes are kept, want about %d", name, grown, ringBytes)
		}
		if e, err := slow.Next(t.Context()); err != nil || e.Missed != uint64(test.count-h.ring.events) || h.ring.events < 100 {
			t.Errorf("%s: of %d are kept: %+v, %v", name, h.ring.events, e, err)
		}
	}
}

// An event that is kept is read as it was published, with all that it has.
func TestPastIsWhole(t *testing.T) {
	h := newHub()
	s := h.subscribe()
	e := Event{
		Time: time.Now(), Type: EventState, Membership: "feed", Interface: "eth0", Instance: 7, Netns: "tv", State: StateHeld, Cause: CauseAppeared,
		Reason: "so", Was: StateJoined, Index: 3, Err: io.ErrNoProgress,
	}
	for v, n := reflect.ValueOf(e), 0; n < v.NumField(); n++ {
		if name := v.Type().Field(n).Name; v.Field(n).IsZero() != (name == "Seq" || name == "Missed") {
			t.Errorf("%s is to be looked at too", name)
		}
	}
	other := e
	other.Index, other.Was = 4, StateWaiting
	for seq, want := range []Event{e, other, {}, e} {
		h.publish(want)
		want.Seq = uint64(seq) + 1
		if got, err := s.Next(t.Context()); err != nil || got != want {
			t.Errorf("%+v, %v, want %+v", got, err, want)
		}
	}
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// read returns the numbers of the events that a subscription has, and what it
// missed.
func read(t *testing.T, s *Subscription) (seqs []uint64, missed uint64) {
	t.Helper()
	s.Finish()
	for {
		e, err := s.Next(t.Context())
		if err == io.EOF {
			return seqs, missed
		}
		if err != nil {
			t.Fatal(err)
		}
		if missed += e.Missed; e.Missed == 0 {
			seqs = append(seqs, e.Seq)
		}
	}
}

func at(seconds int64) time.Time { return time.Unix(seconds, 0) }

func TestSubscribeSince(t *testing.T) {
	h := newHub()
	for _, second := range []int64{10, 20, 15, 30} { // the clock was set back once
		h.publish(Event{Time: at(second)})
	}
	for name, test := range map[string]struct {
		since Since
		want  []uint64
	}{
		"all":         {Since{}, []uint64{1, 2, 3, 4}},
		"number":      {Since{Seq: 2}, []uint64{3, 4}},
		"last":        {Since{Seq: 4}, nil},
		"long ago":    {Since{Time: at(1)}, []uint64{1, 2, 3, 4}},
		"moment":      {Since{Time: at(20)}, []uint64{2, 3, 4}},
		"between":     {Since{Time: at(21), Seq: 1}, []uint64{4}},
		"from now on": {Since{Time: at(31)}, nil},
	} {
		s, err := h.subscribeSince(test.since)
		if err != nil {
			t.Fatal(err)
		}
		if got, missed := read(t, s); !slices.Equal(got, test.want) || missed != 0 {
			t.Errorf("%s: %v and %d missed, want %v", name, got, missed, test.want)
		}
		s.Close()
	}
	if _, err := h.subscribeSince(Since{Seq: 5}); !errors.Is(err, ErrNoEvent) {
		t.Errorf("of an event to come: %v, want ErrNoEvent", err)
	}
	if n := len(h.subscriptions); n != 0 {
		t.Errorf("%d subscriptions are left", n)
	}
	s, err := h.subscribeSince(Since{Seq: 3})
	if err != nil {
		t.Fatal(err)
	}
	h.publish(Event{})
	h.end()
	if got, _ := read(t, s); !slices.Equal(got, []uint64{4, 5}) {
		t.Errorf("with what follows: %v", got)
	}
	late, err := h.subscribeSince(Since{})
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := read(t, late); len(got) != 5 {
		t.Errorf("after the end: %v", got)
	}
}

// Whoever asks for more than is kept is told.
func TestSubscribeSinceIsToldWhatIsGone(t *testing.T) {
	h := newHub()
	const total = ringEvents + 1
	for n := range int64(total) {
		h.publish(Event{Time: at(n)})
	}
	const first = blockEvents + 1 // the oldest that is kept
	for name, test := range map[string]struct {
		since  Since
		missed uint64
	}{
		"all that are kept": {Since{}, 0},
		"number":            {Since{Seq: 6}, first - 7},
		"the last gone":     {Since{Seq: first - 1}, 0},
		"gone moment":       {Since{Time: at(blockEvents - 1)}, first - 1}, // at most
		"kept moment":       {Since{Time: at(blockEvents)}, 0},
	} {
		s, err := h.subscribeSince(test.since)
		if err != nil {
			t.Fatal(err)
		}
		got, missed := read(t, s)
		if missed != test.missed || len(got) != total-blockEvents || got[0] != first {
			t.Errorf("%s: %d missed, %d events from %d, want %d missed", name, missed, len(got), got[0], test.missed)
		}
	}
	s, err := h.subscribeSince(Since{Seq: 6})
	if err != nil {
		t.Fatal(err)
	}
	if e, _ := s.Next(t.Context()); e.Reason != "older events are no longer kept" || !e.Time.Equal(at(blockEvents)) {
		t.Errorf("%+v", e)
	}
}

// Finish ends also whoever waits.
func TestSubscriptionFinishWhileNextWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub()
		s := h.subscribe()
		var all sync.WaitGroup
		for range 2 {
			all.Go(func() {
				if e, err := s.Next(t.Context()); err != io.EOF {
					t.Errorf("%+v, %v", e, err)
				}
			})
		}
		synctest.Wait()
		s.Finish()
		all.Wait()
	})
}

func TestSubscriptionContext(t *testing.T) {
	s := newHub().subscribe()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Close ends everybody who waits, and may be called again.
func TestSubscriptionCloseWhileNextWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub()
		s := h.subscribe()
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				if e, err := s.Next(t.Context()); err != io.EOF {
					t.Errorf("%+v, %v", e, err)
				}
			})
		}
		synctest.Wait()
		s.Close()
		all.Wait()
		s.Close()
		publish(h, 1)
		h.end()
		if _, err := s.Next(t.Context()); err != io.EOF {
			t.Error(err)
		}
	})
}

// Several readers of one subscription share its events and all end.
func TestSubscriptionSeveralReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub()
		s := h.subscribe()
		var read atomic.Int64
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for {
					if _, err := s.Next(t.Context()); err != nil {
						return
					}
					read.Add(1)
				}
			})
		}
		synctest.Wait()
		publish(h, 1000)
		synctest.Wait()
		if n := read.Load(); n != 1000 {
			t.Errorf("%d events read", n)
		}
		h.end()
		all.Wait()
	})
}

// What a method did has its events up to the last one when it returns.
func TestLastEvent(t *testing.T) {
	m := New(Options{})
	if n := m.LastEvent(); n != 0 {
		t.Errorf("event %d before the first", n)
	}
	publish(m.hub, 3)
	s, err := m.SubscribeSince(Since{Seq: m.LastEvent()})
	if err != nil {
		t.Fatal(err)
	}
	publish(m.hub, 1)
	if e, err := s.Next(t.Context()); err != nil || e.Seq != 4 || e.Seq != m.LastEvent() {
		t.Errorf("event %d, %v, want that after the last, %d", e.Seq, err, m.LastEvent())
	}
}
