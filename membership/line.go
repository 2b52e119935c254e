package membership

import (
	"slices"
	"time"
)

// line is what waits in one keeper. A nil line is that of a keeper without a
// pace: nothing waits.
type line struct {
	pace    *pace
	batches []*batch // the next one first
	left    int      // channels in them that are to be joined
	moved   bool     // somebody had a turn, or wishes for less, and it is to be looked at who waits for nothing now

	booked  int       // joins that may be made once they are ready, zero for none
	ready   time.Time // when these are
	granted int       // joins that may be made now
	due     time.Time // when the next may be, zero where that is not for the time to say
	asOf    time.Time // when some were made last
}

func (p *pace) newLine() *line {
	if p == nil {
		return nil
	}
	return &line{pace: p}
}

// batch is what was wished for in a pool at once.
type batch struct {
	owner    *attachment // nil for what was refused, by whomever wished for
	wish     *wish       // of the owner, when it was looked at last
	instance *instance
	pool     *pool
	entries  []*entry // not looked at yet
	size     int      // of these, in the beginning
	quarters int      // as told last
	toldAt   time.Time
}

// wish adds a wish for channels of an attachment to a pool. They are joined by
// the next flush, or stand in line.
func (l *line) wish(a *attachment, p *pool, channels []Channel, now time.Time) {
	if l == nil {
		p.wish(channels)
		return
	}
	before := len(p.added)
	p.wish(channels)
	p.added = p.added[:before]
	l.lineUp(a, p, channels, now)
}

// lineUp has the channels stand in line that are neither joined nor refused,
// also where somebody else's wish for them does already: both get their turns.
func (l *line) lineUp(a *attachment, p *pool, channels []Channel, now time.Time) {
	putOff := make(map[*entry]bool, len(p.added)) // let pass already
	for _, e := range p.added {
		putOff[e] = true
	}
	entries := make([]*entry, 0, len(channels))
	for _, c := range channels {
		if e := p.entries.get(c); e.order == 0 && e.err == nil && !putOff[e] {
			entries = append(entries, e)
		}
	}
	if len(entries) == 0 {
		return
	}
	l.add(&batch{owner: a, wish: a.member.wish, instance: a.instance, pool: p, entries: entries, size: len(entries), toldAt: now})
}

// unwished says that a member wishes for less than before.
func (l *line) unwished() {
	if l != nil {
		l.moved = true
	}
}

func (l *line) add(b *batch) {
	l.enter(b)
	l.batches = append(l.batches, b)
}

// addFirst adds a batch whose turn is next.
func (l *line) addFirst(b *batch) {
	l.enter(b)
	l.batches = slices.Insert(l.batches, 0, b)
}

func (l *line) enter(b *batch) {
	for _, e := range b.entries {
		if e.inLine {
			continue
		}
		e.inLine = true
		l.count(1)
		if e.err != nil {
			b.pool.again++
		}
	}
}

func (l *line) exit(p *pool, e *entry) {
	e.inLine = false
	l.count(-1)
	if e.err != nil {
		p.again--
	}
}

func (l *line) count(n int) {
	l.left += n
	l.pace.waiting.Add(int64(n))
}

// next returns the next entry to be joined, nil where none is left.
func (l *line) next(b *batch) *entry {
	l.skip(b)
	if len(b.entries) == 0 {
		return nil
	}
	e := b.entries[0]
	b.entries = b.entries[1:]
	l.exit(b.pool, e)
	return e
}

// skip passes over what need not wait for a turn of this batch, up to what does.
func (l *line) skip(b *batch) {
	for len(b.entries) > 0 && (!b.entries[0].inLine || b.entries[0].wishes == 0) {
		l.forget(b, b.entries[0])
		b.entries = b.entries[1:]
	}
}

// forget takes out of the line what nobody wishes for any more.
func (l *line) forget(b *batch, e *entry) {
	if !e.inLine || e.wishes > 0 {
		return // somebody else's turn was earlier, or is yet to come
	}
	l.exit(b.pool, e)
	if b.pool.entries.get(e.channel) == e {
		b.pool.added = append(b.pool.added, e) // flush forgets it, and no turn is taken
	}
}

// prune takes out of a batch what its owner does not wish for any more. Whoever
// else does has it in a batch of their own.
func (l *line) prune(b *batch) {
	gone := make(map[Channel]struct{})
	for _, c := range without(b.wish.channelsOf(b.pool.family), b.owner.member.wish.channelsOf(b.pool.family)) {
		gone[c] = struct{}{}
	}
	b.wish = b.owner.member.wish
	if len(gone) == 0 {
		return
	}
	b.entries = slices.DeleteFunc(b.entries, func(e *entry) bool {
		_, is := gone[e.channel]
		if is {
			l.forget(b, e)
		}
		return is
	})
}

// drop forgets a batch whose pool is gone.
func (l *line) drop(b *batch) {
	for l.next(b) != nil {
	}
}

// clear forgets everything.
func (l *line) clear() {
	if l == nil {
		return
	}
	for _, b := range l.batches {
		l.drop(b)
	}
	l.batches = nil
	l.giveBack()
}

// giveBack leaves to others what was booked or granted and is not used.
func (l *line) giveBack() {
	l.pace.giveBack(l.booked + l.granted)
	l.booked, l.granted, l.due = 0, 0, time.Time{}
}

// grant reports whether a join may be made now, and otherwise notes when. One
// portion is booked ahead at most, so that the keepers of a manager take turns.
func (l *line) grant(now time.Time) bool {
	switch {
	case l.left == 0:
		return false
	case l.granted > 0:
		return true
	case l.booked == 0:
		l.booked = min(l.left, l.pace.portion)
		l.ready = l.pace.book(l.booked, now)
	}
	if now.Before(l.ready) {
		l.due = l.ready
		return false
	}
	l.booked, l.granted = 0, l.booked
	return true
}

// takeBack has what was to be joined, and was not tried since another refusal
// concerned it too, be the next in line. Its turns are for others to use.
func (l *line) takeBack(i *instance, p *pool, untried []*entry, now time.Time) {
	if len(untried) == 0 {
		return
	}
	l.pace.giveBack(len(untried))
	l.addFirst(&batch{instance: i, pool: p, entries: untried, size: len(untried), toldAt: now})
}

// resume has the line go on with the next portion, where a pool that refused
// everything takes joins again.
func (l *line) resume(now time.Time) {
	if l != nil {
		l.due = earlier(l.due, now.Add(l.pace.takes(l.pace.portion)))
	}
}

// nextTurn returns when somebody in line is due next, zero for never.
func (l *line) nextTurn() time.Time {
	if l == nil || l.left == 0 {
		return time.Time{}
	}
	return l.due
}
