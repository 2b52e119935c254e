package membership

import (
	"slices"
	"sync"
	"time"
)

// Leftovers tells which datagrams in a socket's receive queue came by an
// attachment of a membership that has ended: through an interface that is gone
// by now, perhaps from another network than the one that took its place.
//
// A datagram is told by the index of the interface that it came through
// (IP_PKTINFO, IPV6_RECVPKTINFO), and, as an index may have another owner, by the
// time at which it came (SO_TIMESTAMPNS). All methods are safe for concurrent use.
type Leftovers struct {
	name   string
	events *Subscription

	mu   sync.Mutex
	ends []attachmentEnd // an index once, what ended last in the end
}

// attachmentEnd is when a membership was attached at an index last.
type attachmentEnd struct {
	index int
	last  time.Time
	again bool // it is attached there now
}

// mostEnds bounds how many indexes are remembered. What a socket queues is of
// the last few.
const mostEnds = 32

// Leftovers follows the membership of a name, which need not be there yet, from
// now on. Close ends it.
func (m *Manager) Leftovers(name string) *Leftovers {
	return &Leftovers{name: name, events: m.Subscribe()}
}

// Include reports whether a datagram that came through the interface of an index
// is left over, as far as EventDetached was told: what is read before that is not.
// received is the kernel's time. Where it is zero the index alone tells: then all
// is left over that came by an index of which the membership is not attached now,
// and was.
func (l *Leftovers) Include(index int, received time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.follow()
	at := l.find(index)
	switch {
	case at < 0:
		return false
	case received.IsZero():
		return !l.ends[at].again
	}
	return !sinceStart(received, time.Now()).After(l.ends[at].last)
}

// sinceStart gives a time that has only the clock's the reading of the clock that
// nobody sets: one that was set since must not make everything older than it is.
func sinceStart(t, now time.Time) time.Time { return now.Add(t.Sub(now.Round(0))) }

// Close ends the following. What is known stays known.
func (l *Leftovers) Close() { l.events.Close() }

// follow takes the events that there are.
func (l *Leftovers) follow() {
	select {
	case <-l.events.wake:
	default:
		return
	}
	for {
		e, found, _ := l.events.pop()
		if !found {
			return
		}
		if e.Membership != l.name {
			continue
		}
		switch e.Type {
		case EventDetached:
			l.ended(e)
		case EventAttached, EventReattached:
			if at := l.find(e.Index); at >= 0 {
				l.ends[at].again = true
			}
		}
	}
}

func (l *Leftovers) ended(e Event) {
	if at := l.find(e.Index); at >= 0 {
		l.ends = slices.Delete(l.ends, at, at+1)
	}
	l.ends = append(l.ends, attachmentEnd{index: e.Index, last: e.Time})
	if len(l.ends) > mostEnds {
		l.ends = slices.Delete(l.ends, 0, 1)
	}
}

func (l *Leftovers) find(index int) int {
	return slices.IndexFunc(l.ends, func(e attachmentEnd) bool { return e.index == index })
}
