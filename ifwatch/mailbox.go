package ifwatch

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// Change is what happened at one index since the consumer last asked: the
// instance that it knew is gone, there is one that it did not know or that is
// not as it was, or both.
type Change struct {
	Index int
	// Removed is the instance that the consumer knew there, as it was
	// before its removal began; nil where that still exists, or there was
	// none.
	Removed *Interface
	// Now is the instance that exists there; nil where there is none.
	Now *Interface
	// Read is when the last message of the index was read.
	Read time.Time
}

// Changes are all changes since the consumer last asked.
type Changes struct {
	// Changes are in the order in which each index first changed.
	Changes []Change
	// Resynced says that events were lost and everything compared with a
	// new dump. An index whose interface was removed and came back in
	// between shows no removal then: a dump cannot tell.
	Resynced bool
}

// mailbox merges what changed until the consumer asks. It holds at most an
// entry for each instance that exists or that the consumer knows.
type mailbox struct {
	known    map[int]ID // what the consumer was told
	pending  map[int]*pendingChange
	sequence uint64
	resynced bool
}

type pendingChange struct {
	Change
	sequence uint64
}

func newMailbox() *mailbox {
	return &mailbox{known: make(map[int]ID), pending: make(map[int]*pendingChange)}
}

func (b *mailbox) at(index int, read time.Time) *pendingChange {
	p := b.pending[index]
	if p == nil {
		b.sequence++
		p = &pendingChange{Change: Change{Index: index}, sequence: b.sequence}
		b.pending[index] = p
	}
	p.Read = read
	return p
}

func (b *mailbox) changed(now Interface, read time.Time) {
	p := b.at(now.Index, read)
	if p.Now == nil {
		p.Now = new(Interface)
	}
	*p.Now = now
}

// removed forgets an instance of which the consumer never heard.
func (b *mailbox) removed(healthy Interface, read time.Time) {
	p := b.at(healthy.Index, read)
	p.Now = nil
	if b.known[healthy.Index] == healthy.ID {
		delete(b.known, healthy.Index)
		p.Removed = &healthy
	}
	if p.Removed == nil {
		delete(b.pending, healthy.Index)
	}
}

func (b *mailbox) empty() bool { return len(b.pending) == 0 && !b.resynced }

// list returns what waits, in order.
func (b *mailbox) list() []Change {
	waiting := slices.SortedFunc(maps.Values(b.pending), func(x, y *pendingChange) int { return cmp.Compare(x.sequence, y.sequence) })
	changes := make([]Change, len(waiting))
	for i, p := range waiting {
		changes[i] = p.Change
	}
	return changes
}

func (b *mailbox) take() Changes {
	if b.empty() {
		return Changes{}
	}
	changes := Changes{Changes: b.list(), Resynced: b.resynced}
	for _, c := range changes.Changes {
		if c.Now != nil {
			b.known[c.Index] = c.Now.ID
		}
	}
	clear(b.pending)
	b.resynced = false
	return changes
}
