package membership

import (
	"context"
	"io"
	"sync"
)

// queueLength bounds what a slow reader keeps in memory.
const queueLength = 1 << 15

// hub hands every event to every subscription.
type hub struct {
	mu            sync.Mutex
	subscriptions map[*Subscription]struct{}
	ended         bool
}

func newHub() *hub { return &hub{subscriptions: make(map[*Subscription]struct{})} }

func (h *hub) subscribe() *Subscription {
	s := &Subscription{hub: h, wake: make(chan struct{}, 1)}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended {
		s.ended = true
		return s
	}
	h.subscriptions[s] = struct{}{}
	return s
}

func (h *hub) publish(e Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.subscriptions {
		s.push(e)
	}
}

// end lets every subscription end after its last event.
func (h *hub) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended = true
	for s := range h.subscriptions {
		s.end()
	}
	clear(h.subscriptions)
}

// Subscription is one reader's queue of events. A reader that is too slow
// loses the oldest ones and is told how many (EventMissed); it never slows the
// manager. Its methods are safe for concurrent use; each event goes to one call
// of Next.
type Subscription struct {
	hub  *hub
	wake chan struct{} // there is something in the queue, or the end

	mu     sync.Mutex
	queue  []Event
	missed uint64
	ended  bool
}

func (s *Subscription) push(e Event) {
	s.mu.Lock()
	if len(s.queue) == queueLength {
		dropped := queueLength / 2 // at once, so that dropping stays cheap
		s.missed += uint64(dropped)
		s.queue = append(s.queue[:0], s.queue[dropped:]...)
	}
	s.queue = append(s.queue, e)
	s.mu.Unlock()
	s.signal()
}

func (s *Subscription) end() {
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.signal()
}

func (s *Subscription) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Next returns the next event, waiting for it. It returns io.EOF after the
// manager's last event, and ctx's error when that ends first.
func (s *Subscription) Next(ctx context.Context) (Event, error) {
	for {
		e, found, ended := s.pop()
		switch {
		case found:
			return e, nil
		case ended:
			return Event{}, io.EOF
		}
		select {
		case <-s.wake:
		case <-ctx.Done():
			return Event{}, ctx.Err()
		}
	}
}

// pop takes the next event, and wakes the next reader where there is more.
func (s *Subscription) pop() (e Event, found, ended bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case len(s.queue) == 0:
	case s.missed > 0:
		e, found = Event{Time: s.queue[0].Time, Type: EventMissed, Missed: s.missed}, true
		s.missed = 0
	default:
		e, found = s.queue[0], true
		s.queue = s.queue[1:]
	}
	if len(s.queue) > 0 || s.ended {
		s.signal()
	}
	return e, found, s.ended
}

// Close ends the subscription and drops what was not read. Next returns io.EOF
// from then on.
func (s *Subscription) Close() {
	s.hub.mu.Lock()
	delete(s.hub.subscriptions, s)
	s.hub.mu.Unlock()
	s.mu.Lock()
	s.queue, s.missed, s.ended = nil, 0, true
	s.mu.Unlock()
	s.signal()
}
