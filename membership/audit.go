package membership

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// defaultAudit is the time between audits where Options say nothing.
const defaultAudit = 30 * time.Second

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
		held := k.held(f)
		if len(held) == 0 {
			continue
		}
		listed, err := k.kernel.groups(f)
		if err != nil {
			k.publish(Event{Time: now, Type: EventError, Cause: CauseAudit, Reason: err.Error()})
			continue
		}
		k.noteQueriers(f, listed.OldQueriers)
		missing := lacking(held, listed.Users)
		if len(missing) == 0 {
			continue
		}
		if listed, err = k.kernel.groups(f); err == nil {
			k.repair(f, lacking(missing, listed.Users), now)
		}
	}
}

// held counts the sockets on which the pools hold each group of a family.
func (k *keeper) held(f ifwatch.Family) map[ifwatch.GroupKey]int {
	held := make(map[ifwatch.GroupKey]int)
	for _, i := range k.instances {
		for key, p := range i.pools {
			if key.family == f {
				p.countSockets(i.now.Index, held)
			}
		}
	}
	return held
}

// countSockets adds the sockets on which the pool holds each group.
func (p *pool) countSockets(index int, held map[ifwatch.GroupKey]int) {
	type place struct {
		group netip.Addr
		set   *sourceSet
	}
	counted := make(map[place]struct{}, len(p.entries))
	for _, e := range p.entries {
		at := place{e.channel.Group, e.set}
		if _, twice := counted[at]; e.order != 0 && !twice {
			counted[at] = struct{}{}
			held[ifwatch.GroupKey{Index: index, Group: at.group}]++
		}
	}
}

// lacking returns the groups that have fewer users than sockets of ours hold
// them. Other processes' users only add: what is lacking is ours.
func lacking(held, users map[ifwatch.GroupKey]int) map[ifwatch.GroupKey]int {
	var missing map[ifwatch.GroupKey]int
	for key, n := range held {
		if users[key] < n {
			if missing == nil {
				missing = make(map[ifwatch.GroupKey]int)
			}
			missing[key] = n
		}
	}
	return missing
}

// repair joins again what is missing, unless the life has ended: then the
// watcher will say so.
func (k *keeper) repair(f ifwatch.Family, missing map[ifwatch.GroupKey]int, now time.Time) {
	if len(missing) == 0 {
		return
	}
	for _, i := range k.instances {
		for key, p := range i.pools {
			if key.family != f || k.over(i, f) {
				continue
			}
			lost := p.lose(i.now.Index, missing)
			if len(lost) == 0 {
				continue
			}
			p.flush(now)
			for a := range i.attachments {
				if a.pools[f] == p {
					k.tellRepaired(a, f, lost, now)
				}
			}
		}
	}
}

func (k *keeper) tellRepaired(a *attachment, f ifwatch.Family, lost map[Channel]struct{}, now time.Time) {
	m, i := a.member, a.instance.now
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

// lose frees what the socket still has of the missing groups, so that flush
// joins them again, and returns their channels.
func (p *pool) lose(index int, missing map[ifwatch.GroupKey]int) map[Channel]struct{} {
	type place struct {
		group netip.Addr
		set   *sourceSet
	}
	entries := make(map[place][]*entry)
	for _, e := range p.entries {
		if missing[ifwatch.GroupKey{Index: index, Group: e.channel.Group}] > 0 && e.order != 0 {
			at := place{e.channel.Group, e.set}
			entries[at] = append(entries[at], e)
		}
	}
	lost := make(map[Channel]struct{})
	for at, all := range entries {
		channels := make([]Channel, len(all))
		for n, e := range all {
			channels[n] = e.channel
		}
		if !p.holder.free(at.set, channels) {
			continue // the next audit finds it again
		}
		for _, e := range all {
			lost[e.channel] = struct{}{}
			e.order, e.set = 0, nil
			p.added = append(p.added, e)
		}
	}
	return lost
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
