package membership

import (
	"maps"
	"time"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// observe takes changes of interfaces.
func (k *keeper) observe(changes ifwatch.Changes, now time.Time) {
	if changes.Resynced {
		k.suspicious = true // a dump cannot show all that happened
		k.tell(Event{Time: now, Type: EventResynced, Cause: CauseKernel, Reason: "events of interfaces were lost; all interfaces compared anew"})
	}
	k.cause, k.began = CauseAppeared, now
	for _, c := range changes.Changes {
		if c.Read.Before(k.began) {
			k.began = c.Read
		}
	}
	for _, c := range changes.Changes {
		if c.Removed != nil {
			k.instanceGone(c.Removed, now)
		}
		if c.Now != nil {
			k.instanceChanged(*c.Now, c.Read, now)
		}
	}
	k.looked = true
	k.parking.vacateAll() // at each index: of a short life nothing is told
	k.kernel.leftBehind().vacate()
	for r := range k.affected {
		k.settle(r, now)
	}
	clear(k.affected)
	k.flush(now)
}

// instanceGone ends everything on an instance. healthy is what it was like
// before its removal began.
func (k *keeper) instanceGone(healthy *ifwatch.Interface, now time.Time) {
	i := k.instances[healthy.ID]
	if i == nil {
		return
	}
	delete(k.instances, healthy.ID)
	k.lifeEnded(i, *healthy, now)
	if i.isRemembered() || len(k.remembered) > 0 {
		k.noteMemory()
	}
	k.fateSealed(healthy.Index)
	for key, p := range i.pools {
		k.bury(i, key.family, p)
	}
	i.closeProbes()
	i.closeSpares()
	for r := range i.concerned() {
		k.affected[r] = struct{}{}
	}
	maps.Copy(k.affected, k.never)
	k.endResumes(healthy.ID, now)
	i.recede()
	reason := healthy.String() + " was removed"
	for a := range i.attachments {
		k.detached(a, healthy, CauseRemoval, reason, now)
	}
}

// instanceChanged takes an instance that is new or no longer as it was.
func (k *keeper) instanceChanged(iface ifwatch.Interface, read, now time.Time) {
	i := k.instances[iface.ID]
	if i == nil {
		i = &instance{
			now:         iface,
			pools:       make(map[poolKey]*pool),
			attachments: make(map[*attachment]struct{}),
			near:        make(map[*rule]struct{}),
			probes:      make(map[ifwatch.Family]lifeProbe),
			spares:      make(map[ifwatch.Family]holdingSocket),
			began:       read,
			before:      !k.looked,
		}
		k.instances[iface.ID] = i
		k.recallDrained(i)
	}
	was := i.now
	i.now, i.shared, i.read = iface, nil, read
	if i.isRemembered() || len(k.remembered) > 0 {
		k.noteMemory()
	}
	for _, f := range bothFamilies {
		if was.Protocol(f).Life != iface.Protocol(f).Life {
			k.protocolDied(i, f, now)
		}
	}
	if was.Renames != iface.Renames {
		k.renewProbes(i)
	}
	k.notice(i, was, now)
	if was.Multicast != iface.Multicast {
		k.touchAll(i)
	}
	k.judgeAnew(i)
}

// protocolDied ends what was joined for a family on an instance. A membership
// with channels of the other family stays attached.
func (k *keeper) protocolDied(i *instance, f ifwatch.Family, now time.Time) {
	for key, p := range i.pools {
		if key.family == f {
			k.bury(i, f, p)
			delete(i.pools, key)
		}
	}
	delete(k.goingOn, place{i.now.Index, f})
	if probe := i.probes[f]; probe != nil {
		probe.close()
		delete(i.probes, f)
	}
	reason := f.String() + " died on " + i.now.String()
	for a := range i.attachments {
		if a.pools.of(f) == nil {
			continue
		}
		k.affected[a.member.rule] = struct{}{}
		k.touch(a.member)
		k.noteMemory()
		if len(a.families()) == 1 {
			k.detached(a, a.seen, CauseProtocol, reason, now)
		}
		a.pools.set(f, nil)
	}
}

// vanish ends everything on all instances: their namespace lost its name. What
// would keep it alive is closed, whoever lives there yet.
func (k *keeper) vanish(reason string, now time.Time) {
	k.cause, k.began, k.looked = CauseNamespace, now, false
	for _, i := range k.instances {
		k.lifeEnded(i, i.now, now)
		for key, p := range i.pools {
			k.bury(i, key.family, p)
		}
		i.closeProbes()
		i.closeSpares()
	}
	for at, i := range k.inherited {
		i.closeAll()
		delete(k.inherited, at)
	}
	k.parking.closeAll()
	k.noteMemory()
	for id, i := range k.instances {
		delete(k.instances, id)
		k.endResumes(id, now)
		i.recede()
		for a := range i.attachments {
			k.detached(a, a.seen, CauseNamespace, reason, now)
		}
	}
	k.line.clear()
	k.setAbsent(reason, now)
}

// setAbsent says why there is nothing to join on.
func (k *keeper) setAbsent(reason string, now time.Time) {
	k.absent = reason
	for _, r := range k.rules {
		k.settle(r, now)
	}
	clear(k.affected)
	k.flush(now)
}
