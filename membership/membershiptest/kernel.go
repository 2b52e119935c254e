package membershiptest

import (
	"net"
	"syscall"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/membership/internal/hook"
)

// kernel is a host as its managers see it.
type kernel struct{ host *Host }

func (k kernel) Open(f ifwatch.Family) (hook.Socket, error) {
	k.host.mu.Lock()
	defer k.host.mu.Unlock()
	return k.host.newSocket(f), nil
}

// Caller knows a connection again. Its memberships are those of both families.
func (k kernel) Caller(f ifwatch.Family, conn syscall.Conn) (hook.Socket, error) {
	if isClosed(conn) {
		return nil, net.ErrClosed
	}
	h := k.host
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.callers[conn]
	if s == nil {
		s = h.newSocket(f)
		s.closed = func() bool { return isClosed(conn) }
		h.callers[conn] = s
	}
	of := *s // the entries are shared
	of.family = f
	return &of, nil
}

func isClosed(conn syscall.Conn) bool {
	raw, err := conn.SyscallConn()
	return err != nil || raw.Control(func(uintptr) {}) != nil
}

func (k kernel) Groups(f ifwatch.Family) ifwatch.Groups {
	h := k.host
	h.mu.Lock()
	defer h.mu.Unlock()
	groups := ifwatch.Groups{Users: make(map[ifwatch.GroupKey]int), Up: make(map[int]bool)}
	for index, l := range h.interfaces {
		p := l.protocols[f]
		if p == nil {
			continue
		}
		groups.Up[index] = l.now.Up
		for group, users := range p.users {
			groups.Users[ifwatch.GroupKey{Index: index, Group: group}] = users
		}
	}
	return groups
}

func (k kernel) Filters(f ifwatch.Family) (all []ifwatch.Filter) {
	h := k.host
	h.mu.Lock()
	defer h.mu.Unlock()
	for index, l := range h.interfaces {
		p := l.protocols[f]
		if p == nil || !l.now.Up {
			continue
		}
		for c := range p.joined {
			all = append(all, ifwatch.Filter{Index: index, Group: c.Group, Source: c.Source})
		}
	}
	return all
}

// Life ends with a rename too, as that of the kernel's file does.
func (k kernel) Life(name string, f ifwatch.Family) (ended func() bool) {
	h := k.host
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.find(name)
	if l == nil || l.protocols[f] == nil {
		return func() bool { return true }
	}
	p, renames := l.protocols[f], l.now.Renames
	return func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return p.dead || l.now.Renames != renames
	}
}
