package membership

import (
	"time"

	"golang.org/x/time/rate"
)

// line is what waits in one keeper. A nil line is that of a keeper without a
// pace: nothing waits.
type line struct {
	pace    *pace
	batches []*batch // the next one first
	left    int      // channels in them that are to be joined

	reserved *rate.Reservation // of the next portion, nil for none
	size     int               // of that
	granted  int               // joins that may be made now
	due      time.Time         // when the next may be, zero where that is not for the time to say
	asOf     time.Time         // when some were made last
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
	a.inLine++
	l.add(&batch{owner: a, instance: a.instance, pool: p, entries: entries, size: len(entries), toldAt: now})
}

func (l *line) add(b *batch) {
	for _, e := range b.entries {
		if !e.inLine {
			e.inLine = true
			l.count(1)
		}
	}
	l.batches = append(l.batches, b)
}

func (l *line) count(n int) {
	l.left += n
	l.pace.waiting.Add(int64(n))
}

// next returns the next entry to be joined, nil where none is left.
func (l *line) next(b *batch) *entry {
	for len(b.entries) > 0 {
		e := b.entries[0]
		b.entries = b.entries[1:]
		if !e.inLine {
			continue // somebody else's turn was earlier
		}
		e.inLine = false
		l.count(-1)
		if e.wishes > 0 {
			return e
		}
		if b.pool.entries.get(e.channel) == e {
			b.pool.added = append(b.pool.added, e) // flush forgets it, and no turn is taken
		}
	}
	return nil
}

// drop forgets a batch whose pool is gone.
func (l *line) drop(b *batch) {
	for l.next(b) != nil {
	}
	if b.owner != nil {
		b.owner.inLine--
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
	l.batches, l.granted = nil, 0
	l.giveBack(time.Now())
}

// giveBack leaves to others what was reserved.
func (l *line) giveBack(now time.Time) {
	if l.reserved != nil {
		l.reserved.CancelAt(now)
	}
	l.reserved, l.due = nil, time.Time{}
}

// grant reports whether a join may be made now, and otherwise notes when. One
// portion is reserved ahead at most, so that the keepers of a manager take turns.
func (l *line) grant(now time.Time) bool {
	switch {
	case l.left == 0:
		l.granted = 0
		l.giveBack(now)
		return false
	case l.granted > 0:
		return true
	case l.reserved == nil:
		l.size = min(l.left, l.pace.portion)
		l.reserved = l.pace.limiter.ReserveN(now, l.size)
	}
	if wait := l.reserved.DelayFrom(now); wait > 0 {
		l.due = now.Add(wait)
		return false
	}
	l.reserved, l.granted = nil, l.size
	return true
}

// admit hands the pools what may be joined in this step.
func (k *keeper) admit(now time.Time) {
	l := k.line
	if l == nil {
		return
	}
	k.lineUpRefused(now)
	if len(l.batches) == 0 {
		return
	}
	if len(k.cut) > 0 { // what was let pass goes first
		l.due = now
		return
	}
	l.asOf, l.due = now, time.Time{}
	for l.grant(now) && k.takeTurns(now) {
	}
	if l.left == 0 {
		k.takeTurns(now) // what is left in the batches is joined
	}
}

// takeTurns uses up what is granted, and reports whether anybody could. It
// forgets what has become pointless.
func (k *keeper) takeTurns(now time.Time) bool {
	l, passed := k.line, 0
	for (l.granted > 0 || l.left == 0) && passed < len(l.batches) {
		b := l.batches[0]
		l.batches = l.batches[1:]
		if k.instances[b.instance.now.ID] != b.instance || b.instance.pools[b.pool.poolKey] != b.pool {
			l.drop(b)
			if b.owner != nil { // another family of it may be complete
				k.touch(b.owner.member)
			}
			continue
		}
		if !b.instance.mayChange(b.pool.family) {
			l.batches = append(l.batches, b)
			passed++
			continue
		}
		if e := l.next(b); e != nil {
			b.pool.added = append(b.pool.added, e)
			l.granted--
			passed = 0
		}
		k.goBehind(b, now)
	}
	return passed == 0
}

// goBehind puts a batch behind the others, or takes it out where nothing of it
// is left, and has its progress told.
func (k *keeper) goBehind(b *batch, now time.Time) {
	if len(b.entries) > 0 {
		k.line.batches = append(k.line.batches, b)
		if b.hasNews(now) {
			k.touch(b.owner.member)
		}
		return
	}
	if b.owner == nil {
		k.touchUsers(b.instance, b.pool)
		return
	}
	b.owner.inLine--
	k.touch(b.owner.member)
}

// newsPause is the least time between two events about one batch.
const newsPause = time.Second

// hasNews reports whether a further quarter of a batch is done.
func (b *batch) hasNews(now time.Time) bool {
	quarters := 4 * (b.size - len(b.entries)) / b.size
	if b.owner == nil || quarters == b.quarters || now.Sub(b.toldAt) < newsPause {
		return false
	}
	b.quarters, b.toldAt = quarters, now
	return true
}

// lineUpRefused has what was refused, and is to be tried again, stand in line.
// What is refused again there waits for the next try on its own.
func (k *keeper) lineUpRefused(now time.Time) {
	for _, i := range k.instances {
		for _, p := range i.pools {
			if len(p.refused) == 0 || now.Before(p.retry) || !i.mayChange(p.family) {
				continue
			}
			k.line.add(&batch{instance: i, pool: p, entries: p.refused, size: len(p.refused)})
			p.refused = nil
			p.backoff = min(2*p.backoff, lastBackoff)
			p.retry = time.Time{} // until one of them is refused again
		}
	}
}

// nextTurn returns when somebody in line is due next, zero for never.
func (l *line) nextTurn() time.Time {
	if l == nil || l.left == 0 {
		return time.Time{}
	}
	return l.due
}
