package membership

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/reattach"
)

// report ends a step: it tells of what the step led to, of the new attachments and
// of the members whose state changed.
func (k *keeper) report(now time.Time) {
	if len(k.touched) > 0 {
		k.noteMemory()
	}
	k.tellHeld()
	k.publishTold()
	for n := 0; n < len(k.touched); n++ {
		k.reportOn(k.touched[n], now)
		k.publishTold()
		k.touched[n].isTouched = false
	}
	k.touched = k.touched[:0]
}

func (k *keeper) reportOn(m *member, now time.Time) {
	if k.members[m.wish.name] != m {
		return
	}
	for _, a := range m.attachments {
		if !k.isUnderWay(a) {
			k.announce(a, now)
		}
		k.measure(a)
		k.reportRefusals(a, now)
	}
	state, reason := k.stateOf(m)
	if state == m.state && reason == m.reason {
		return
	}
	if state != m.state {
		m.since = now
	}
	k.totals.enter(m.state, state)
	m.state, m.reason = state, reason
	e := Event{Time: now, Type: EventState, Membership: m.wish.name, State: state, Cause: m.cause, Reason: reason}
	if len(m.attachments) > 0 && state == StateDegraded {
		e.Cause = CauseKernel
	}
	if len(m.attachments) > 0 {
		e.Interface, e.Instance = m.attachments[0].instance.now.Name, m.attachments[0].instance.now.ID
	}
	k.tell(e)
}

// announce tells of an attachment once, after its joins were made.
func (k *keeper) announce(a *attachment, now time.Time) {
	if a.announced {
		return
	}
	a.announced = true
	m, i := a.member, a.instance.now
	e := Event{Time: now, Type: EventAttached, Membership: m.wish.name, Interface: i.Name, Instance: i.ID, Cause: a.cause, Reason: k.reasons.accepted(a)}
	if a.replaces != nil {
		e.Type = EventReattached
		e.Reason += "; takes the place of " + a.replaces.String()
	}
	if k.isUnderWay(a) {
		e.Reason += "; it ends before all of its channels were joined"
	}
	k.tell(e)
}

// reportRefusals tells of refused joins, not of the same again. That the device
// is gone will be said by its removal.
func (k *keeper) reportRefusals(a *attachment, now time.Time) {
	_, refused, first, err := a.count()
	if refused > a.refused && !errors.Is(err, unix.ENODEV) {
		a.member.counters.Errors += uint64(refused - a.refused)
		k.tell(Event{Time: now, Type: EventError, Membership: a.member.wish.name, Interface: a.instance.now.Name, Instance: a.instance.now.ID,
			Cause: CauseKernel, Reason: fmt.Sprintf("join %s: %s", first, k.explainErrno(err, first.Family()))})
	}
	a.refused = refused
}

// count returns how many channels of an attachment are joined and refused,
// and the first of the refused with its error.
func (a *attachment) count() (joined, refused int, first Channel, err error) {
	for _, f := range a.member.wish.families {
		p := a.pools[f]
		if p == nil {
			continue
		}
		j, r, e := p.count(a.member.wish.byFamily[f])
		joined, refused = joined+j, refused+r
		if e != nil && err == nil {
			first, err = e.channel, e.err
		}
	}
	return joined, refused, first, err
}

func (k *keeper) stateOf(m *member) (State, string) {
	if len(m.attachments) == 0 {
		return m.idle, m.idleReason
	}
	var complete, waiting, degraded []string
	for _, a := range m.attachments {
		joined, refused, first, err := a.count()
		i := a.instance.now
		switch {
		case joined == len(m.wish.channels) && !i.Multicast:
			degraded = append(degraded, i.String()+": its MULTICAST flag is off: the kernel takes every join, and the interface may receive nothing")
		case joined == len(m.wish.channels):
			complete = append(complete, k.reasons.accepted(a)+a.remark())
		case refused > 0:
			degraded = append(degraded, fmt.Sprintf("%s: %d of %d channels not joined: %s: %s",
				i, len(m.wish.channels)-joined, len(m.wish.channels), first, k.explainErrno(err, first.Family())))
		case a.unready() == "" && k.isUnderWay(a):
			waiting = append(waiting, i.String()+" "+a.verdict.Reason()+"; "+k.howFar(a, joined))
		default:
			degraded = append(degraded, i.String()+": "+cmp.Or(a.unready(), "channels not joined: its removal is under way"))
		}
	}
	if len(degraded) > 0 {
		return StateDegraded, joinReasons(degraded)
	}
	if len(waiting) > 0 {
		return StateSettling, joinReasons(waiting)
	}
	return StateJoined, joinReasons(complete)
}

// reasons are words that many members share: made once, and kept once.
type reasons struct {
	verdict *reattach.Check // the first of the verdict that they are for, which nobody changes
	id      ifwatch.ID      // of the instance, likewise
	name    string          // that it had
	words   string
}

// accepted says why a member is attached where it is.
func (r *reasons) accepted(a *attachment) string {
	i, checks := &a.instance.now, a.verdict.Checks
	if len(checks) == 0 {
		return i.String() + " " + a.verdict.Reason()
	}
	if verdict := &checks[0]; r.verdict != verdict || r.id != i.ID || r.name != i.Name {
		*r = reasons{verdict, i.ID, i.Name, i.String() + " " + a.verdict.Reason()}
	}
	return r.words
}

// remark says what is not as it should be though everything is joined.
func (a *attachment) remark() string {
	if !a.isUnsourced() {
		return ""
	}
	return "; a querier of IGMP" + strings.ToLower(a.instance.querier) + " was heard: reports name no source, and the network may send every one"
}

// isUnsourced reports whether an older IGMP is spoken, whose reports name no
// source.
func (a *attachment) isUnsourced() bool {
	return a.instance.querier != "" && a.pools[ifwatch.IPv4] != nil
}

// unready says why the channels of a family are not even tried, nothing where
// they are.
func (a *attachment) unready() string {
	var parts []string
	for _, f := range a.member.wish.families {
		if f == ifwatch.IPv6 && !a.instance.now.Up {
			parts = append(parts, "IPv6 channels not joined: the interface is down, and a join would make it deaf once it is up")
			continue
		}
		if a.pools[f] == nil {
			parts = append(parts, fmt.Sprintf("%s channels not joined: %s", f, a.member.rule.rules.Ready(f, a.instance.now).Reason()))
		}
	}
	return strings.Join(parts, "; ")
}

// explainErrno names the error and, where a limit is behind it, the limit.
func (k *keeper) explainErrno(err error, f ifwatch.Family) string {
	text := err.Error()
	var errno syscall.Errno
	if errors.As(err, &errno) {
		text += " (" + unix.ErrnoName(errno) + ")"
	}
	if limits := k.kernel.limits(err, f); limits != "" {
		text += ", limits: " + limits
	}
	return text
}

func (k *keeper) statusOfAll() []Status {
	all := make([]Status, 0, len(k.members))
	for _, name := range slices.Sorted(maps.Keys(k.members)) {
		status, _ := k.statusOf(name)
		all = append(all, status)
	}
	return all
}

func (k *keeper) statusOf(name string) (Status, bool) {
	m := k.members[name]
	if m == nil {
		return Status{}, false
	}
	s := Status{
		Name:                m.wish.name,
		Channels:            len(m.wish.channels),
		Since:               m.since,
		Attachments:         make([]Attachment, 0, len(m.attachments)),
		Counters:            m.counters,
		LastReattachSeconds: m.lastReattach,
	}
	s.State, s.Reason = k.stateNow(m)
	for _, a := range m.attachments {
		joined, refused, _, _ := a.count()
		s.Joined = max(s.Joined, joined)
		s.Attachments = append(s.Attachments, Attachment{
			Interface: a.instance.now.Name, Index: a.instance.now.Index, Instance: a.instance.now.ID, Netns: k.netns,
			Joined: joined, Failed: refused, Since: a.since,
		})
	}
	if len(m.attachments) > 1 && s.Joined < s.Channels {
		s.Joined = m.joinedAnywhere()
	}
	if p := m.previous; p != nil {
		s.Previous = &Previous{Instance: p.ID, Name: p.Name, MAC: p.MAC, Subnet: slices.Concat([]netip.Prefix{}, p.Prefixes(ifwatch.IPv4), p.Prefixes(ifwatch.IPv6))}
	}
	return s, true
}

// joinedAnywhere counts the channels joined on at least one attachment.
func (m *member) joinedAnywhere() int {
	n := 0
	for _, c := range m.wish.channels {
		if slices.ContainsFunc(m.attachments, func(a *attachment) bool { return a.joined(c) }) {
			n++
		}
	}
	return n
}

func (a *attachment) joined(c Channel) bool {
	p := a.pools[c.Family()]
	return p != nil && p.entries.get(c).isJoined()
}

func (k *keeper) explain(name string, now time.Time) (Explanation, bool) {
	status, found := k.statusOf(name)
	if !found {
		return Explanation{}, false
	}
	m := k.members[name]
	x := Explanation{Status: status, Channels: m.channelStatus(), Interfaces: []InterfaceExplanation{}}
	d := decision{}
	if m.ended == "" {
		d = k.decideAmong(m, slices.Sorted(maps.Keys(k.instances)), now)
		m.showSettling(d)
	}
	for _, c := range d.candidates {
		x.Interfaces = append(x.Interfaces, InterfaceExplanation{
			Interface: c.Interface.Name, Index: c.Interface.Index, Instance: c.Interface.ID, Attached: c.Attached, Verdict: c.Verdict,
		})
	}
	slices.SortFunc(x.Interfaces, func(a, b InterfaceExplanation) int { return cmp.Compare(a.Index, b.Index) })
	return x, true
}

func (m *member) channelStatus() []ChannelStatus {
	all := []ChannelStatus{}
	for _, c := range m.wish.channels {
		if len(m.attachments) == 0 {
			all = append(all, ChannelStatus{Channel: c})
		}
		for _, a := range m.attachments {
			s := ChannelStatus{Channel: c, Interface: a.instance.now.Name, Instance: a.instance.now.ID, Joined: a.joined(c)}
			if p := a.pools[c.Family()]; p != nil && p.entries.get(c).err != nil {
				s.Error = p.entries.get(c).err.Error()
			}
			all = append(all, s)
		}
	}
	return all
}

func (k *keeper) interfaces() []InterfaceStatus {
	all := make([]InterfaceStatus, 0, len(k.instances))
	for _, i := range k.instances {
		all = append(all, InterfaceStatus{Interface: i.now, Netns: k.netns, Drained: i.drained})
	}
	slices.SortFunc(all, func(a, b InterfaceStatus) int { return cmp.Compare(a.Index, b.Index) })
	return all
}
