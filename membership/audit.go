package membership

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// defaultAudit is the time between audits where Options say nothing.
const defaultAudit = 30 * time.Second

// SetAudit changes the time between audits, which Options.Audit began with and
// whose zero and less it shares.
func (m *Manager) SetAudit(ctx context.Context, every time.Duration) error {
	if err := m.changing.Acquire(ctx, 1); err != nil {
		return err
	}
	defer m.changing.Release(1)
	m.options.Audit = every // of namespaces to come
	for _, e := range m.all() {
		err := e.do(ctx, func() { e.keeper.setAudit(m.options.auditEvery(), time.Now()) })
		if err != nil {
			return err
		}
	}
	return nil
}

// setAudit has the next audit no later than it was due, and not never where
// something hinted at a loss.
func (k *keeper) setAudit(every time.Duration, now time.Time) {
	k.auditEvery = every
	if every > 0 && k.holding() {
		k.nextAudit = earlier(k.nextAudit, now.Add(every))
	}
}

// hintPause is the least time between an audit and one for a hint: whoever
// joins and leaves much, we among them, gives many.
const hintPause = 100 * time.Millisecond

// auditShare bounds the part of the time that audits take: the kernel begins its
// lists anew with each 4 KB of them, which takes seconds for 100,000 channels.
const auditShare = 20

// suspect has the groups compared where what may be lost is held, or nobody
// knows what it is (nil): now, or when the last time is long enough ago.
func (k *keeper) suspect(lost []ifwatch.GroupKey, now time.Time) {
	if lost != nil && !slices.ContainsFunc(lost, k.holdsGroup) {
		return
	}
	if soonest := k.auditAgain(); now.Before(soonest) {
		k.nextAudit = earlier(k.nextAudit, soonest)
		return
	}
	k.suspicious = true
	k.flush(now)
}

// auditAgain returns from when on an audit may follow the last.
func (k *keeper) auditAgain() time.Time {
	return k.lastAudit.Add(max(hintPause, auditShare*k.auditTook))
}

// isSilent reports whether nothing is announced now: what is lost is found first.
func (k *keeper) isSilent() bool { return k.suspicious || k.auditing == auditSuspicion }

// auditState is what an audit that is under way is for.
type auditState string

const (
	noAudit        auditState = ""
	auditRoutine   auditState = "routine"
	auditSuspicion auditState = "suspicion" // what is lost is not to be announced: to leave it would take it from others
)

// auditDue compares what the pools hold with what the kernel lists, where the
// time has come or something hints at a loss.
func (k *keeper) auditDue(now time.Time) {
	switch {
	case k.auditing != noAudit:
		return
	case !k.holding():
		k.nextAudit, k.suspicious = time.Time{}, false
		return
	case k.suspicious:
		k.auditing = auditSuspicion
	case !k.nextAudit.IsZero() && !now.Before(k.nextAudit):
		k.auditing = auditRoutine
	case !k.nextAudit.IsZero():
		return
	}
	k.suspicious, k.nextAudit = false, time.Time{}
	if k.auditEvery > 0 {
		k.nextAudit = now.Add(k.auditEvery)
	}
	if k.auditing != noAudit {
		k.audit(now)
	}
}

// holding reports whether anything may be joined.
func (k *keeper) holding() bool {
	for i := range k.inUse() {
		if len(i.pools) > 0 {
			return true
		}
	}
	return false
}

// holdsGroup reports whether any pool joined a group on an interface.
func (k *keeper) holdsGroup(g ifwatch.GroupKey) bool {
	for i, p := range k.poolsOf(ifwatch.FamilyOf(g.Group)) {
		if i.now.Index == g.Index && p.holder.has(g.Group) {
			return true
		}
	}
	return false
}

// audit makes one pass over the kernel's lists, or two: what seems to be
// missing is looked for once more, since the lists can be torn.
func (k *keeper) audit(now time.Time) {
	k.lastAudit = now
	k.look(now, func(first missing, now time.Time) {
		if first.isEmpty() {
			k.endAudit(first, now)
			return
		}
		k.look(now, func(second missing, now time.Time) { k.endAudit(first.and(second), now) })
	})
}

func (k *keeper) endAudit(found missing, now time.Time) {
	k.auditing, k.auditTook = noAudit, now.Sub(k.lastAudit)
	if soonest := k.lastAudit.Add(auditShare * k.auditTook); !k.nextAudit.IsZero() && k.nextAudit.Before(soonest) {
		k.nextAudit = soonest
	}
	k.endClosed()
	for _, f := range bothFamilies {
		if err := found.errs[f]; err != nil {
			k.tell(Event{Time: now, Type: EventError, Cause: CauseAudit, Reason: err.Error()})
		}
		for i, p := range k.poolsOf(f) {
			lost := found.entries[p]
			switch {
			case len(lost) == 0:
				p.missed = time.Time{}
			case !k.over(i, f) && k.believe(p, now): // of a life that has ended the watcher will tell
				k.repair(i, p, lost, found.deaf, now)
			}
		}
	}
	if k.doubtful {
		k.doubtful, k.nextAudit = false, now.Add(hintPause)
	}
}

// endClosed ends the members whose sockets their callers have closed. Where others
// hold the same channels no list tells.
func (k *keeper) endClosed() {
	for i := range k.inUse() {
		for _, p := range i.pools {
			c, is := p.holder.(*callerSocket)
			if !is {
				continue
			}
			if err := c.check(); isClosed(err) {
				for a := range i.users(p) {
					a.member.endForSocket(err)
					k.touch(a.member)
				}
			}
		}
	}
}

// believe reports whether what a pool misses is lost. Where the life probe came
// after the joins, as after a rename, it may be another life's, of which the
// watcher is yet to tell: it is looked at again a moment later.
func (k *keeper) believe(p *pool, now time.Time) bool {
	if p.missed.IsZero() {
		p.missed = now
	}
	if !p.unproven || !now.Before(p.missed.Add(hintPause)) {
		return true
	}
	k.doubtful = true
	return false
}

// repair joins again what is lost, or deaf, and tells whoever wanted it.
func (k *keeper) repair(i *instance, p *pool, lost []*entry, deaf map[*entry]bool, now time.Time) {
	channels := p.lose(lost, deaf)
	k.touchUsers(i, p)
	if len(channels) == 0 {
		return
	}
	k.flushNow(i, p, now)
	if p.turn > 0 {
		k.putOff(i, p, now)
	}
	maps.DeleteFunc(channels, func(c Channel, _ struct{}) bool { e := p.entries.get(c); return e == nil || e.err != nil }) // but what is next
	k.totals.Repairs += uint64(len(channels))
	why := "another process has closed or left a socket of a former life of the index"
	if deaf[lost[0]] {
		why = "another group changed while the interface was down"
	}
	for a := range i.users(p) {
		k.tellRepaired(a, p.family, channels, why, now)
	}
}

// lose has flush join again what is lost, and returns the channels. A source is
// left and joined, as it is to be announced anew. Where a socket lost all that it
// had of a group, what it believes to have has to go first: the last source
// takes the group with it, and a user who may be somebody else. What is only deaf is
// that user itself.
func (p *pool) lose(entries []*entry, deaf map[*entry]bool) map[Channel]struct{} {
	lost := make(map[*entry]bool, len(entries))
	for _, e := range entries {
		lost[e] = true
	}
	channels := make(map[Channel]struct{})
	for at, all := range p.joinedAt(func(*entry) bool { return true }) {
		gone := slices.DeleteFunc(slices.Clone(all), func(e *entry) bool { return !lost[e] })
		if len(gone) < len(all) || deaf[gone[0]] {
			for _, e := range gone {
				p.announceEntry(e)
			}
		} else if err := p.holder.free(at.set, channelsOf(gone)); err != nil {
			for _, e := range gone {
				p.uncount(e)
				e.err = err
			}
			continue // the next audit finds it again
		} else {
			for _, e := range gone {
				p.uncount(e)
				e.order, e.set, e.err = 0, nil, nil
				p.added = append(p.added, e)
			}
		}
		for _, e := range gone {
			channels[e.channel] = struct{}{}
		}
	}
	return channels
}

// touchUsers has the states looked at of all that wish for something of a pool.
func (k *keeper) touchUsers(i *instance, p *pool) {
	for a := range i.users(p) {
		k.touch(a.member)
	}
}

// errLost says why a channel that was joined is not, though a socket has it.
var errLost = errors.New("the kernel lost it, and refuses it now")

func channelsOf(entries []*entry) []Channel {
	channels := make([]Channel, len(entries))
	for n, e := range entries {
		channels[n] = e.channel
	}
	return channels
}

func (k *keeper) tellRepaired(a *attachment, f ifwatch.Family, lost map[Channel]struct{}, why string, now time.Time) {
	m, i := a.member, a.instance.now
	m.cause = CauseAudit
	n := 0
	var first Channel
	for _, c := range m.wish.channelsOf(f) {
		if _, was := lost[c]; was {
			if n++; n == 1 {
				first = c
			}
		}
	}
	if n == 0 {
		return
	}
	m.counters.Repairs += uint64(n)
	k.touch(m)
	k.tell(Event{Time: now, Type: EventRepaired, Membership: m.wish.name, Interface: i.Name, Instance: i.ID, Index: i.Index, Cause: CauseAudit,
		Reason: fmt.Sprintf("the kernel had lost %d of %d channels, %s first: %s; joined again", n, len(m.wish.channels), first, why)})
}
