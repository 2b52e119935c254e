package membershiptest

import (
	"net/netip"
	"slices"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/membership"
)

// life is one life of an interface.
type life struct {
	now       ifwatch.Interface
	protocols map[ifwatch.Family]*protocol // those that are alive
}

// protocol is one life of a protocol on an interface, with what sockets joined.
type protocol struct {
	dead   bool
	joined map[membership.Channel]int
	users  map[netip.Addr]int
}

var families = []ifwatch.Family{ifwatch.IPv4, ifwatch.IPv6}

func newLife(i ifwatch.Interface) *life {
	l := &life{now: i, protocols: make(map[ifwatch.Family]*protocol)}
	for _, f := range families {
		if i.Protocol(f).Alive {
			l.begin(f)
		}
	}
	return l
}

func (l *life) begin(f ifwatch.Family) {
	l.protocols[f] = &protocol{joined: make(map[membership.Channel]int), users: make(map[netip.Addr]int)}
}

// note counts what a change leaves no other trace of.
func (l *life) note(was ifwatch.Interface) {
	if l.now.Name != was.Name {
		l.now.Renames = was.Renames + 1
	}
	if l.now.Up && !was.Up {
		l.now.Returns.Ups = was.Returns.Ups + 1
	}
	if l.now.Carrier && !was.Carrier {
		l.now.Returns.Carriers = was.Returns.Carriers + 1
	}
	for _, p := range []struct {
		family      ifwatch.Family
		now, before *ifwatch.Protocol
	}{{ifwatch.IPv4, &l.now.IPv4, &was.IPv4}, {ifwatch.IPv6, &l.now.IPv6, &was.IPv6}} {
		p.now.Life = p.before.Life
		switch {
		case p.before.Alive && !p.now.Alive:
			p.now.Life++
			l.protocols[p.family].dead = true
			delete(l.protocols, p.family)
		case p.now.Alive && !p.before.Alive:
			l.begin(p.family)
		}
	}
}

// drop takes channels of a group away, and a user where it is the last of a
// socket: whoever brought them, as the kernel does.
func (p *protocol) drop(group netip.Addr, channels []membership.Channel, last bool) {
	for _, c := range channels {
		if p.joined[c]--; p.joined[c] <= 0 {
			delete(p.joined, c)
		}
	}
	if !last {
		return
	}
	if p.users[group]--; p.users[group] <= 0 {
		delete(p.users, group)
	}
}

// entry is a group on a socket, of the life in which it was joined.
type entry struct {
	life     *protocol
	channels []membership.Channel
}

func (e *entry) has(c membership.Channel) bool { return slices.Contains(e.channels, c) }
