package membership

import (
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/ifwatch"
)

type fakeEntryKey struct {
	index int
	group netip.Addr
}

// fakeEntry is a group on a socket. Its life is for tests to know.
type fakeEntry struct {
	sources []netip.Addr
	life    *fakeLife
}

// fakeSocket is one socket.
type fakeSocket struct {
	kernel  *fakeKernel
	family  ifwatch.Family // whose life occupied asks for
	number  cookie
	entries map[fakeEntryKey]*fakeEntry
	closed  bool
}

func (s *fakeSocket) life(index int, group netip.Addr) *fakeLife {
	return s.kernel.life(index, ifwatch.FamilyOf(group))
}

func (s *fakeSocket) join(index int, c Channel) error {
	if s.kernel.joining != nil {
		s.kernel.joining()
	}
	k, life := s.kernel, s.life(index, c.Group)
	key := fakeEntryKey{index, c.Group}
	e := s.entries[key]
	switch {
	case s.closed:
		return net.ErrClosed
	case life == nil:
		return unix.ENODEV
	case k.refuse != nil && (k.refuseOnly == nil || *k.refuseOnly == c):
		return k.refuse
	case e == nil && len(s.entries) == k.maxGroups:
		return unix.ENOBUFS
	case e != nil && slices.Contains(e.sources, c.Source):
		return unix.EADDRNOTAVAIL
	case e != nil && len(e.sources) == k.maxSources:
		return unix.ENOBUFS
	}
	k.granted++
	k.joins = append(k.joins, c)
	newUser := e == nil
	if newUser {
		e = &fakeEntry{life: life}
		s.entries[key] = e
	}
	e.sources = append(e.sources, c.Source)
	if e.life == life { // a source added to an entry of a dead life is for nothing
		life.add(c, newUser)
	}
	return nil
}

func (s *fakeSocket) setSources(index int, group netip.Addr, sources []netip.Addr) error {
	k, life := s.kernel, s.life(index, group)
	e := s.entries[fakeEntryKey{index, group}]
	switch {
	case s.closed:
		return net.ErrClosed
	case life == nil:
		return unix.ENODEV
	case e == nil:
		return unix.EINVAL
	case k.refuse != nil && (k.refuseOnly == nil || k.refuseOnly.Group == group):
		return k.refuse
	case len(sources) > k.maxSources:
		return unix.ENOBUFS
	}
	k.granted++
	for _, source := range sources {
		if !slices.Contains(e.sources, source) {
			k.joins = append(k.joins, Channel{source, group})
			if e.life == life {
				life.add(Channel{source, group}, false)
			}
		}
	}
	if e.life == life {
		gone := slices.DeleteFunc(slices.Clone(e.sources), func(a netip.Addr) bool { return slices.Contains(sources, a) })
		life.drop(group, gone, false)
	}
	e.sources = slices.Clone(sources)
	return nil
}

func (s *fakeSocket) leave(index int, c Channel) error {
	life := s.life(index, c.Group)
	key := fakeEntryKey{index, c.Group}
	e := s.entries[key]
	switch {
	case s.closed:
		return net.ErrClosed
	case life == nil:
		return unix.ENODEV
	case e == nil || !slices.Contains(e.sources, c.Source):
		return unix.EADDRNOTAVAIL
	}
	s.kernel.leaves = append(s.kernel.leaves, c)
	e.sources = slices.DeleteFunc(slices.Clone(e.sources), func(a netip.Addr) bool { return a == c.Source })
	life.drop(c.Group, []netip.Addr{c.Source}, len(e.sources) == 0)
	if len(e.sources) == 0 {
		delete(s.entries, key)
	}
	return nil
}

func (s *fakeSocket) leaveGroup(index int, group netip.Addr) error {
	key := fakeEntryKey{index, group}
	e := s.entries[key]
	switch {
	case s.closed:
		return net.ErrClosed
	case e == nil:
		return unix.EADDRNOTAVAIL
	}
	for _, source := range e.sources {
		s.kernel.leaves = append(s.kernel.leaves, Channel{source, group})
	}
	if life := s.life(index, group); life != nil {
		life.drop(group, e.sources, true)
	}
	delete(s.entries, key)
	return nil
}

func (s *fakeSocket) occupied(index int) bool { return s.kernel.life(index, s.family) != nil }

func (s *fakeSocket) close() {
	delete(s.kernel.open_, s)
	for key := range s.entries {
		_ = s.leaveGroup(key.index, key.group)
	}
	s.closed = true
}

// stale reports whether the socket has an entry of a dead life.
func (s *fakeSocket) stale() bool {
	for _, e := range s.entries {
		if e.life.dead {
			return true
		}
	}
	return false
}

// fakeConn is one of perhaps several names of a caller's socket.
type fakeConn struct {
	socket   *fakeSocket
	unusable error
	bound    []int // indexes that it was asked to be bound to
	rebind   error
}

func newFakeConn(k *fakeKernel) *fakeConn { return &fakeConn{socket: k.socket(ifwatch.IPv4)} }

func (*fakeConn) SyscallConn() (syscall.RawConn, error) { return nil, nil }

// fakeCaller is a caller's socket as used for one family.
type fakeCaller struct {
	*fakeSocket
	family ifwatch.Family
	conn   *fakeConn
}

func (s fakeCaller) cookie() cookie          { return s.number }
func (s fakeCaller) occupied(index int) bool { return s.kernel.life(index, s.family) != nil }

func (s fakeCaller) rebind(index, _ int) error {
	s.conn.bound = append(s.conn.bound, index)
	return s.conn.rebind
}

func (s fakeCaller) sources(index int, group netip.Addr) ([]netip.Addr, error) {
	if s.closed {
		return nil, net.ErrClosed
	}
	if e := s.entries[fakeEntryKey{index, group}]; e != nil {
		return slices.Clone(e.sources), nil
	}
	return nil, nil
}

func (s fakeCaller) boundTo() netip.Addr { return netip.Addr{} }

func (s fakeCaller) staleIndex(group netip.Addr, but int) int {
	for key := range s.entries {
		if key.group == group && key.index != but && s.kernel.life(key.index, s.family) == nil {
			return key.index
		}
	}
	return 0
}

func (s *fakeSocket) rejoin(index int, c Channel) (time.Duration, error) {
	if err := s.leave(index, c); err != nil && err != unix.EADDRNOTAVAIL {
		return 0, err
	}
	return s.kernel.gap, s.join(index, c)
}

func (s *fakeSocket) handle() (handle, bool) { return handle{number: uint64(s.number)}, true }
