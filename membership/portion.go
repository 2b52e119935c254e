package membership

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// A join or a leave takes the kernel some microseconds, but a millisecond where
// an interface has tens of thousands of IPv6 groups, which it searches one by one.
// So what is to be joined and left at once is done in portions. Between two of
// them the owner of the state serves others: what is to be torn down is torn
// down, and whoever asks gets an answer.

// portionTime is how long the joins and leaves of one step may take together.
const portionTime = 100 * time.Millisecond

// callsPerLook is after how many joins or leaves the clock is looked at. It
// costs nothing beside them.
const callsPerLook = 16

// portion is what of one step's time there is for joins and leaves.
type portion struct {
	more   func() bool // whether there is time left
	every  int         // calls between two looks at it
	calls  int
	spent  bool
	silent bool // nothing is announced anew meanwhile
}

// newPortion begins now.
func newPortion() *portion {
	until := time.Now().Add(portionTime)
	return &portion{every: callsPerLook, more: func() bool { return time.Now().Before(until) }}
}

// goesOn reports whether there is time for another call.
func (t *portion) goesOn() bool {
	if t.calls++; t.calls%t.every == 0 && !t.spent {
		t.spent = !t.more()
	}
	return !t.spent
}

// portionNow is that of this step.
func (k *keeper) portionNow() *portion {
	if k.portion == nil {
		k.portion = k.newPortion()
	}
	k.portion.silent = k.isSilent()
	return k.portion
}

// duePool is a pool that has something to do.
type duePool struct {
	instance *instance
	pool     *pool
}

// order puts first what is left as a whole, which takes no time, and last what
// has had a portion already: nobody waits for the end of something large.
func (d duePool) order() int {
	switch {
	case d.pool.users == 0:
		return 0
	case d.pool.turn == 0:
		return 1
	}
	return 2
}

// duePools returns the pools that have something to do in this step.
func (k *keeper) duePools(now time.Time) []duePool {
	due := k.due[:0]
	for i := range k.inUse() {
		for key, p := range i.pools {
			if p.due(now, k.portion) && i.mayChange(key.family) {
				due = append(due, duePool{i, p})
			}
		}
	}
	slices.SortStableFunc(due, func(a, b duePool) int { return cmp.Compare(a.order(), b.order()) })
	k.due = due
	return due
}

// putOff notes that a pool goes on with the next portion.
func (k *keeper) putOff(i *instance, p *pool, now time.Time) {
	k.cut[p], k.cutAt = struct{}{}, now
	if p.toldAt.IsZero() {
		p.toldAt = now // by those who began it
	}
	if now.Sub(p.toldAt) < newsPause {
		return
	}
	p.toldAt = now
	for a := range i.users(p) {
		if quarters := 4 * a.count().joined / len(a.member.wish.channels); quarters != a.quarters {
			a.quarters = quarters
			k.touch(a.member)
		}
	}
}

// tellUncut has those looked at who waited for the next portion, and do no longer:
// all was made, or nothing may be made by now.
func (k *keeper) tellUncut(before map[*pool]struct{}) {
	if len(before) == 0 {
		return
	}
	for i := range k.inUse() {
		for _, p := range i.pools {
			_, was := before[p]
			if _, is := k.cut[p]; was && !is {
				k.touchUsers(i, p)
			}
		}
	}
}

// nextPortion returns when the rest of what was put off is due, zero for never.
func (k *keeper) nextPortion() time.Time {
	if len(k.cut) == 0 {
		return time.Time{}
	}
	return k.cutAt
}

// isUnderWay reports whether channels of an attachment are still to be tried: in
// line, or with the next portion.
func (k *keeper) isUnderWay(a *attachment, t tally) bool { return t.inLine > 0 || k.isPutOff(a) }

func (k *keeper) isPutOff(a *attachment) bool {
	if len(k.cut) == 0 {
		return false
	}
	for _, f := range a.families() {
		if _, cut := k.cut[a.pools.of(f)]; cut && a.pools.of(f).isToTry(a.member.wish.channelsOf(f)) {
			return true
		}
	}
	return false
}

// isToTry reports whether any of the channels was not tried yet. The last are
// tried last.
func (p *pool) isToTry(channels []Channel) bool {
	if p.joined == p.entries.len() {
		return false
	}
	for _, c := range slices.Backward(channels) {
		if e := p.entries.get(c); e != nil && e.order == 0 && e.err == nil {
			return true
		}
	}
	return false
}

// howFar says of an attachment that is under way how far it is.
func (k *keeper) howFar(a *attachment, t tally) string {
	if t.inLine > 0 {
		return k.progress(a, t.joined)
	}
	return fmt.Sprintf("%d of %d channels joined, the others follow as fast as the kernel takes them", t.joined, len(a.member.wish.channels))
}

// undone is what somebody waits for.
type undone struct {
	pools map[*pool]struct{}
	made  chan struct{} // is closed then
}

// whenMade returns what is still to be made of the joins and leaves that the step
// which has just ended led to.
func (k *keeper) whenMade() begun {
	u := undone{make(map[*pool]struct{}), make(chan struct{})}
	for _, p := range k.asked {
		if k.isOwed(p) {
			u.pools[p] = struct{}{}
		}
	}
	if len(u.pools) == 0 {
		return nil
	}
	k.awaited = append(k.awaited, u)
	return begun{u.made}
}

// isOwed reports whether more is to be made of a pool: with the next portion, or
// when an audit is over.
func (k *keeper) isOwed(p *pool) bool {
	_, cut := k.cut[p]
	return cut || k.isSilent() && k.isToAnnounce(p)
}

// noteMade tells those who wait for what was made by now, or is over.
func (k *keeper) noteMade() {
	k.awaited = slices.DeleteFunc(k.awaited, func(u undone) bool {
		for p := range u.pools {
			if !k.isOwed(p) {
				delete(u.pools, p)
			}
		}
		if len(u.pools) == 0 {
			close(u.made)
		}
		return len(u.pools) == 0
	})
}
