package membership

import (
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// fakeKernel behaves as the kernel was measured to: entries of a socket are of
// (index, group), whichever life they were made in; leaving or closing one
// takes a user from the life that has the index at that time.
type fakeKernel struct {
	ifaces     map[int]*fakeIface
	maxGroups  int
	maxSources int
	granted    int                  // joins and changes of sources
	open_      map[*fakeSocket]bool // the manager's own
	left       leftBehind
	probes     int            // open ones
	sockets    int            // opened so far
	joins      []Channel      // in their order
	leaves     []Channel      // likewise; closing leaves too
	refuse     error          // every join, while set
	refuseOnly *Channel       // if set, no other
	refuseOpen error          // every socket, while set
	joining    func()         // called before each join, where it is set
	hidden     bool           // nothing is there to probe
	queriers   map[int]string // old ones
	blind      bool           // filters are not listed
	down       bool           // all interfaces are, and their filters not listed
	leaving    bool           // all interfaces are about to go, and listed no more
	gap        time.Duration  // of every rejoin
}

// fakeIface is one life of an index, with the lives of the protocols on it.
type fakeIface struct {
	name    string
	renames int
	lives   map[ifwatch.Family]*fakeLife
}

// fakeLife is one life of a protocol at an index.
type fakeLife struct {
	iface   *fakeIface
	groups  map[netip.Addr]*fakeGroup
	foreign map[Channel]int // joined by other processes
	dead    bool
}

type fakeGroup struct {
	users   int
	sources map[netip.Addr]int
}

func newFakeKernel() *fakeKernel {
	return &fakeKernel{ifaces: make(map[int]*fakeIface), maxGroups: 3, maxSources: 2, open_: make(map[*fakeSocket]bool)}
}

func (k *fakeKernel) begin(index int, name string) {
	k.ifaces[index] = &fakeIface{name: name, lives: make(map[ifwatch.Family]*fakeLife)}
	for _, f := range bothFamilies {
		k.beginProtocol(index, f)
	}
}

func (k *fakeKernel) beginProtocol(index int, f ifwatch.Family) {
	i := k.ifaces[index]
	i.lives[f] = &fakeLife{iface: i, groups: make(map[netip.Addr]*fakeGroup), foreign: make(map[Channel]int)}
}

func (k *fakeKernel) endProtocol(index int, f ifwatch.Family) {
	if life := k.ifaces[index].lives[f]; life != nil {
		life.dead = true
	}
	delete(k.ifaces[index].lives, f)
}

func (k *fakeKernel) end(index int) {
	for _, f := range bothFamilies {
		k.endProtocol(index, f)
	}
	delete(k.ifaces, index)
}

func (k *fakeKernel) rename(index int, name string) {
	k.ifaces[index].name = name
	k.ifaces[index].renames++
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
	if l == nil {
		return false
	}
	g := l.groups[c.Group]
	return g != nil && g.sources[c.Source] > 0
}

// foreignJoin is what another process does, on a socket of its own.
func (l *fakeLife) foreignJoin(c Channel) {
	l.foreign[c]++
	l.add(c, true)
}

func (k *fakeKernel) open(f ifwatch.Family) (holdingSocket, error) {
	if k.refuseOpen != nil {
		return nil, k.refuseOpen
	}
	s := k.socket(f)
	k.open_[s] = true
	return s, nil
}

func (k *fakeKernel) socket(f ifwatch.Family) *fakeSocket {
	k.sockets++
	return &fakeSocket{kernel: k, family: f, number: cookie(k.sockets), entries: make(map[fakeEntryKey]*fakeEntry)}
}

func (k *fakeKernel) caller(f ifwatch.Family, c syscall.Conn) (callersMemberSocket, error) {
	conn := c.(*fakeConn)
	if conn.unusable != nil {
		return nil, conn.unusable
	}
	if conn.socket.closed {
		return nil, net.ErrClosed
	}
	return fakeCaller{conn.socket, f, conn}, nil
}

func (k *fakeKernel) limits(err error, _ ifwatch.Family) string {
	if fullness(err) {
		return "fake=3"
	}
	return ""
}

func (k *fakeKernel) probe(name string, f ifwatch.Family) lifeProbe {
	for _, i := range k.ifaces {
		if life := i.lives[f]; i.name == name && life != nil && !k.hidden {
			k.probes++
			return &fakeProbe{k, life, i.renames}
		}
	}
	return endedProbe{}
}

type fakeProbe struct {
	kernel  *fakeKernel
	life    *fakeLife
	renames int
}

func (p *fakeProbe) ended() bool { return p.life.dead || p.life.iface.renames != p.renames }
func (p *fakeProbe) close()      { p.kernel.probes-- }

// life returns the life of a protocol at an index, nil where there is none.
func (k *fakeKernel) life(index int, f ifwatch.Family) *fakeLife {
	if i := k.ifaces[index]; i != nil {
		return i.lives[f]
	}
	return nil
}

func (k *fakeKernel) netns() uint64 { return 0 }

func (k *fakeKernel) place() string { return "here" }

func (k *fakeKernel) warmUp(ifwatch.Family)   {}
func (k *fakeKernel) leftBehind() *leftBehind { return &k.left }

// rob is what another process does that closes a stale socket of a former life
// which had the group: a user goes, with its sources.
func (l *fakeLife) rob(c Channel) { l.drop(c.Group, []netip.Addr{c.Source}, true) }

func (k *fakeKernel) groups(f ifwatch.Family) (ifwatch.Groups, error) {
	groups := ifwatch.Groups{Users: make(map[ifwatch.GroupKey]int), Up: make(map[int]bool), OldQueriers: k.queriers}
	for index, i := range k.ifaces {
		if life := i.lives[f]; life != nil {
			groups.Up[index] = !k.leaving && !k.down
			for group, g := range life.groups {
				groups.Users[ifwatch.GroupKey{Index: index, Group: group}] = g.users
			}
		}
	}
	if k.leaving {
		clear(groups.Users)
	}
	return groups, nil
}

func (k *fakeKernel) filters(f ifwatch.Family, visit func(ifwatch.Filter)) (bool, error) {
	for index, i := range k.ifaces {
		if life := i.lives[f]; life != nil && !k.blind && !k.leaving && !k.down {
			for group, g := range life.groups {
				for source := range g.sources {
					visit(ifwatch.Filter{Index: index, Group: group, Source: source})
				}
			}
		}
	}
	return !k.blind, nil
}

func (p *fakeProbe) handle() (handle, bool) { return handle{number: 1}, true }
