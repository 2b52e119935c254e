package membership

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// ErrNoEvent is wrapped by errors that name an event which has not happened.
var ErrNoEvent = errors.New("no such event")

// Since is a point in the past of a manager's events. The zero value means all
// that are kept: the last 65,536, or 16 MiB of them where they are large.
type Since struct {
	// Seq is the number of an event: those after it are meant.
	Seq uint64

	// Time, unless it is zero, is a moment: the events from then on are
	// meant, and Seq counts for nothing.
	Time time.Time
}

// hub keeps the last events for every subscription: a reader costs no more than
// its place among them.
type hub struct {
	mu            sync.RWMutex // readers hold it for one event at a time
	ring          *ring
	subscriptions map[*Subscription]struct{}
	ended         bool
}

func newHub() *hub {
	return &hub{ring: newRing(), subscriptions: make(map[*Subscription]struct{})}
}

func (h *hub) subscribe() *Subscription {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.from(h.ring.next)
}

// from returns a subscription whose first event has a number. It is called
// with the lock held.
func (h *hub) from(seq uint64) *Subscription {
	s := &Subscription{hub: h, wake: make(chan struct{}, 1), next: seq, early: seq < h.ring.first()}
	if !h.ended {
		h.subscriptions[s] = struct{}{}
	}
	return s
}

// last returns the number of the last event, zero before the first.
func (h *hub) last() uint64 {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.ring.next - 1
}

func (h *hub) subscribeSince(since Since) (*Subscription, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.ring
	switch {
	case !since.Time.IsZero() && !r.gone.Before(since.Time):
		return h.from(1), nil // some of what was dropped was meant
	case !since.Time.IsZero():
		return h.from(r.since(since.Time)), nil
	case since.Seq >= r.next:
		return nil, fmt.Errorf("%w: %d has not happened, the last is %d; is it one of an earlier run?", ErrNoEvent, since.Seq, r.next-1)
	case since.Seq == 0:
		return h.from(r.first()), nil
	}
	return h.from(since.Seq + 1), nil
}

func (h *hub) publish(e Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended {
		return
	}
	h.ring.add(e)
	for s := range h.subscriptions {
		s.signal()
	}
}

// end lets every subscription end after the last event.
func (h *hub) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended = true
	for s := range h.subscriptions {
		s.signal()
	}
	clear(h.subscriptions)
}

// Subscription is one reader's place among the events. A reader that is too
// slow loses the oldest ones and is told how many (EventMissed); it never slows
// the manager. Its methods are safe for concurrent use; each event goes to one
// call of Next.
type Subscription struct {
	hub  *hub
	wake chan struct{} // there may be an event, or the end

	mu     sync.Mutex // taken before the hub's
	next   uint64     // number of the event to be read
	until  uint64     // number of the event at which it ends; zero: none
	early  bool       // it began with events that were dropped already
	closed bool
}

func (s *Subscription) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Next returns the next event, waiting for it. It returns io.EOF after the
// manager's last event, or the last before Finish, and ctx's error when that
// ends first.
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

// pop takes the next event, and wakes the next reader where there may be more.
func (s *Subscription) pop() (e Event, found, ended bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		s.signal()
		return Event{}, false, true
	}
	s.hub.mu.RLock()
	defer s.hub.mu.RUnlock()
	r, end := s.hub.ring, s.hub.ended
	last := r.next
	if s.until > 0 {
		last, end = min(last, s.until), end || r.next >= s.until
	}
	switch {
	case s.next >= last:
		if end {
			s.signal()
		}
		return Event{}, false, end
	case s.next < r.first():
		e = s.missed(r)
	default:
		e = r.at(s.next)
		s.next++
	}
	s.early = false
	s.signal()
	return e, true, false
}

// missed jumps over what was dropped.
func (s *Subscription) missed(r *ring) Event {
	first := r.first()
	e := Event{Time: r.at(first).Time, Type: EventMissed, Missed: first - s.next, Reason: "the reader was too slow"}
	if s.early {
		e.Reason = "older events are no longer kept"
	}
	s.next = first
	return e
}

// Finish lets the subscription end after the events so far.
func (s *Subscription) Finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hub.mu.RLock()
	s.until = s.hub.ring.next
	s.hub.mu.RUnlock()
	s.signal()
}

// Close ends the subscription. Next returns io.EOF from then on.
func (s *Subscription) Close() {
	s.hub.mu.Lock()
	delete(s.hub.subscriptions, s)
	s.hub.mu.Unlock()
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.signal()
}
