package membership

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/ssmd-project/ssmd/reattach"
)

// A pace spreads joins over time: for a switch whose processor learns each
// group, a router upstream that builds a tree for each. What is wished for
// stands in line, and the memberships there take turns, a channel each, so that
// a small one is not kept waiting by one of 50,000 channels.
//
// Only joins of what was not joined stand in line, and those that were refused
// and are tried again. What the kernel lost is joined again at once, and what is
// announced anew is: an upstream that bears a general query, which the kernel
// answers for everything within seconds, bears that.

// pace is what the keepers of a manager share: one for all network namespaces.
type pace struct {
	perSecond int
	portion   int // of joins that are made in one step
	limiter   *rate.Limiter
	waiting   atomic.Int64 // in the lines of all keepers
}

// newPace returns nil, for no pace, where the number is not above zero. A tenth
// of what a second allows may come at once; then half of that follows each
// time.
func newPace(perSecond int) *pace {
	if perSecond <= 0 {
		return nil
	}
	burst := max(1, perSecond/10)
	return &pace{perSecond: perSecond, portion: max(1, burst/2), limiter: rate.NewLimiter(rate.Limit(perSecond), burst)}
}

// takes returns how long so many joins take.
func (p *pace) takes(joins int64) time.Duration {
	return time.Duration(float64(joins) / float64(p.perSecond) * float64(time.Second))
}

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
	key      poolKey
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
	a.inLine++
	key := poolKey{family: p.family, socket: socketOf(a.instance, p)}
	l.add(&batch{owner: a, instance: a.instance, key: key, pool: p, entries: entries, size: len(entries), toldAt: now})
}

func socketOf(i *instance, p *pool) cookie {
	for key, other := range i.pools {
		if other == p {
			return key.socket
		}
	}
	return 0
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
		if k.instances[b.instance.now.ID] != b.instance || b.instance.pools[b.key] != b.pool {
			l.drop(b)
			continue
		}
		if !b.instance.mayChange(b.key.family) {
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
// That may take longer than the time to the next try.
func (k *keeper) lineUpRefused(now time.Time) {
	for _, i := range k.instances {
		for key, p := range i.pools {
			if len(p.refused) == 0 || now.Before(p.retry) || !i.mayChange(key.family) {
				continue
			}
			k.line.add(&batch{instance: i, key: key, pool: p, entries: p.refused, size: len(p.refused)})
			p.refused = nil
			p.backoff = min(2*p.backoff, lastBackoff)
			p.retry = now.Add(p.backoff)
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

// setPace has what waits go on at another pace, or at once.
func (k *keeper) setPace(p *pace, now time.Time) {
	old := k.line
	k.line = p.newLine()
	switch {
	case old == nil && k.line != nil:
		k.lineUpAdded(now)
	case old != nil:
		batches := old.batches
		old.giveBack(now)
		if k.line != nil {
			k.line.count(old.left)
		}
		old.count(-old.left)
		for _, b := range batches {
			k.takeFrom(b)
		}
	}
	k.flush(now)
}

// takeFrom puts what is left of another line's batch into the own one, or has it
// joined by the next flush where there is none.
func (k *keeper) takeFrom(b *batch) {
	if k.line != nil {
		k.line.batches = append(k.line.batches, b)
		return
	}
	for _, e := range b.entries {
		if e.inLine {
			b.pool.added = append(b.pool.added, e)
		}
		e.inLine = false
	}
	b.entries = nil
	if b.owner != nil {
		b.owner.inLine--
		k.touch(b.owner.member)
		return
	}
	k.touchUsers(b.instance, b.pool)
}

// lineUpAdded has what was put off before there was a pace stand in line.
func (k *keeper) lineUpAdded(now time.Time) {
	for _, i := range k.instances {
		for _, p := range i.pools {
			if len(p.added) == 0 {
				continue
			}
			added := p.added
			p.added = nil
			for a := range i.users(p) {
				k.line.lineUp(a, p, a.member.wish.byFamily[p.family], now)
			}
			p.added = slices.DeleteFunc(added, func(e *entry) bool { return e.inLine })
		}
	}
}

// SetPace changes how many joins are made a second, which
// Options.JoinsPerSecond began with and whose zero it shares. It holds at once,
// also for what waits.
func (m *Manager) SetPace(ctx context.Context, joinsPerSecond int) error {
	m.changing.Lock()
	defer m.changing.Unlock()
	if max(0, joinsPerSecond) == max(0, m.options.JoinsPerSecond) {
		return nil
	}
	if err := m.do(ctx, func() {}); err != nil {
		return err
	}
	m.options.JoinsPerSecond = joinsPerSecond
	m.pace = newPace(joinsPerSecond) // of namespaces to come
	for _, e := range m.all() {
		if err := e.do(context.WithoutCancel(ctx), func() { e.keeper.setPace(m.pace, time.Now()) }); err != nil {
			return err
		}
	}
	return nil
}

func (m *member) isInLine() bool {
	return slices.ContainsFunc(m.attachments, func(a *attachment) bool { return a.inLine > 0 })
}

// progress says of an attachment that stands in line how far it is. The others
// in line are as many as they are, so the time is no later than about.
func (k *keeper) progress(a *attachment, joined int) string {
	p := k.line.pace
	until := k.line.asOf.Add(p.takes(p.waiting.Load()))
	return fmt.Sprintf("%d of %d channels joined, the others follow at the pace of %d joins a second, until about %s",
		joined, len(a.member.wish.channels), p.perSecond, reattach.Moment(until))
}
