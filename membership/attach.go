package membership

import (
	"cmp"
	"slices"
	"time"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/reattach"
)

func (m *member) attachedTo(id ifwatch.ID) *attachment {
	for _, a := range m.attachments {
		if a.instance.now.ID == id {
			return a
		}
	}
	return nil
}

// attachChosen attaches to what was chosen for long enough, and reports
// whether there was anything new to attach to.
func (k *keeper) attachChosen(m *member, d decision, now time.Time) (attached bool) {
	for _, c := range d.candidates {
		if !slices.Contains(d.chosen, c.Interface.ID) || m.unsettled(c.Interface.ID, now) {
			continue
		}
		a := m.attachedTo(c.Interface.ID)
		if a == nil {
			a = k.attach(m, c, now)
			attached = true
		}
		if a.seen.Name != c.Interface.Name {
			a.verdict = c.Verdict
			k.touch(m)
		}
		if !a.seen.Equal(c.Interface) {
			k.noteMemory() // it is the instance as it is to be compared with
		}
		a.seen = k.instances[c.Interface.ID].snapshot()
		k.wishReady(a, now)
	}
	return attached
}

// attach begins an attachment. Its channels are wished for family by family.
func (k *keeper) attach(m *member, c reattach.Candidate, now time.Time) *attachment {
	i := k.instances[c.Interface.ID]
	a := &attachment{
		member: m, instance: i, since: now, began: i.read, seen: i.snapshot(),
		verdict: c.Verdict, cause: k.cause, announcedAt: now,
	}
	if i.read.Before(k.began) { // something else let it be accepted
		a.began = k.began
	}
	a.resumed = k.goOn(m, i.now.ID)
	delete(m.settling, i.now.ID)
	if c.Verdict.Replaces != 0 {
		m.reattached = m.rule.rules.Limit.Recent(append(m.reattached, now))
	}
	m.lost = slices.DeleteFunc(slices.Clone(m.lost), func(l *ifwatch.Interface) bool {
		if l.ID != c.Verdict.Replaces && l.ID != i.now.ID {
			return false
		}
		if l.ID == c.Verdict.Replaces {
			a.replaces = l
		}
		if l.ID == i.now.ID {
			a.before = l
		}
		return true
	})
	m.endResume(i.now.ID)
	if m.rule.rules.Attach == reattach.AttachOne {
		m.lost, m.resumed = nil, nil
	}
	m.attachments = append(m.attachments, a)
	k.noteMemory()
	k.everyDue = time.Time{}
	i.attachments[a] = struct{}{}
	m.counters.Attaches++
	k.totals.Attaches++
	m.cause = k.cause
	if a.replaces != nil {
		m.counters.Reattaches++
		k.totals.Reattaches++
	}
	return a
}

// wishReady wishes for the channels of each family that is ready and was not
// before.
func (k *keeper) wishReady(a *attachment, now time.Time) {
	m, i := a.member, a.instance
	for _, f := range m.rule.families {
		goesOn := slices.Contains(a.resumed, f)
		if a.pools.of(f) != nil || !goesOn && m.rule.rules.Ready(f, i.now).Result() != reattach.Accept {
			continue
		}
		k.probe(i, f) // before the first join
		p := k.pool(i, f, m, orNone(a.replaces).Index)
		if p == nil {
			continue
		}
		p.users++
		k.line.wish(a, p, m.wish.channelsOf(f), now)
		a.pools.set(f, p)
		k.touch(m)
		k.noteMemory()
		if what, cause := unwatched(f, orNone(a.before), i.now); goesOn && slices.Contains(m.wish.reannounce.On, what) {
			k.askAnnounce(a, f, cause, now)
		}
	}
	a.resumed, a.before = nil, nil
}

// orNone returns the interface, or one that is none where there is nothing.
func orNone(i *ifwatch.Interface) ifwatch.Interface {
	if i == nil {
		return ifwatch.Interface{}
	}
	return *i
}

// pool returns the pool for a member's channels, nil where the caller's socket
// is of no use: then the member has ended.
func (k *keeper) pool(i *instance, f ifwatch.Family, m *member, lostIndex int) *pool {
	key := poolKey{family: f}
	var socket callersMemberSocket
	if m.wish.socket != nil {
		var err error
		if socket, err = k.kernel.caller(f, m.wish.socket); err != nil {
			m.endForSocket(err)
			k.touch(m)
			return nil
		}
		key.socket = socket.cookie()
	}
	if p := i.pools[key]; p != nil {
		if c, is := p.holder.(*callerSocket); is {
			c.use(socket)
		}
		return p
	}
	ended := func() bool { return i.ended(f) }
	var h holder
	if socket != nil {
		caller := newCallerSocket(k.kernel, f, socket, i.now.Index, lostIndex, k.parking, ended)
		caller.keep = m.wish.keep
		caller.boundFor = cmp.Or(lostIndex, orNone(m.previous).Index)
		h = caller
	} else {
		own := newOwnSockets(k.kernel, f, i.now.Index, k.parking, ended)
		own.spare = i.takeSpare(f)
		k.takeOver(i, f, own)
		h = own
	}
	p := newPool(key, h)
	p.mayBeDeaf = i.before
	i.pools[key] = p
	k.use(i)
	return p
}

// leave ends an attachment on an instance that lives.
func (k *keeper) leave(a *attachment, cause Cause, reason string, now time.Time) {
	for _, f := range a.families() {
		a.pools.of(f).users--
		a.pools.of(f).unwish(a.member.wish.channelsOf(f))
	}
	k.detached(a, a.seen, cause, reason, now)
}

// detached notes that an attachment has ended, whatever became of its
// channels. healthy is the instance as the member remembers it. Nobody changes it,
// and all that was attached there shares it.
func (k *keeper) detached(a *attachment, healthy *ifwatch.Interface, cause Cause, reason string, now time.Time) {
	m, id := a.member, healthy.ID
	m.attachments = slices.DeleteFunc(m.attachments, func(x *attachment) bool { return x == a })
	delete(a.instance.attachments, a)
	a.instance.known = true
	k.noteMemory()
	m.previous = healthy
	m.lost = append(m.lost, healthy)
	if now.Equal(m.lostAt) { // which of those lost at once is the last is not for the order of events to say
		slices.SortFunc(m.lost, func(a, b *ifwatch.Interface) int { return cmp.Compare(a.ID, b.ID) })
	}
	m.lostAt = now
	if m.rule.rules.Attach == reattach.AttachOne {
		m.lost = m.lost[len(m.lost)-1:]
	}
	m.lost = m.lost[max(0, len(m.lost)-longestLost):]
	m.counters.Detaches++
	k.totals.Detaches[cause]++
	m.cause = cause
	k.affected[m.rule] = struct{}{}
	k.announce(a, now)
	k.measured(a, time.Now()) // it ends before all of its joins were made
	k.told = append(k.told, toldEvent{pools: a.pools, Event: Event{Time: now, Type: EventDetached, Membership: m.wish.name,
		Interface: healthy.Name, Instance: id, Index: healthy.Index, Cause: cause, Reason: reason, Err: detachError(m, cause)}})
	k.touch(m)
}

// longestLost bounds how many lost instances a membership remembers.
const longestLost = 64
