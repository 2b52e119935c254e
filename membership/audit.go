package membership

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// defaultAudit is the time between audits where Options say nothing.
const defaultAudit = 30 * time.Second

// SetAudit changes the time between audits, which Options.Audit began with and
// whose zero and less it shares.
func (m *Manager) SetAudit(ctx context.Context, every time.Duration) error {
	m.changing.Lock()
	defer m.changing.Unlock()
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

// suspect has the groups compared: now, or when the last time is long enough
// ago.
func (k *keeper) suspect(now time.Time) {
	if soonest := k.lastAudit.Add(hintPause); now.Before(soonest) {
		k.nextAudit = earlier(k.nextAudit, soonest)
		return
	}
	k.suspicious = true
	k.flush(now)
}

// auditDue compares what the pools hold with what the kernel lists, where the
// time has come or something hints at a loss.
func (k *keeper) auditDue(now time.Time) {
	switch {
	case !k.holding():
		k.nextAudit, k.suspicious = time.Time{}, false
		return
	case k.suspicious, !k.nextAudit.IsZero() && !now.Before(k.nextAudit):
		k.audit(now)
	case !k.nextAudit.IsZero():
		return
	}
	k.suspicious, k.nextAudit = false, time.Time{}
	if k.auditEvery > 0 {
		k.nextAudit = now.Add(k.auditEvery)
	}
	if k.doubtful {
		k.doubtful, k.nextAudit = false, now.Add(hintPause)
	}
}

// holding reports whether anything may be joined.
func (k *keeper) holding() bool {
	for _, i := range k.instances {
		if len(i.pools) > 0 {
			return true
		}
	}
	return false
}

// audit makes one pass over the kernel's lists. What seems to be missing is
// looked for once more: the lists can be torn.
func (k *keeper) audit(now time.Time) {
	k.lastAudit = now
	for _, f := range bothFamilies {
		if k.holds(f) {
			k.auditFamily(f, now)
		}
	}
}

func (k *keeper) auditFamily(f ifwatch.Family, now time.Time) {
	missing, err := k.look(f)
	if err == nil && len(missing) > 0 {
		var again map[*pool][]*entry
		again, err = k.look(f)
		for p, entries := range missing {
			missing[p] = slices.DeleteFunc(entries, func(e *entry) bool { return !slices.Contains(again[p], e) })
		}
	}
	if err != nil {
		k.publish(Event{Time: now, Type: EventError, Cause: CauseAudit, Reason: err.Error()})
		return
	}
	for i, p := range k.poolsOf(f) {
		lost := missing[p]
		switch {
		case len(lost) == 0:
			p.missed = time.Time{}
		case !k.over(i, f) && k.believe(p, now): // of a life that has ended the watcher will tell
			k.repair(i, p, lost, now)
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

// holds reports whether any pool holds a channel of a family.
func (k *keeper) holds(f ifwatch.Family) bool {
	for _, p := range k.poolsOf(f) {
		if p.entries.len() > 0 {
			return true
		}
	}
	return false
}

// look returns what the pools hold of a family and the kernel does not.
//
// The list of filters tells it of each channel, where it is whole. Where it is
// not, a group is missing that has fewer users than sockets of ours hold it:
// the users of other processes only add. Of an interface that is down no filters
// are listed. The list of groups comes last: an interface that is up in it, and
// whose life has not ended afterwards, was there for the other list too.
func (k *keeper) look(f ifwatch.Family) (missing map[*pool][]*entry, err error) {
	k.looks++
	byIndex := make(map[int][]*pool)
	for i, p := range k.poolsOf(f) {
		byIndex[i.now.Index] = append(byIndex[i.now.Index], p)
	}
	whole, err := k.kernel.filters(f, func(x ifwatch.Filter) {
		for _, p := range byIndex[x.Index] {
			if e := p.entries.get(Channel{x.Source, x.Group}); e != nil {
				e.seen = k.looks
			}
		}
	})
	if err != nil {
		return nil, err
	}
	listed, err := k.kernel.groups(f)
	if err != nil {
		return nil, err
	}
	k.noteQueriers(f, listed.OldQueriers)
	isMissing := func(index int, e *entry) bool { return e.seen != k.looks }
	if !whole {
		held := k.held(f)
		isMissing = func(index int, e *entry) bool {
			key := ifwatch.GroupKey{Index: index, Group: e.channel.Group}
			return listed.Users[key] < held[key]
		}
	}
	missing = make(map[*pool][]*entry)
	for i, p := range k.poolsOf(f) {
		if !listed.Up[i.now.Index] {
			continue
		}
		found := false
		for e := range p.entries.all() {
			switch {
			case e.order == 0:
			case isMissing(i.now.Index, e):
				missing[p] = append(missing[p], e)
			case e.err != nil:
				p.found(e)
				found = true
			}
		}
		if found {
			k.touchUsers(i, p)
		}
	}
	return missing, nil
}

// held counts the sockets on which the pools hold each group of a family.
func (k *keeper) held(f ifwatch.Family) map[ifwatch.GroupKey]int {
	held := make(map[ifwatch.GroupKey]int)
	for i, p := range k.poolsOf(f) {
		for at := range p.joinedAt() {
			held[ifwatch.GroupKey{Index: i.now.Index, Group: at.group}]++
		}
	}
	return held
}

// membershipAt is what a socket has of a group.
type membershipAt struct {
	group netip.Addr
	set   *sourceSet
}

// joinedAt returns what the pool joined, by what its sockets have.
func (p *pool) joinedAt() map[membershipAt][]*entry {
	joined := make(map[membershipAt][]*entry)
	for e := range p.entries.all() {
		if e.order != 0 {
			at := membershipAt{e.channel.Group, e.set}
			joined[at] = append(joined[at], e)
		}
	}
	return joined
}

// repair joins again what is lost, and tells whoever wanted it.
func (k *keeper) repair(i *instance, p *pool, lost []*entry, now time.Time) {
	channels := p.lose(lost)
	k.touchUsers(i, p)
	if len(channels) == 0 {
		return
	}
	k.totals.countRefusals(p.flush(now))
	k.totals.Repairs += uint64(len(channels))
	for a := range i.users(p) {
		k.tellRepaired(a, p.family, channels, now)
	}
}

// lose has flush join again what is lost, and returns the channels. A source is
// left and joined, as it is to be announced anew. Where a socket lost all that it
// had of a group, what it believes to have has to go first: the last source
// takes the group with it, and a user who may be somebody else.
func (p *pool) lose(entries []*entry) map[Channel]struct{} {
	lost := make(map[*entry]bool, len(entries))
	for _, e := range entries {
		lost[e] = true
	}
	channels := make(map[Channel]struct{})
	for at, all := range p.joinedAt() {
		gone := slices.DeleteFunc(slices.Clone(all), func(e *entry) bool { return !lost[e] })
		switch {
		case len(gone) < len(all):
			for _, e := range gone {
				p.announceEntry(e)
			}
		case !p.holder.free(at.set, channelsOf(gone)):
			for _, e := range gone {
				p.uncount(e)
				e.err = errLost
			}
			continue // the next audit finds it again
		default:
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

func (k *keeper) tellRepaired(a *attachment, f ifwatch.Family, lost map[Channel]struct{}, now time.Time) {
	m, i := a.member, a.instance.now
	m.cause = CauseAudit
	n := 0
	var first Channel
	for _, c := range m.wish.byFamily[f] {
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
	k.publish(Event{Time: now, Type: EventRepaired, Membership: m.wish.name, Interface: i.Name, Instance: i.ID, Cause: CauseAudit,
		Reason: fmt.Sprintf("the kernel had lost %d of %d channels, %s first: another process has closed or left a socket of a former life of the index; joined again", n, len(m.wish.channels), first)})
}

// noteQueriers notes the interfaces on which reports name no sources.
func (k *keeper) noteQueriers(f ifwatch.Family, old map[int]string) {
	for _, i := range k.instances {
		if f != ifwatch.IPv4 || i.querier == old[i.now.Index] {
			continue
		}
		i.querier = old[i.now.Index]
		for a := range i.attachments {
			if a.pools[f] != nil {
				k.touch(a.member)
			}
		}
	}
}
