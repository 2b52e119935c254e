package membership

import (
	"slices"
	"time"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// flush ends a step: it brings every pool in step with its wishes, as far as a
// portion of time goes, and reports what changed.
func (k *keeper) flush(now time.Time) {
	k.asked = k.asked[:0]
	if k.suspicious {
		k.auditDue(now)
	}
	k.announceAsked()
	k.flushPools(now)
	for k.leaveEnded(now) {
		k.flushPools(now)
	}
	k.endInheritance(now)
	k.flushed = time.Now()
	k.reportAnnounced(now)
	k.auditDue(now)
	for k.leaveEnded(now) { // what the audit found closed
		k.flushPools(now)
	}
	k.report(now)
	k.noteMade()
	k.portion = nil
}

func (k *keeper) flushPools(now time.Time) {
	k.admit(now)
	before := k.cut
	if len(before) > 0 {
		k.cut = make(map[*pool]struct{})
	}
	k.portionNow()
	for _, d := range k.duePools(now) {
		k.flushPool(d.instance, d.pool, now)
	}
	k.tellUncut(before)
	for i := range k.inUse() {
		if len(i.spares) > 0 && (i.now.Up || len(i.near) == 0) {
			i.closeSpares() // of what was not accepted, or is not wanted any more
		}
	}
}

// flushPool touches nothing where the life that the pool is for has ended and
// the watcher is yet to say so: the index may belong to another by now.
func (k *keeper) flushPool(i *instance, p *pool, now time.Time) {
	if p.asked {
		p.asked = false
		k.asked = append(k.asked, p)
	}
	if k.portion.spent && p.users > 0 {
		k.putOff(i, p, now)
		return
	}
	if k.over(i, p.family) {
		p.postpone(now)
		return
	}
	barred := p.barred != nil
	waited := len(p.refused) > 0 || p.wait > 0 || barred
	out := k.flushNow(i, p, now)
	if barred && (p.barred == nil || !now.Before(p.retry)) {
		k.line.resume(now)
		k.touchUsers(i, p)
	}
	switch {
	case p.users == 0:
		delete(i.pools, p.poolKey)
	case p.turn > 0:
		k.putOff(i, p, now)
		return
	}
	if !out.touched || !waited && out.refused == 0 {
		return // of attachments that were made in this step is told anyway
	}
	for a := range i.users(p) {
		k.touch(a.member)
		if isClosed(out.err) && p.socket != 0 {
			a.member.endForSocket(out.err)
		}
	}
}

// flushNow has a pool joined and left, and its turns that were not used taken back.
func (k *keeper) flushNow(i *instance, p *pool, now time.Time) outcome {
	out := p.flush(now, k.portionNow())
	k.line.takeBack(i, p, out.untried, now)
	k.totals.countRefusals(out)
	return out
}

// mayChange reports whether anything may be joined or left for a family: while
// the interface is down a change makes IPv6 deaf, also for others.
func (i *instance) mayChange(f ifwatch.Family) bool { return f == ifwatch.IPv4 || i.now.Up }

// leaveEnded ends the attachments of the members whose socket turned out to be
// of no use in this step, and reports whether there were any.
func (k *keeper) leaveEnded(now time.Time) bool {
	found := false
	for _, m := range k.touched {
		if m.ended == "" || k.members[m.wish.name] != m {
			continue
		}
		for _, a := range slices.Clone(m.attachments) {
			k.leave(a, CauseSocket, m.ended, now)
			found = true
		}
		m.idle, m.idleReason = StateEnded, m.ended
	}
	return found
}

// tick does what has become due: members are judged whose time has come, refused
// joins tried again, and what is to be announced every so often is.
func (k *keeper) tick(now time.Time) {
	k.judgeDue(now)
	k.announcePeriodic(now)
	k.flush(now)
}

// nextWake returns when something will be due next, zero for never.
func (k *keeper) nextWake() time.Time {
	next := earlier(k.line.nextTurn(), earlier(k.nextDue(), k.nextEvery()))
	next = earlier(next, k.nextPortion())
	if k.auditing == noAudit {
		next = earlier(next, k.nextAudit)
	}
	for i := range k.inUse() {
		for key, p := range i.pools {
			if i.mayChange(key.family) {
				next = earlier(next, p.retry)
			}
		}
	}
	return next
}

// touchAll has every member on an instance reported on.
func (k *keeper) touchAll(i *instance) {
	for a := range i.attachments {
		k.touch(a.member)
	}
}

func (k *keeper) touch(m *member) {
	if !m.isTouched {
		m.isTouched = true
		k.touched = append(k.touched, m)
	}
}

// shutdown leaves every group.
func (k *keeper) shutdown(now time.Time) {
	clear(k.cut) // what was put off is left with the rest
	k.tellHeld()
	for _, i := range k.instances {
		for key, p := range i.pools {
			if i.ended(key.family) {
				p.holder.abandon()
			} else {
				p.holder.retire()
			}
		}
		i.closeProbes()
		i.closeSpares()
		for a := range i.attachments {
			k.detached(a, a.seen, CauseShutdown, "shutting down", now)
		}
		k.publishTold()
	}
	k.line.clear()
	clear(k.instances)
	for _, i := range k.inherited {
		i.discard(k.parking)
	}
	k.inherited = nil
	k.parking.vacateAll()
	if k.kernel != nil { // else there never was a network namespace
		k.kernel.leftBehind().take(k.parking)
		k.kernel.leftBehind().vacate()
	}
}
