package membershiptest

import (
	"net"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/membership"
)

// socket is one on the host, the manager's own or a caller's.
type socket struct {
	host    *Host
	family  ifwatch.Family // whose life Occupied asks for
	number  uint64
	entries map[place]*entry
	closed  func() bool // of a caller's connection, nil for the manager's own
}

// place is where a socket has an entry.
type place struct {
	index int
	group netip.Addr
}

func (h *Host) newSocket(f ifwatch.Family) *socket {
	h.sockets++
	return &socket{host: h, family: f, number: h.sockets, entries: make(map[place]*entry)}
}

// protocol returns the life at an index, nil where there is none.
func (h *Host) protocol(index int, f ifwatch.Family) *protocol {
	if l := h.interfaces[index]; l != nil {
		return l.protocols[f]
	}
	return nil
}

// do calls f with the host's lock, unless the connection is closed.
func (s *socket) do(f func() error) error {
	if s.closed != nil && s.closed() {
		return net.ErrClosed
	}
	s.host.mu.Lock()
	defer s.host.mu.Unlock()
	return f()
}

func (s *socket) Join(index int, source, group netip.Addr) error {
	c, at := membership.Channel{Source: source, Group: group}, place{index, group}
	return s.do(func() error {
		p := s.host.protocol(index, c.Family())
		if p == nil {
			return unix.ENODEV
		}
		if err := s.host.refusal(c); err != nil {
			return err
		}
		e := s.entries[at]
		if e != nil && e.has(c) {
			return unix.EADDRNOTAVAIL
		}
		if e == nil {
			e = &entry{life: p}
			s.entries[at] = e
			p.users[group]++
		}
		e.channels = append(e.channels, c)
		if e.life == p { // what is added to a dead entry is for nothing
			p.joined[c]++
		}
		return nil
	})
}

func (h *Host) refusal(c membership.Channel) error {
	if err := h.refused[c]; err != nil {
		return err
	}
	return h.refuseAll
}

func (s *socket) Leave(index int, source, group netip.Addr) error {
	c, at := membership.Channel{Source: source, Group: group}, place{index, group}
	return s.do(func() error {
		p, e := s.host.protocol(index, c.Family()), s.entries[at]
		switch {
		case p == nil:
			return unix.ENODEV
		case e == nil || !e.has(c):
			return unix.EADDRNOTAVAIL
		}
		e.channels = slices.DeleteFunc(e.channels, func(o membership.Channel) bool { return o == c })
		p.drop(group, []membership.Channel{c}, len(e.channels) == 0)
		if len(e.channels) == 0 {
			delete(s.entries, at)
		}
		return nil
	})
}

func (s *socket) LeaveGroup(index int, group netip.Addr) error {
	return s.do(func() error { return s.leaveGroup(place{index, group}) })
}

func (s *socket) leaveGroup(at place) error {
	e := s.entries[at]
	if e == nil {
		return unix.EADDRNOTAVAIL
	}
	if p := s.host.protocol(at.index, ifwatch.FamilyOf(at.group)); p != nil {
		p.drop(at.group, e.channels, true)
	}
	delete(s.entries, at)
	return nil
}

func (s *socket) Sources(index int, group netip.Addr) (sources []netip.Addr, err error) {
	err = s.do(func() error {
		if e := s.entries[place{index, group}]; e != nil {
			for _, c := range e.channels {
				sources = append(sources, c.Source)
			}
		}
		return nil
	})
	return sources, err
}

func (s *socket) Stale(group netip.Addr, but int) (index int) {
	_ = s.do(func() error {
		for at := range s.entries {
			if at.group == group && at.index != but && s.host.protocol(at.index, s.family) == nil {
				index = at.index
			}
		}
		return nil
	})
	return index
}

func (s *socket) Occupied(index int) (occupied bool) {
	_ = s.do(func() error {
		occupied = s.host.protocol(index, s.family) != nil
		return nil
	})
	return occupied
}

func (s *socket) Cookie() uint64 { return s.number }

func (s *socket) Close() {
	_ = s.do(func() error {
		for at := range s.entries {
			_ = s.leaveGroup(at)
		}
		return nil
	})
}
