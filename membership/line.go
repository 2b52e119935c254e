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
	entries := make([]*entry, 0, len(channels))
	for _, c := range channels {
		if e := p.entries.get(c); e.order == 0 && e.err == nil && !slices.Contains(p.added, e) { // where a portion was put off
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
	for _, c := range without(b.wish.byFamily[b.pool.family], b.owner.member.wish.byFamily[b.pool.family]) {
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
	l.asOf, l.due = now, time.Time{}
	for l.grant(now) && k.takeTurns(now) {
	}
	if l.left == 0 {
		k.takeTurns(now) // what is left in the batches is joined
		l.giveBack()
	}
	l.pace.giveBack(l.granted) // nobody may use it
	l.granted = 0
	k.passOver()
}

// takeTurns uses up what is granted, and reports whether anybody could. It
// forgets what has become pointless.
func (k *keeper) takeTurns(now time.Time) bool {
	l, passed := k.line, 0
	for (l.granted > 0 || l.left == 0) && passed < len(l.batches) {
		b := l.batches[0]
		l.batches = l.batches[1:]
		if k.isOver(b) {
			l.drop(b) // and those who wished for it were told of its end
			continue
		}
		if !b.mayGo(now) {
			l.batches = append(l.batches, b)
			passed++
			continue
		}
		if e := l.next(b); e != nil {
			e.turn = true
			b.pool.added = append(b.pool.added, e)
			l.granted--
			l.moved = true
			passed = 0
		}
		k.goBehind(b, now)
	}
	return passed == 0
}

// mayGo reports whether a turn is of use to a batch. Where a refusal concerned the
// whole pool one channel is tried at a time.
func (b *batch) mayGo(now time.Time) bool {
	p := b.pool
	hasTurn := func(e *entry) bool { return e.turn }
	return b.instance.mayChange(p.family) && (p.barred == nil || !now.Before(p.retry) && !slices.ContainsFunc(p.added, hasTurn))
}

// isOver reports whether what a batch waits for is gone.
func (k *keeper) isOver(b *batch) bool {
	return k.instances[b.instance.now.ID] != b.instance || b.instance.pools[b.pool.poolKey] != b.pool
}

// goBehind puts a batch behind the others, or takes it out where nothing of it
// is left, and has its progress told.
func (k *keeper) goBehind(b *batch, now time.Time) {
	if len(b.entries) > 0 {
		k.line.batches = append(k.line.batches, b)
		if b.hasNews(now) {
			k.tellProgress(b)
		}
		return
	}
	k.tellProgress(b)
}

// tellProgress has those looked at who wish for a batch.
func (k *keeper) tellProgress(b *batch) {
	if b.owner == nil {
		k.touchUsers(b.instance, b.pool)
		return
	}
	k.touch(b.owner.member)
}

// passOver takes out of the line what has nothing left to wait for: the turns of
// others were its own too, or it is not wished for any more. It costs a look at the
// next of each batch.
func (k *keeper) passOver() {
	l := k.line
	if !l.moved {
		return
	}
	l.moved = false
	l.batches = slices.DeleteFunc(l.batches, func(b *batch) bool {
		if b.owner != nil && b.wish != b.owner.member.wish {
			if k.isOver(b) {
				l.drop(b)
			}
			l.prune(b)
		}
		if l.skip(b); len(b.entries) > 0 {
			return false
		}
		k.tellProgress(b)
		return true
	})
}

// newsPause is the least time between two events about one batch.
const newsPause = time.Second

// hasNews reports whether a further quarter of a batch is done, or any more of one
// that is several members': it may be all of one of them.
func (b *batch) hasNews(now time.Time) bool {
	quarters := 4 * (b.size - len(b.entries)) / b.size
	if b.owner != nil && quarters == b.quarters || now.Sub(b.toldAt) < newsPause {
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
			b := &batch{instance: i, pool: p, entries: p.refused, size: len(p.refused), toldAt: now}
			if p.barred != nil {
				k.line.addFirst(b) // the same one is tried again
			} else {
				k.line.add(b)
			}
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
