package membership

import (
	"slices"
	"time"
)

// The bounds of the past: at most so many events, and at most about so much
// memory. One or the other decides.
const (
	ringEvents = 1 << 16
	ringBytes  = 16 << 20
)

// A block is dropped whole, so that whoever is overtaken goes on with a run of
// events, and not with one event between two gaps.
const (
	blockEvents = 256
	blockBytes  = 64 << 10
)

// eventSize is what an event takes besides its words.
const eventSize = 200

// ring keeps the last events in the order of their numbers, which have no gap.
type ring struct {
	blocks []*block // never empty ones
	next   uint64   // number of the event that comes next
	events int
	bytes  int
	gone   time.Time // the latest time of an event that was dropped
}

// block is a run of events.
type block struct {
	events []Event
	bytes  int
	latest time.Time // clocks may be set back, so not always that of the last
}

// newRing returns an empty ring. The first event is number 1.
func newRing() *ring { return &ring{next: 1} }

// first returns the number of the oldest event, or of the next where there is
// none.
func (r *ring) first() uint64 { return r.next - uint64(r.events) }

// add gives an event its number and keeps it.
func (r *ring) add(e Event) {
	e.Seq = r.next
	r.next++
	last := len(r.blocks) - 1
	if last < 0 || r.blocks[last].full() {
		r.blocks = append(r.blocks, &block{events: make([]Event, 0, blockEvents)})
		last++
	}
	size := e.size()
	r.blocks[last].add(e, size)
	r.events++
	r.bytes += size
	for len(r.blocks) > 1 && (r.events > ringEvents || r.bytes > ringBytes) {
		r.drop()
	}
}

// drop drops the oldest block.
func (r *ring) drop() {
	oldest := r.blocks[0]
	r.blocks = slices.Delete(r.blocks, 0, 1)
	r.events -= len(oldest.events)
	r.bytes -= oldest.bytes
	if oldest.latest.After(r.gone) {
		r.gone = oldest.latest
	}
}

// at returns the event of a number between first and next.
func (r *ring) at(seq uint64) Event {
	i, _ := slices.BinarySearchFunc(r.blocks, seq, func(b *block, seq uint64) int {
		switch {
		case b.events[len(b.events)-1].Seq < seq:
			return -1
		case b.events[0].Seq > seq:
			return 1
		}
		return 0
	})
	b := r.blocks[i]
	return b.events[seq-b.events[0].Seq]
}

// since returns the number of the first event that is not older than t.
func (r *ring) since(t time.Time) uint64 {
	for _, b := range r.blocks {
		if b.latest.Before(t) {
			continue
		}
		for _, e := range b.events {
			if !e.Time.Before(t) {
				return e.Seq
			}
		}
	}
	return r.next
}

func (b *block) full() bool { return len(b.events) >= blockEvents || b.bytes >= blockBytes }

func (b *block) add(e Event, size int) {
	b.events = append(b.events, e)
	b.bytes += size
	if e.Time.After(b.latest) {
		b.latest = e.Time
	}
}

// size is about what an event keeps in memory: words may be shared.
func (e Event) size() int {
	return eventSize + len(e.Membership) + len(e.Interface) + len(e.Netns) + len(e.Reason)
}
