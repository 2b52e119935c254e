package membership

import (
	"slices"
	"time"
	"unsafe"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// The bounds of the past: at most so many events, and at most about so much
// memory. One or the other decides.
const (
	ringEvents = 1 << 16
	ringBytes  = 16 << 20
)

// A block is dropped whole, so that whoever is overtaken goes on with a run of
// events, and not with one event between two gaps. It has room for so many, and is
// full with so many bytes besides.
const (
	blockEvents = 256
	blockBytes  = 64 << 10
)

// mostKinds bounds the kinds that are shared: who publishes may make up any.
const mostKinds = 256

// ring keeps the last events in the order of their numbers, which have no gap.
type ring struct {
	blocks []*block // never empty ones
	next   uint64   // number of the event that comes next
	events int
	bytes  int
	gone   time.Time // the latest time of an event that was dropped

	kinds map[kind]*kind
	site  *site // of the last event
}

// block is a run of events.
type block struct {
	first  uint64 // its number
	count  int
	bytes  int
	latest time.Time // clocks may be set back, so not always that of the last
	room   [blockEvents]pastEvent
}

const blockRoom = int(unsafe.Sizeof(block{}))

func (b *block) events() []pastEvent { return b.room[:b.count] }

// pastEvent is an event in less than half of its room: it shares what many have
// in common.
type pastEvent struct {
	time               time.Time
	kind               *kind
	site               *site
	membership, reason string
	err                error
}

// kind is of an event what there are few of.
type kind struct {
	Type       EventType
	State, Was State
	Cause      Cause
}

// site is of an event what those next to it mostly have too.
type site struct {
	Interface, Netns string
	Instance         ifwatch.ID
	Index            int
}

// newRing returns an empty ring. The first event is number 1.
func newRing() *ring { return &ring{next: 1, kinds: make(map[kind]*kind)} }

// keep returns an event as it is kept, and about what that takes in memory besides
// its room: words may be shared.
func (r *ring) keep(e Event) (kept pastEvent, size int) {
	size = len(e.Membership) + len(e.Reason)
	k := kind{e.Type, e.State, e.Was, e.Cause}
	if r.kinds[k] == nil {
		if len(r.kinds) == mostKinds {
			clear(r.kinds) // those of events that are kept stay with them
		}
		r.kinds[k] = &k
		size += int(unsafe.Sizeof(k)) + len(k.Type) + len(k.State) + len(k.Was) + len(k.Cause)
	}
	if at := (site{e.Interface, e.Netns, e.Instance, e.Index}); r.site == nil || *r.site != at {
		r.site = &at
		size += int(unsafe.Sizeof(at)) + len(e.Interface) + len(e.Netns)
	}
	return pastEvent{e.Time, r.kinds[k], r.site, e.Membership, e.Reason, e.Err}, size
}

// event returns it as it was, with its number.
func (p pastEvent) event(seq uint64) Event {
	return Event{
		Seq: seq, Time: p.time, Membership: p.membership, Reason: p.reason, Err: p.err,
		Type: p.kind.Type, State: p.kind.State, Was: p.kind.Was, Cause: p.kind.Cause,
		Interface: p.site.Interface, Netns: p.site.Netns, Instance: p.site.Instance, Index: p.site.Index,
	}
}

// first returns the number of the oldest event, or of the next where there is
// none.
func (r *ring) first() uint64 { return r.next - uint64(r.events) }

// add gives an event its number and keeps it.
func (r *ring) add(e Event) {
	last := len(r.blocks) - 1
	if last < 0 || r.blocks[last].full() {
		r.blocks = append(r.blocks, &block{first: r.next, bytes: blockRoom})
		r.bytes += blockRoom
		last++
	}
	r.next++
	kept, size := r.keep(e)
	r.blocks[last].add(kept, size)
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
	r.events -= oldest.count
	r.bytes -= oldest.bytes
	if oldest.latest.After(r.gone) {
		r.gone = oldest.latest
	}
}

// at returns the event of a number between first and next.
func (r *ring) at(seq uint64) Event {
	i, _ := slices.BinarySearchFunc(r.blocks, seq, func(b *block, seq uint64) int {
		switch {
		case b.first+uint64(b.count) <= seq:
			return -1
		case b.first > seq:
			return 1
		}
		return 0
	})
	b := r.blocks[i]
	return b.room[seq-b.first].event(seq)
}

// since returns the number of the first event that is not older than t.
func (r *ring) since(t time.Time) uint64 {
	for _, b := range r.blocks {
		if b.latest.Before(t) {
			continue
		}
		for n, e := range b.events() {
			if !e.time.Before(t) {
				return b.first + uint64(n)
			}
		}
	}
	return r.next
}

func (b *block) full() bool { return b.count == blockEvents || b.bytes-blockRoom >= blockBytes }

func (b *block) add(e pastEvent, size int) {
	b.room[b.count] = e
	b.count++
	b.bytes += size
	if e.time.After(b.latest) {
		b.latest = e.time
	}
}
