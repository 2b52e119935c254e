package membership

import (
	"slices"
	"time"
)

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
	for i := range k.inUse() {
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
