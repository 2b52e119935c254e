package membership

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/ssmd-project/ssmd/ifwatch"
)

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
		State:               m.state,
		Reason:              m.reason,
		Channels:            len(m.wish.channels),
		Since:               m.since,
		Attachments:         make([]Attachment, 0, len(m.attachments)),
		Counters:            m.counters,
		LastReattachSeconds: m.lastReattach,
		Err:                 m.err(),
	}
	if len(m.attachments) > 0 && m.state == StateSettling {
		s.State, s.Reason = k.stateOf(m) // how far it is by now
	}
	for _, a := range m.attachments {
		t := a.count()
		s.Joined = max(s.Joined, t.joined)
		s.Attachments = append(s.Attachments, Attachment{
			Interface: a.instance.now.Name, Index: a.instance.now.Index, Instance: a.instance.now.ID, Netns: k.netns,
			Joined: t.joined, Failed: t.refused, Since: a.since,
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
	p := a.pools.of(c.Family())
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
			if p := a.pools.of(c.Family()); p != nil && p.entries.get(c).err != nil {
				s.Err = p.entries.get(c).err
				s.Error = s.Err.Error()
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
