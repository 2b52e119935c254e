package demo

import "time"

// which is one of the two receivers.
type which int

const (
	plain which = iota
	held
)

// counts are those of one channel at one moment.
type counts struct {
	sent     uint64 // the number of the last datagram sent
	received uint64
	last     uint64 // the number of the last one received
}

// reading is what both channels had come to at one moment. What was sent is
// read before what was received.
type reading [2]counts

// tally is what became of the datagrams that a receiver should have had.
type tally struct {
	sent, received uint64
}

func (t tally) lost() uint64 { return t.sent - min(t.sent, t.received) }

// ledger tallies datagrams over the times at which an acceptable eth0 is up.
type ledger struct {
	done [2]tally
	open bool
	base reading
}

// begin tells what the counts were when an acceptable eth0 was set up.
func (l *ledger) begin(r reading) { l.base, l.open = r, true }

// end tells what the counts were when eth0 was deleted. Where it was none that is
// acceptable, that changes nothing.
func (l *ledger) end(r reading) {
	l.done, l.open = l.totals(r), false
}

// totals returns the tallies as of a reading.
func (l *ledger) totals(r reading) [2]tally {
	all := l.done
	if !l.open {
		return all
	}
	for w := range all {
		now, base := r[w], l.base[w]
		// What was sent and received after the reading of sent.
		early := now.last - min(now.last, now.sent)
		all[w].sent += now.sent - base.sent
		all[w].received += now.received - base.received - min(early, now.received-base.received)
	}
	return all
}

// recreation is what came of one re-creation of eth0.
type recreation struct {
	name    string
	refused bool
	reason  string // of a refusal

	again time.Duration // from eth0 being set up to the first datagram
	join  time.Duration // by the manager's own account
}

// outcome is the whole measurement.
type outcome struct {
	tallies     [2]tally
	recreations []recreation
	finished    bool // the scenario was played to its end
}

// reattached returns how many re-creations the manager took.
func (o outcome) reattached() int {
	n := 0
	for _, r := range o.recreations {
		if !r.refused {
			n++
		}
	}
	return n
}
