package membership

import (
	"time"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// The watcher tells later than things happen, and after lost events it cannot
// tell that one life of an index ended and another began. Nothing may be left
// or closed for an old life at an index that has a new one, so a probe tells
// which life the index has at the moment.

// probe opens a probe of the present life of a protocol on an instance, where
// there is none yet. Without one, the watcher's word has to do.
func (k *keeper) probe(i *instance, f ifwatch.Family) {
	if i.probes[f] != nil || !i.now.Protocol(f).Alive {
		return
	}
	probe := k.kernel.probe(i.now.Name, f)
	if probe == nil {
		return
	}
	i.probes[f] = probe
	for key, p := range i.pools {
		p.unproven = p.unproven || key.family == f && p.joins > 0
	}
}

// over reports whether the life of a protocol on the instance has ended. Where
// there was nothing to probe it looks again: the kernel tells of a new name, or
// of IPv6 that lives again, before it is done with it.
func (k *keeper) over(i *instance, f ifwatch.Family) bool {
	if i.probes[f] == (endedProbe{}) {
		delete(i.probes, f)
		k.probe(i, f)
	}
	return i.ended(f)
}

// renewProbes opens the probes again after a rename, which ended them.
func (k *keeper) renewProbes(i *instance) {
	for _, f := range bothFamilies {
		if probe := i.probes[f]; probe != nil {
			probe.close()
			delete(i.probes, f)
			k.probe(i, f)
		}
	}
}

// ended reports whether the life of a protocol on the instance has ended, as
// far as can be told.
func (i *instance) ended(f ifwatch.Family) bool {
	probe := i.probes[f]
	return probe != nil && probe.ended()
}

func (i *instance) closeProbes() {
	for _, probe := range i.probes {
		probe.close()
	}
	clear(i.probes)
}

// bury ends a pool whose life has ended, as the watcher says. Where its probe is
// alive, all joins were made in the life that still has the index, whatever
// the watcher said: they are the pool's own to leave. So it is when the probe
// was opened, and the joins made, in a new life before the end of the old one
// was read. A probe that was opened after joins proves nothing.
func (k *keeper) bury(i *instance, f ifwatch.Family, p *pool) {
	if i.probes[f] != nil && !i.ended(f) && !p.unproven {
		p.holder.release()
		return
	}
	p.holder.abandon()
}

// checkLives finds the instances in use whose life ended unseen, and has the
// watcher say so.
func (k *keeper) checkLives(now time.Time) {
	for id, i := range k.instances {
		var ended []ifwatch.Family
		for _, f := range bothFamilies {
			if k.over(i, f) {
				ended = append(ended, f)
			}
		}
		if len(ended) > 0 && len(ended) == len(i.probes) {
			k.expire(id)
			continue
		}
		for _, f := range ended {
			k.protocolDied(i, f, now)
		}
	}
}
