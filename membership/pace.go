package membership

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

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
	burst     int          // joins that may come at once
	portion   int          // of joins that are made in one step
	waiting   atomic.Int64 // in the lines of all keepers

	mu     sync.Mutex
	booked time.Time // until when what is allowed is used up
}

// newPace returns nil, for no pace, where the number is not above zero. A tenth
// of what a second allows may come at once; then half of that follows each
// time.
func newPace(perSecond int) *pace {
	if perSecond <= 0 {
		return nil
	}
	burst := max(1, perSecond/10)
	return &pace{perSecond: perSecond, burst: burst, portion: max(1, burst/2)}
}

// takes returns how long so many joins take.
func (p *pace) takes(joins int) time.Duration {
	return time.Duration(joins) * time.Second / time.Duration(p.perSecond)
}

// book takes so many of the joins that are allowed, and returns from when on they
// may be made. What has been allowed for longer than a burst takes is lost.
func (p *pace) book(joins int, now time.Time) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if kept := now.Add(-p.takes(p.burst)); p.booked.Before(kept) {
		p.booked = kept
	}
	p.booked = p.booked.Add(p.takes(joins))
	return p.booked
}

// giveBack leaves to others what was booked and is not used.
func (p *pace) giveBack(joins int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.booked = p.booked.Add(-p.takes(joins))
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
		old.giveBack()
		if k.line != nil {
			k.line.count(old.left)
		}
		old.count(-old.left)
		for _, b := range batches {
			k.takeFrom(b)
		}
		if k.line == nil {
			k.endTurns()
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
	b.entries, b.pool.again, b.pool.asked = nil, 0, true
	k.tellProgress(b)
}

// endTurns has nothing that was put off go back in line, as there is none.
func (k *keeper) endTurns() {
	for i := range k.inUse() {
		for _, p := range i.pools {
			for _, e := range p.added {
				e.turn = false
			}
		}
	}
}

// lineUpAdded has what was put off before there was a pace stand in line.
func (k *keeper) lineUpAdded(now time.Time) {
	for i := range k.inUse() {
		for _, p := range i.pools {
			if len(p.added) == 0 {
				continue
			}
			added := p.added
			p.added = nil
			for a := range i.users(p) {
				k.line.lineUp(a, p, a.member.wish.channelsOf(p.family), now)
				k.touch(a.member)
			}
			p.added = slices.DeleteFunc(added, func(e *entry) bool { return e.inLine })
			if len(p.added) == 0 && len(p.refused) == 0 {
				p.retry = time.Time{} // its turn wakes
			}
		}
	}
}

// SetPace changes how many joins are made a second, which
// Options.JoinsPerSecond began with and whose zero it shares. It holds at once,
// also for what waits. It returns as Apply does.
func (m *Manager) SetPace(ctx context.Context, joinsPerSecond int) error {
	return m.change(ctx, func(ctx context.Context) (all begun, err error) {
		if max(0, joinsPerSecond) == max(0, m.options.JoinsPerSecond) {
			return nil, nil
		}
		m.options.JoinsPerSecond = joinsPerSecond
		m.pace = newPace(joinsPerSecond) // of namespaces to come
		for _, e := range m.all() {
			made, err := e.change(ctx, func() { e.keeper.setPace(m.pace, time.Now()) })
			if err != nil {
				return nil, err
			}
			all = append(all, made...)
		}
		return all, nil
	})
}

// progress says of an attachment that stands in line how far it is. The others
// in line are as many as they are, so the time is no later than about.
func (k *keeper) progress(a *attachment, joined int) string {
	p := k.line.pace
	until := k.line.asOf.Add(p.takes(int(p.waiting.Load())))
	return fmt.Sprintf("%d of %d channels joined, the others follow at the pace of %d joins a second, until about %s",
		joined, len(a.member.wish.channels), p.perSecond, reattach.Moment(until))
}
