package membership

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/go-cmp/cmp"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/reattach"
)

// robbed returns a membership of another process that the kernel lost.
func (w *world) robbed() error {
	for index, i := range w.kernel.ifaces {
		for _, life := range i.lives {
			users := make(map[netip.Addr]int)
			for c, n := range life.foreign {
				users[c.Group] += n
				if g := life.groups[c.Group]; g == nil || g.sources[c.Source] < n {
					return fmt.Errorf("index %d: another process's %s was taken", index, c)
				}
			}
			for group, n := range users {
				if life.groups[group].users < n {
					return fmt.Errorf("index %d: %s has %d users, other processes alone are %d", index, group, life.groups[group].users, n)
				}
			}
		}
	}
	return nil
}

// untrue returns a membership whose status the kernel does not bear out. Of
// sockets on which the caller meddled nothing is known.
func (w *world) untrue(meddled map[*fakeSocket]bool) error {
	for _, m := range w.keeper.members {
		if c, own := m.wish.socket.(*fakeConn); m.state != StateJoined || own && meddled[c.socket] {
			continue
		}
		for _, a := range m.attachments {
			for _, c := range m.wish.channels {
				if !w.hears(a.instance.now.Index, c) {
					return fmt.Errorf("%s is joined (%s), and the kernel does not hold %s", m.wish.name, m.reason, c)
				}
			}
		}
	}
	return nil
}

// stuck returns a membership that is degraded though nothing is in its way, or
// whose reattachment is still not measured.
func (w *world) stuck() error {
	for _, m := range w.keeper.members {
		for _, a := range m.attachments {
			if a.replaces != nil && !a.measured {
				return fmt.Errorf("%s: its reattachment is not measured at rest", m.wish.name)
			}
		}
		if m.state != StateDegraded || m.wish.socket != nil {
			continue // a caller's socket is small
		}
		hindered := func(a *attachment) bool {
			i := w.truth[a.instance.now.Index]
			return !i.Up || slices.ContainsFunc(m.wish.families, func(f ifwatch.Family) bool { return !i.Protocol(f).Alive })
		}
		if !slices.ContainsFunc(m.attachments, hindered) {
			return fmt.Errorf("%s is degraded at rest: %s", m.wish.name, m.reason)
		}
	}
	return nil
}

// parkedSockets returns how many of the manager's own sockets are parked.
func (w *world) parkedSockets() int {
	n := 0
	for _, stale := range w.keeper.parking.stale {
		for _, s := range stale {
			if own, ok := s.memberSocket.(*fakeSocket); ok && w.kernel.open_[own] {
				n++
			}
		}
	}
	return n
}

// leaked returns a socket or a probe that nobody needs.
func (w *world) leaked() error {
	pooled, probes := 0, 0
	for _, i := range w.keeper.instances {
		for _, probe := range i.probes {
			if probe != (endedProbe{}) {
				probes++
			}
		}
		for key, p := range i.pools {
			if key.socket == 0 {
				own := p.holder.(*ownSockets)
				pooled += len(own.sockets)
				if own.spare != nil {
					pooled++
				}
			}
		}
		if pooled += len(i.spares); i.now.Up && len(i.spares) > 0 {
			return fmt.Errorf("%s is up and has spare sockets", i.now)
		}
	}
	if open, parked := len(w.kernel.open_), w.parkedSockets(); open != pooled+parked {
		return fmt.Errorf("%d sockets open, %d in pools and %d parked", open, pooled, parked)
	}
	if w.kernel.probes != probes {
		return fmt.Errorf("%d probes open, %d in use", w.kernel.probes, probes)
	}
	return nil
}

// miscounted returns a total that is not what there is.
func (w *world) miscounted() error {
	t := w.keeper.totalsNow()
	states, reattaches := make(map[State]int), t.Reattaches
	for _, s := range States() {
		states[s] = 0
	}
	for _, m := range w.keeper.members {
		states[m.state]++
		for _, a := range m.attachments {
			if a.replaces != nil && !a.measured {
				reattaches-- // its joins are put off
			}
		}
	}
	if diff := cmp.Diff(states, t.Memberships); diff != "" {
		return fmt.Errorf("memberships (-are +counted):\n%s", diff)
	}
	if len(t.Detaches) != len(detachCauses) || len(t.Reannounces) != len(reannounceCauses) {
		return fmt.Errorf("a cause that is not there from the beginning: %v, %v", t.Detaches, t.Reannounces)
	}
	channels := 0
	for _, i := range w.keeper.instances {
		if _, used := w.keeper.used[i]; !used && len(i.pools)+len(i.spares) > 0 {
			return fmt.Errorf("%s is in use, and not looked at", i.now.Name)
		}
		for _, p := range i.pools {
			for e := range p.entries.all() {
				if e.isJoined() {
					channels++
				}
			}
		}
	}
	if t.Channels != channels || t.Sockets != len(w.kernel.open_) {
		return fmt.Errorf("%d channels and %d sockets counted, there are %d and %d", t.Channels, t.Sockets, channels, len(w.kernel.open_))
	}
	if n := t.ReattachTimes.Count(); n != reattaches {
		return fmt.Errorf("%d reattachments were measured, of %d", n, reattaches)
	}
	return nil
}

// outOfLine returns what is wished for, is not tried, and has no turn to wait
// for; or what is wrong with the line's books.
func (w *world) outOfLine() error {
	if w.spins {
		return errors.New("it wakes for what it has just done")
	}
	l := w.keeper.line
	inLine := make(map[*entry]bool)
	if l != nil {
		for _, b := range l.batches {
			for _, e := range b.entries {
				if e.inLine {
					inLine[e] = true
				}
			}
		}
		if len(inLine) != l.left || l.pace.waiting.Load() != int64(l.left) {
			return fmt.Errorf("%d channels in line, %d and %d counted", len(inLine), l.left, l.pace.waiting.Load())
		}
		mayGo := func(b *batch) bool {
			return !w.keeper.isOver(b) && b.mayGo(w.now) && slices.ContainsFunc(b.entries, func(e *entry) bool { return e.inLine })
		}
		if l.left > 0 && l.nextTurn().IsZero() && slices.ContainsFunc(l.batches, mayGo) {
			return fmt.Errorf("%d channels in line, and nothing wakes", l.left)
		}
		if l.granted != 0 {
			return fmt.Errorf("%d joins are kept from others", l.granted)
		}
	}
	for _, i := range w.keeper.instances {
		for _, p := range i.pools {
			for e := range p.entries.all() {
				tried := e.order != 0 || slices.Contains(p.added, e) || slices.Contains(p.refused, e)
				if tried == inLine[e] {
					return fmt.Errorf("%s on %s: tried %t, in line %t", e.channel, i.now, tried, inLine[e])
				}
			}
		}
	}
	return nil
}

// untold returns a membership whose state is another by now than was told, though
// a step has ended. Of what was refused and is in line again it is told later, and
// of what is made in portions.
func (w *world) untold() error {
	again := func(a *attachment) bool {
		for _, f := range bothFamilies {
			if _, cut := w.keeper.cut[a.pools.of(f)]; cut {
				return true
			}
		}
		return w.keeper.line != nil && slices.ContainsFunc(w.keeper.line.batches, func(b *batch) bool {
			return b.owner == nil && a.pools.of(b.pool.family) == b.pool
		})
	}
	for _, m := range w.keeper.members {
		if slices.ContainsFunc(m.attachments, again) {
			continue
		}
		if state, reason := w.keeper.stateOf(m); state != m.state {
			return fmt.Errorf("%s was told to be %s (%s), and is %s (%s)", m.wish.name, m.state, m.reason, state, reason)
		}
	}
	return nil
}

// misplaced returns a rule and an instance of which it is not known whether the
// one is near the other.
func (w *world) misplaced() error {
	for _, i := range w.keeper.instances {
		for _, r := range w.keeper.rules {
			_, known := i.near[r]
			if near := r.rules.Selector.Match(i.now).Result() != reattach.Reject; near != known || near != r.near[i.now.ID] {
				return fmt.Errorf("%s is near %s: %t, but the instance says %t and the rule %t", i.now, r.rules.Selector, near, known, r.near[i.now.ID])
			}
		}
		for r := range i.near {
			if len(r.members) == 0 {
				return fmt.Errorf("%s is near a rule that is gone", i.now)
			}
		}
	}
	return nil
}
