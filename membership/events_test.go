package membership

import (
	"context"
	"errors"
	"io"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
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
	publish(h, queueLength+1)
	e, err := s.Next(t.Context())
	if err != nil || e.Type != EventMissed || e.Missed != queueLength/2 {
		t.Fatalf("%+v, %v", e, err)
	}
	if e, _ := s.Next(t.Context()); e.Reason != strconv.Itoa(queueLength/2) {
		t.Errorf("then %+v", e)
	}
	publish(h, queueLength)
	h.end()
	missed, events := uint64(queueLength/2), uint64(1)
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
	if total := uint64(2*queueLength + 1); missed+events != total {
		t.Errorf("%d read and %d missed, want %d together", events, missed, total)
	}
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
