// Package mailbox holds events for a reader that may be slow.
package mailbox

import (
	"slices"
	"sync"
	"time"

	"github.com/ssmd-project/ssmd/membership"
)

// Most is how many events wait. A reader that is slower loses the oldest, and
// is told how many.
const Most = 256

// Mailbox holds events for one reader. Whoever puts something in never waits,
// and an empty one costs nothing. Its methods are safe for concurrent use.
type Mailbox struct {
	wake chan struct{} // there may be something

	mu     sync.Mutex
	events []membership.Event
	missed uint64
	after  uint64            // number of the last event that is not for the reader
	last   *membership.Event // nil while there may be more
	muted  bool              // nobody listens
}

// New returns an empty mailbox.
func New() *Mailbox { return &Mailbox{wake: make(chan struct{}, 1)} }

// Wake says that there may be something to take.
func (b *Mailbox) Wake() <-chan struct{} { return b.wake }

// Begin drops the events up to a number, also those that are still to come.
func (b *Mailbox) Begin(after uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.after = after
	b.events = slices.DeleteFunc(b.events, b.isEarly)
}

func (b *Mailbox) isEarly(e membership.Event) bool { return b.after > 0 && e.Seq <= b.after }

// Put puts an event in, unless the last one is known.
func (b *Mailbox) Put(e membership.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.muted || b.last != nil || b.isEarly(e) {
		return
	}
	if len(b.events) == Most {
		b.drop() // the array is copied once in a while, not each time
		b.missed++
	}
	b.events = append(b.events, e)
	b.signal()
}

// Miss notes that events were lost before they came here.
func (b *Mailbox) Miss(n uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.muted && b.last == nil {
		b.missed += n
		b.signal()
	}
}

// Finish has this be the last event, unless there is one already.
func (b *Mailbox) Finish(e membership.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.last == nil {
		b.last = &e
		b.signal()
	}
}

// Mute drops all but the last event, from now on too.
func (b *Mailbox) Mute() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.muted, b.events, b.missed = true, nil, 0
}

// Take returns the next event, if there is one, and whether it is the last.
func (b *Mailbox) Take() (e membership.Event, found, last bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.missed > 0:
		e = membership.Event{Time: time.Now(), Type: membership.EventMissed, Missed: b.missed, Reason: "the reader was too slow"}
		b.missed = 0
	case len(b.events) > 0:
		e = b.events[0]
		b.drop()
		if len(b.events) == 0 {
			b.events = nil // an idle reader has none
		}
	case b.last != nil:
		b.signal() // for whoever asks again
		return *b.last, true, true
	default:
		return e, false, false
	}
	b.signal()
	return e, true, false
}

// drop drops the oldest event, and what it refers to.
func (b *Mailbox) drop() {
	b.events[0] = membership.Event{}
	b.events = b.events[1:]
}

func (b *Mailbox) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}
