package membership

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/reattach"
)

// longestLost bounds how many lost instances a membership remembers.
const longestLost = 64

// history is what, besides its rule, decides where a membership goes. Members
// of equal history get one decision.
type history struct {
	attached, lost ifwatch.ID
}

// decision is where the members of one history are to be attached, and why.
type decision struct {
	lost       []ifwatch.Interface // what it was decided for
	candidates []reattach.Candidate
	chosen     []ifwatch.ID
}

// settle judges the members of a rule and attaches and detaches them as the
// verdicts say. Nothing is joined or left before flush.
func (k *keeper) settle(r *rule, now time.Time) {
	if len(r.members) == 1 {
		for m := range r.members {
			k.settleOne(m, now)
		}
		return
	}
	decided := make(decisions)
	for m := range r.members {
		k.settleAlike(m, decided, now)
	}
}

// decisions are those of one step, for members of one rule.
type decisions map[history]decision

// settleAlike is settleOne, but that members of equal history are decided for
// once.
func (k *keeper) settleAlike(m *member, decided decisions, now time.Time) {
	k.endWindow(m, now)
	h, alike := m.history()
	d, known := decided[h]
	if !alike || !known || !slices.EqualFunc(d.lost, m.lost, ifwatch.Interface.Equal) {
		d = k.decide(m, now)
		if alike {
			decided[h] = d
		}
	}
	k.carryOut(m, d, now)
}

// settleOne is settle for a single member.
func (k *keeper) settleOne(m *member, now time.Time) {
	k.endWindow(m, now)
	k.carryOut(m, k.decide(m, now), now)
}

// history returns the member's history, and false where it has too much of it
// to be like another's.
func (m *member) history() (history, bool) {
	var h history
	if len(m.attachments) > 1 || len(m.lost) > 1 || len(m.reattached) > 0 || len(m.approved) > 0 || len(m.resumed) > 0 || m.ended != "" {
		return h, false
	}
	for _, a := range m.attachments {
		h.attached = a.instance.now.ID
	}
	for _, l := range m.lost {
		h.lost = l.ID
	}
	return h, true
}

// decide is pure but for reading the instances.
func (k *keeper) decide(m *member, now time.Time) decision {
	if m.ended != "" {
		return decision{}
	}
	ids := make([]ifwatch.ID, 0, len(m.rule.near)+len(m.attachments))
	for id := range m.rule.near {
		ids = append(ids, id)
	}
	for _, a := range m.attachments {
		ids = append(ids, a.instance.now.ID)
	}
	for id := range m.resumed {
		if k.goesOn(m, id) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	return k.decideAmong(m, ids, now)
}

func (k *keeper) decideAmong(m *member, ids []ifwatch.ID, now time.Time) decision {
	d := decision{lost: m.lost}
	lost := k.lostNext(m)
	reattached := slices.Clip(m.reattached)
	for _, id := range ids {
		c := reattach.Candidate{Interface: k.instances[id].now, Attached: m.attachedTo(id) != nil || k.goesOn(m, id)}
		if !c.Attached {
			v := m.rule.rules.Judge(m.rule.families, lost, c.Interface)
			if m.isResumed(id) {
				v.Replaces = 0 // it was there all the time
			}
			c.Verdict = m.rule.rules.Hold(v, id, k.circumstances(m, id, reattached, now))
			if m.rule.rules.Attach == reattach.AttachAll && c.Verdict.Result() == reattach.Accept && c.Verdict.Replaces != 0 {
				reattached = append(reattached, now) // each takes one of what the limit allows
			}
		}
		d.candidates = append(d.candidates, c)
	}
	d.chosen = m.rule.rules.Choose(d.candidates)
	return d
}

// lostNext returns what is lost once the attachments have ended that no longer
// match: what takes their place in the same step is held against them.
func (k *keeper) lostNext(m *member) []ifwatch.Interface {
	lost := slices.Clip(m.lost)
	if len(m.resumed) > 0 { // what goes on is not lost
		lost = slices.DeleteFunc(slices.Clone(lost), func(l ifwatch.Interface) bool {
			return k.goesOn(m, l.ID) && !m.rule.rules.Leaves(k.instances[l.ID].now)
		})
	}
	for _, a := range m.attachments {
		if m.rule.rules.Leaves(a.instance.now) {
			lost = append(lost, *a.seen)
		}
	}
	if m.rule.rules.Attach == reattach.AttachOne {
		lost = lost[max(0, len(lost)-1):]
	}
	return lost
}

func (m *member) attachedTo(id ifwatch.ID) *attachment {
	for _, a := range m.attachments {
		if a.instance.now.ID == id {
			return a
		}
	}
	return nil
}

// carryOut leaves what was not chosen and attaches to what was.
func (k *keeper) carryOut(m *member, d decision, now time.Time) {
	for _, a := range slices.Clone(m.attachments) {
		if !slices.Contains(d.chosen, a.instance.now.ID) {
			k.leave(a, CauseMismatch, "no longer matches: "+m.rule.rules.Selector.Match(a.instance.now).Reason(), now)
		}
	}
	k.loseResumed(m, d)
	k.noteSettling(m, d, now)
	if k.attachChosen(m, d, now) && (len(m.settling) > 0 || m.rule.rules.Attach == reattach.AttachAll) {
		k.settleOne(m, now) // less is lost now: the others are held against something else, or nothing
		return
	}
	k.schedule(m, d, now)
	if len(m.attachments) > 0 {
		if m.state != StateJoined { // the interface may have to do with it
			k.touch(m)
		}
		return
	}
	idle, reason := k.judgedIdle(m, d)
	if idle != m.idle || reason != m.idleReason {
		k.touch(m)
	}
	m.idle, m.idleReason = idle, reason
}

// loseResumed notes that what was attached before is left, where it was not chosen
// again.
func (k *keeper) loseResumed(m *member, d decision) {
	for _, id := range slices.Sorted(maps.Keys(m.resumed)) {
		if !k.goesOn(m, id) || slices.Contains(d.chosen, id) {
			continue
		}
		delete(m.resumed, id)
		if at := slices.IndexFunc(m.lost, func(l ifwatch.Interface) bool { return l.ID == id }); at >= 0 {
			left := m.lost[at]
			m.previous = &left
		}
	}
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
	m.lost = slices.DeleteFunc(slices.Clone(m.lost), func(l ifwatch.Interface) bool {
		if l.ID != c.Verdict.Replaces && l.ID != i.now.ID {
			return false
		}
		was := l
		if l.ID == c.Verdict.Replaces {
			a.replaces = &was
		}
		if l.ID == i.now.ID {
			a.before = &was
		}
		return true
	})
	delete(m.resumed, i.now.ID)
	if m.rule.rules.Attach == reattach.AttachOne {
		m.lost = nil
	}
	m.attachments = append(m.attachments, a)
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
		if a.pools[f] != nil || !goesOn && m.rule.rules.Ready(f, i.now).Result() != reattach.Accept {
			continue
		}
		k.probe(i, f) // before the first join
		p := k.pool(i, f, m, orNone(a.replaces).Index)
		if p == nil {
			continue
		}
		p.users++
		k.line.wish(a, p, m.wish.byFamily[f], now)
		a.pools[f] = p
		k.touch(m)
		if what, cause := unwatched(f, orNone(a.before), i.now); goesOn && slices.Contains(m.wish.reannounce.On, what) {
			k.askAnnounce(a, f, cause)
		}
	}
	a.resumed = nil
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
			m.ended = socketUseless + err.Error()
			if isClosed(err) {
				m.ended = socketClosed
			}
			k.touch(m)
			return nil
		}
		key.socket = socket.cookie()
	}
	if p := i.pools[key]; p != nil {
		return p
	}
	ended := func() bool { return i.ended(f) }
	var h holder
	if socket != nil {
		caller := newCallerSocket(k.kernel, f, socket, i.now.Index, lostIndex, k.parking, ended)
		caller.keep = m.wish.keep
		h = caller
	} else {
		own := newOwnSockets(k.kernel, f, i.now.Index, k.parking, ended)
		own.spare = i.takeSpare(f)
		k.takeOver(i, f, own)
		h = own
	}
	p := newPool(key, h)
	i.pools[key] = p
	return p
}

// leave ends an attachment on an instance that lives.
func (k *keeper) leave(a *attachment, cause Cause, reason string, now time.Time) {
	for _, f := range a.families() {
		a.pools[f].users--
		a.pools[f].unwish(a.member.wish.byFamily[f])
	}
	k.detached(a, *a.seen, cause, reason, now)
}

// detached notes that an attachment has ended, whatever became of its
// channels. healthy is the instance as the member remembers it.
func (k *keeper) detached(a *attachment, healthy ifwatch.Interface, cause Cause, reason string, now time.Time) {
	m, id := a.member, healthy.ID
	m.attachments = slices.DeleteFunc(m.attachments, func(x *attachment) bool { return x == a })
	delete(a.instance.attachments, a)
	m.previous = &healthy
	m.lost = append(m.lost, healthy)
	if now.Equal(m.lostAt) { // which of those lost at once is the last is not for the order of events to say
		slices.SortFunc(m.lost, func(a, b ifwatch.Interface) int { return cmp.Compare(a.ID, b.ID) })
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
	k.publish(Event{Time: now, Type: EventDetached, Membership: m.wish.name, Interface: healthy.Name, Instance: id, Cause: cause, Reason: reason})
	k.touch(m)
}

// judgedIdle is the state of a member if it has no attachments, and why.
func (k *keeper) judgedIdle(m *member, d decision) (State, string) {
	if m.ended == "" && k.endsNow(m) {
		m.ended = "policy never: " + m.lost[len(m.lost)-1].String() + " is gone"
	}
	if m.ended != "" {
		return StateEnded, m.ended
	}
	if len(m.settling) > 0 {
		return StateSettling, m.settlingReason(d)
	}
	reason := reasonFor(d.candidates)
	if slices.ContainsFunc(d.candidates, func(c reattach.Candidate) bool { return c.Verdict.Result() == reattach.Held }) {
		return StateHeld, reason
	}
	if k.absent != "" {
		reason = k.absent
	}
	if reason == "" {
		reason = "no interface matches " + m.rule.rules.Selector.String()
	}
	if m.previous != nil {
		return StateDetached, reason
	}
	return StateWaiting, reason
}

// endsNow reports whether nothing is attached and the policy lets nothing take
// the place of what was.
func (k *keeper) endsNow(m *member) bool {
	lives := func(l ifwatch.Interface) bool { return k.instances[l.ID] != nil }
	return m.rule.rules.Policy.Kind == reattach.PolicyNever &&
		len(m.lost) > 0 && len(m.attachments) == 0 && !slices.ContainsFunc(m.lost, lives)
}

// reasonFor puts the verdicts on instances that were not accepted in words.
func reasonFor(candidates []reattach.Candidate) string {
	var parts []string
	for _, c := range candidates {
		if v := c.Verdict; v.Result() != reattach.Accept {
			parts = append(parts, c.Interface.String()+": "+v.Reason())
		}
	}
	return joinReasons(parts)
}

// longestReason bounds how many interfaces a reason names.
const longestReason = 4

func joinReasons(parts []string) string {
	if more := len(parts) - longestReason; more > 0 {
		parts = append(parts[:longestReason:longestReason], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(parts, "; ")
}
