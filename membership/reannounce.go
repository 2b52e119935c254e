package membership

import (
	"fmt"
	"slices"
	"time"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// The network forgets: a cable in another switch port, a switch that was
// restarted, a virtual machine on another host. The kernel tells it nothing
// until the next general query, 125 s later by default (RFC 3376, section
// 8.2). To leave and join again at once makes the kernel send
// ALLOW_NEW_SOURCES, and no BLOCK_OLD_SOURCES: the leave's report waits some
// milliseconds, and the join takes its place.

// Trigger is what makes a manager announce memberships anew.
type Trigger string

// The triggers.
const (
	OnCarrier     Trigger = "carrier"      // the carrier came back, or the interface was set up again
	OnNotifyPeers Trigger = "notify_peers" // the kernel says that peers are to be told: a migrated machine, a failover
	OnAddress     Trigger = "address"      // the first address, or another one, from which reports go out
)

// Triggers returns all triggers.
func Triggers() []Trigger { return []Trigger{OnCarrier, OnNotifyPeers, OnAddress} }

// Reannounce says when a membership is announced anew. While that happens the
// kernel drops what arrives on the channel, for some microseconds.
type Reannounce struct {
	On    []Trigger     // nil means all; empty and not nil means none
	Every time.Duration // after the join or the last time; zero means never
}

// Normalize returns it with its defaults spelled out. A list that is so already
// is not copied.
func (r Reannounce) Normalize() Reannounce {
	if r.On == nil {
		return Reannounce{On: []Trigger{OnAddress, OnCarrier, OnNotifyPeers}, Every: r.Every}
	}
	if ascending(r.On) {
		return r
	}
	r.On = append([]Trigger{}, slices.Compact(slices.Sorted(slices.Values(r.On)))...)
	return r
}

// ascending reports whether a list is sorted, with each of it once.
func ascending(on []Trigger) bool {
	for i := 1; i < len(on); i++ {
		if on[i-1] >= on[i] {
			return false
		}
	}
	return true
}

// ShortestEvery keeps reports from becoming a flood.
const ShortestEvery = time.Second

func (r Reannounce) validate() error {
	for _, t := range r.On {
		if t != OnCarrier && t != OnNotifyPeers && t != OnAddress {
			return fmt.Errorf("reannounce: unknown trigger %q, want carrier, notify_peers or address", string(t))
		}
	}
	if r.Every != 0 && r.Every < ShortestEvery {
		return fmt.Errorf("reannounce: every %s, want at least %s, or 0 for never", r.Every, ShortestEvery)
	}
	return nil
}

// Equal reports whether two say the same.
func (r Reannounce) Equal(o Reannounce) bool {
	if r.Every == o.Every && r.On != nil && slices.Equal(r.On, o.On) {
		return true
	}
	r, o = r.Normalize(), o.Normalize()
	return r.Every == o.Every && slices.Equal(r.On, o.On)
}

// trigger returns what has happened to an interface between two looks that
// concerns a family, and its cause in events; nothing where nothing did.
func trigger(f ifwatch.Family, was, now ifwatch.Interface) (Trigger, Cause) {
	switch {
	case was.Returns.Ups != now.Returns.Ups:
		return OnCarrier, CauseUp
	case was.Returns.Carriers != now.Returns.Carriers:
		return OnCarrier, CauseCarrier
	case was.Returns.Notices != now.Returns.Notices:
		return OnNotifyPeers, CauseNotifyPeers
	case otherReporter(f, was, now):
		return OnAddress, CauseAddress
	}
	return "", ""
}

// unwatched is trigger for two looks between which nobody looked. Whether the
// interface was set up anew meanwhile, or peers were to be told, nobody knows.
func unwatched(f ifwatch.Family, was, now ifwatch.Interface) (Trigger, Cause) {
	switch {
	case !was.Up && now.Up:
		return OnCarrier, CauseUp
	case !was.Carrier && now.Carrier, was.Returns.Carriers < now.Returns.Carriers:
		return OnCarrier, CauseCarrier
	case otherReporter(f, was, now):
		return OnAddress, CauseAddress
	}
	return "", ""
}

// otherReporter reports whether reports go out from another address than
// before. That IPv6 gets its first one the kernel tells the network itself.
func otherReporter(f ifwatch.Family, was, now ifwatch.Interface) bool {
	before, after := reporters(f, was), reporters(f, now)
	if len(after) == 0 || len(before) == 0 {
		return f == ifwatch.IPv4 && len(after) > len(before)
	}
	return slices.ContainsFunc(before, func(a ifwatch.Address) bool { return !slices.Contains(after, a) })
}

// reporters returns the addresses from which reports may go out.
func reporters(f ifwatch.Family, i ifwatch.Interface) []ifwatch.Address {
	return slices.DeleteFunc(slices.Clone(i.Addresses), func(a ifwatch.Address) bool {
		ip := a.Prefix.Addr()
		return ifwatch.FamilyOf(ip) != f || a.Tentative || f == ifwatch.IPv6 && !ip.IsLinkLocalUnicast()
	})
}

// notice remembers what of a change makes the attachments on an instance be
// announced anew.
func (k *keeper) notice(i *instance, was ifwatch.Interface, now time.Time) {
	if was.Returns.Ups != i.now.Returns.Ups && len(i.pools) > 0 {
		k.suspicious = true // while it is down, losses are not seen
		for _, p := range i.pools {
			p.mayBeDeaf = true
		}
	}
	for _, f := range bothFamilies {
		what, cause := trigger(f, was, i.now)
		if what == "" {
			continue
		}
		for a := range i.attachments {
			if slices.Contains(a.member.wish.reannounce.On, what) {
				k.askAnnounce(a, f, cause, now)
			}
		}
	}
}

// askAnnounce has the channels of a family on an attachment announced as soon
// as reports go out, and the kernel was seen to hold them: who leaves what was
// lost takes a user from the group, which may be somebody else.
func (k *keeper) askAnnounce(a *attachment, f ifwatch.Family, cause Cause, now time.Time) {
	if a.pools.of(f) == nil {
		return // joined later, and announced thereby
	}
	k.suspicious = k.suspicious || !now.Before(k.auditAgain())
	if a.announce == nil {
		a.announce = make(map[ifwatch.Family]Cause, 1)
	}
	a.announce[f] = cause
	a.handed.set(f, nil) // from the beginning, where that is under way
	k.announcing[a] = struct{}{}
}

// canReport reports whether a report of a family would go out. Before an
// interface is running the kernel would tell IPv6's network of a leave.
func canReport(f ifwatch.Family, i ifwatch.Interface) bool {
	return i.Up && i.Carrier && (i.Running || f == ifwatch.IPv4)
}

// announceAsked hands the pools what is to be announced now.
func (k *keeper) announceAsked() {
	if k.isSilent() {
		return
	}
	for a := range k.announcing {
		if !a.alive() {
			delete(k.announcing, a)
			continue
		}
		for f := range a.announce {
			if p := a.pools.of(f); p != nil && p != a.handed.of(f) && canReport(f, a.instance.now) {
				p.announce(a.member.wish.channelsOf(f))
				a.handed.set(f, p)
			}
		}
	}
}

// announces reports whether channels of a pool are to be announced anew.
func (i *instance) announces(p *pool) bool {
	for a := range i.users(p) {
		if _, asked := a.announce[p.family]; asked {
			return true
		}
	}
	return false
}

func (a *attachment) alive() bool { return slices.Contains(a.member.attachments, a) }

// reportAnnounced tells of what the pools announced.
func (k *keeper) reportAnnounced(now time.Time) {
	if k.isSilent() {
		return
	}
	for a := range k.announcing {
		if !a.alive() {
			continue
		}
		var cause Cause
		late := 0
		for f, c := range a.announce {
			p := a.pools.of(f)
			switch {
			case p == nil: // joined later, and announced thereby
			case canReport(f, a.instance.now) && len(p.announcing) == 0:
				cause, late = c, late+p.late
			default:
				continue
			}
			delete(a.announce, f)
			a.handed.set(f, nil)
		}
		if len(a.announce) == 0 {
			delete(k.announcing, a)
		}
		if cause != "" {
			k.announced(a, cause, late, now)
		}
	}
}

func (k *keeper) announced(a *attachment, cause Cause, late int, now time.Time) {
	a.announcedAt = now
	k.everyDue = time.Time{}
	a.member.counters.Reannounces++
	k.totals.Reannounces[cause]++
	reason := a.instance.now.String() + ": announced anew"
	if a.isUnsourced() && a.instance.querier == "V2" { // older ones know no leave
		reason += "; by IGMPv2 the network heard that the groups were left, and some milliseconds later that they were joined"
	}
	if late > 0 {
		reason += fmt.Sprintf("; for %d channels it took so long that the network may have heard that they were left, and then joined", late)
	}
	k.tell(Event{Time: now, Type: EventReannounced, Membership: a.member.wish.name, Interface: a.instance.now.Name,
		Instance: a.instance.now.ID, Index: a.instance.now.Index, Cause: cause, Reason: reason})
}

// reannounce announces a membership by request. It reports the interfaces on
// which that is put off.
func (k *keeper) reannounce(m *member, now time.Time) (putOff []ifwatch.Interface) {
	k.beginRequest(now)
	for _, a := range m.attachments {
		for _, f := range a.families() {
			k.askAnnounce(a, f, CauseRequest, now)
			if !canReport(f, a.instance.now) {
				putOff = append(putOff, a.instance.now)
			}
		}
	}
	k.endRequest(now)
	for _, a := range m.attachments {
		for f := range a.announce { // they wait for an audit
			k.asked = append(k.asked, a.pools.of(f))
		}
	}
	return putOff
}

// isToAnnounce reports whether a pool is to be handed something to announce.
func (k *keeper) isToAnnounce(p *pool) bool {
	for a := range k.announcing {
		for f := range a.announce {
			if a.pools.of(f) == p && a.handed.of(f) != p && canReport(f, a.instance.now) {
				return true
			}
		}
	}
	return false
}

// announcePeriodic asks for what is due by now.
func (k *keeper) announcePeriodic(now time.Time) {
	if len(k.periodic) == 0 || now.Before(k.nextEvery()) {
		return
	}
	for m := range k.periodic {
		for _, a := range m.attachments {
			if now.Before(a.nextEvery()) {
				continue
			}
			a.announcedAt = now // not again at once where it is put off
			for _, f := range a.families() {
				k.askAnnounce(a, f, CauseEvery, now)
			}
		}
	}
	k.everyDue = time.Time{}
}

// nextEvery returns when the next periodic announcement is due, zero for never.
func (k *keeper) nextEvery() time.Time {
	if !k.everyDue.IsZero() {
		return k.everyDue
	}
	for m := range k.periodic {
		for _, a := range m.attachments {
			k.everyDue = earlier(k.everyDue, a.nextEvery())
		}
	}
	return k.everyDue
}

func (a *attachment) nextEvery() time.Time { return a.announcedAt.Add(a.member.wish.reannounce.Every) }
