package membership

import (
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// fakeKernel behaves as the kernel was measured to: entries of a socket are of
// (index, group), whichever life they were made in; leaving or closing one
// takes a user from the life that has the index at that time.
type fakeKernel struct {
	lives      map[int]*fakeLife
	maxGroups  int
	maxSources int
	open_      map[*fakeSocket]bool
	joins      int
	leaves     int
	refuse     error // every join, while set
}

// fakeLife is one life of an index.
type fakeLife struct {
	groups  map[netip.Addr]*fakeGroup
	foreign map[Channel]int // joined by other processes
	dead    bool
}

type fakeGroup struct {
	users   int
	sources map[netip.Addr]int
}

func newFakeKernel() *fakeKernel {
	return &fakeKernel{lives: make(map[int]*fakeLife), maxGroups: 3, maxSources: 2, open_: make(map[*fakeSocket]bool)}
}

func (k *fakeKernel) begin(index int) {
	k.lives[index] = &fakeLife{groups: make(map[netip.Addr]*fakeGroup), foreign: make(map[Channel]int)}
}

func (k *fakeKernel) end(index int) {
	k.lives[index].dead = true
	delete(k.lives, index)
}

func (l *fakeLife) add(c Channel, newUser bool) {
	g := l.groups[c.Group]
	if g == nil {
		g = &fakeGroup{sources: make(map[netip.Addr]int)}
		l.groups[c.Group] = g
	}
	if newUser {
		g.users++
	}
	g.sources[c.Source]++
}

// drop takes sources and a user away, whoever brought them.
func (l *fakeLife) drop(group netip.Addr, sources []netip.Addr, user bool) {
	g := l.groups[group]
	if g == nil {
		return
	}
	for _, s := range sources {
		if g.sources[s]--; g.sources[s] <= 0 {
			delete(g.sources, s)
		}
	}
	if user {
		if g.users--; g.users == 0 {
			delete(l.groups, group)
		}
	}
}

// hears reports whether datagrams of the channel reach the host.
func (l *fakeLife) hears(c Channel) bool {
	g := l.groups[c.Group]
	return g != nil && g.sources[c.Source] > 0
}

// foreignJoin is what another process does, on a socket of its own.
func (l *fakeLife) foreignJoin(c Channel) {
	l.foreign[c]++
	l.add(c, true)
}

func (k *fakeKernel) open(f ifwatch.Family) (holdingSocket, error) {
	s := &fakeSocket{kernel: k, entries: make(map[fakeEntryKey][]netip.Addr)}
	k.open_[s] = true
	return s, nil
}

func (k *fakeKernel) caller(_ ifwatch.Family, c syscall.Conn) (callersMemberSocket, error) {
	return c.(*fakeConn).socket, nil
}

func (k *fakeKernel) limits(err error, _ ifwatch.Family) string {
	if fullness(err) {
		return "fake=3"
	}
	return ""
}

func (k *fakeKernel) probe(name string, _ ifwatch.Family) lifeProbe {
	return fakeProbe{k.lives[fakeIndex(name)]}
}

type fakeProbe struct{ life *fakeLife }

func (p fakeProbe) ended() bool { return p.life == nil || p.life.dead }
func (p fakeProbe) close()      {}

type fakeEntryKey struct {
	index int
	group netip.Addr
}

// fakeSocket is one socket.
type fakeSocket struct {
	kernel  *fakeKernel
	entries map[fakeEntryKey][]netip.Addr
	closed  bool
}

func (s *fakeSocket) join(index int, c Channel) error {
	life := s.kernel.lives[index]
	key := fakeEntryKey{index, c.Group}
	sources, has := s.entries[key]
	switch {
	case s.closed:
		return unix.EBADF
	case life == nil:
		return unix.ENODEV
	case s.kernel.refuse != nil:
		return s.kernel.refuse
	case !has && len(s.entries) == s.kernel.maxGroups:
		return unix.ENOBUFS
	}
	for _, source := range sources {
		if source == c.Source {
			return unix.EADDRNOTAVAIL
		}
	}
	if len(sources) == s.kernel.maxSources {
		return unix.ENOBUFS
	}
	s.kernel.joins++
	s.entries[key] = append(sources, c.Source)
	life.add(c, !has)
	return nil
}

func (s *fakeSocket) leave(index int, c Channel) error {
	life := s.kernel.lives[index]
	if life == nil {
		return unix.ENODEV
	}
	key := fakeEntryKey{index, c.Group}
	var rest []netip.Addr
	for _, source := range s.entries[key] {
		if source != c.Source {
			rest = append(rest, source)
		}
	}
	if len(rest) == len(s.entries[key]) {
		return unix.EADDRNOTAVAIL
	}
	s.kernel.leaves++
	life.drop(c.Group, []netip.Addr{c.Source}, len(rest) == 0)
	s.entries[key] = rest
	if len(rest) == 0 {
		delete(s.entries, key)
	}
	return nil
}

func (s *fakeSocket) leaveGroup(index int, group netip.Addr) error {
	key := fakeEntryKey{index, group}
	sources, has := s.entries[key]
	if !has {
		return unix.EADDRNOTAVAIL
	}
	if life := s.kernel.lives[index]; life != nil {
		life.drop(group, sources, true)
	}
	delete(s.entries, key)
	return nil
}

func (s *fakeSocket) occupied(index int) bool { return s.kernel.lives[index] != nil }

func (s *fakeSocket) rebind(int, int) error { return nil }

func (s *fakeSocket) close() {
	s.closed = true
	delete(s.kernel.open_, s)
	for key := range s.entries {
		_ = s.leaveGroup(key.index, key.group)
	}
}

// fakeConn is a caller's socket.
type fakeConn struct{ socket *fakeSocket }

func (*fakeConn) SyscallConn() (syscall.RawConn, error) { return nil, nil }
