package integration

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/membership"
	"github.com/ssmd-project/ssmd/reattach"
)

// gate stands before a namespace. While it is shut, whoever wants to enter
// waits: a manager that opens a socket, a watcher that begins anew.
type gate struct {
	n       *testnet.Namespace
	waiting chan struct{} // receives when the first one waits

	mu     sync.Mutex
	opened chan struct{} // closed by open; nil while the gate is open
}

func newGate(n *testnet.Namespace) *gate { return &gate{n: n, waiting: make(chan struct{}, 1)} }

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.opened = make(chan struct{})
	select {
	case <-g.waiting: // for an earlier time
	default:
	}
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.opened != nil {
		close(g.opened)
	}
	g.opened = nil
}

// Do enters the namespace.
func (g *gate) Do(f func() error) error {
	g.mu.Lock()
	opened := g.opened
	g.mu.Unlock()
	if opened != nil {
		select {
		case g.waiting <- struct{}{}:
		default:
		}
		<-opened
	}
	return g.n.Do(f)
}

// blindly does something that the manager sees only when all of it is over: it
// waits at the gate meanwhile, with a membership that has nothing to do with
// it.
func (s *stage) blindly(g *gate, do func()) {
	s.t.Helper()
	ok(s.t, s.Near.Add(testnet.Bridge("br0"), testnet.Up))
	s.caughtUp()
	g.shut()
	defer g.open()
	put := make(chan error, 1)
	go func() {
		other := onEth0("other", channelOf(s.spare(900)))
		other.Rules.Selector = reattach.ByName("br0")
		put <- s.manager.Put(s.ctx, other)
	}()
	<-g.waiting
	do()
	s.allRead()
	g.open()
	ok(s.t, <-put)
	ok(s.t, s.manager.Delete(s.ctx, "other"))
	ok(s.t, s.Near.Set("br0", testnet.Deleted))
}

// allRead waits until no message waits at any netlink socket of the near side
// that has subscribed to something: the watcher has merged what it was told.
func (s *stage) allRead() {
	s.t.Helper()
	ok(s.t, testnet.Eventually(s.ctx, func() error {
		return s.Near.Do(func() error {
			list, err := os.ReadFile("/proc/thread-self/net/netlink")
			for line := range strings.Lines(string(list)) {
				const groups, rmem = 3, 4
				if f := strings.Fields(line); f[0] != "sk" && f[groups] != "00000000" && f[rmem] != "0" {
					return fmt.Errorf("messages wait: %s", line)
				}
			}
			return err
		})
	}))
}

// protocolAgain ends IPv6 on eth0 and brings it back.
func (l *lab) protocolAgain() {
	l.t.Helper()
	ok(l.t, l.Near.Set("eth0", testnet.MTU(smallMTU), testnet.MTU(normalMTU), testnet.Address("2001:db8:1::2/64")))
}

// sameIndex are the ways to another life at the same index.
func (f family) sameIndex() map[string]func(*lab) {
	ways := map[string]func(*lab){"re-created": (*lab).again, "moved": (*lab).awayAndBack}
	if f.name == "v6" {
		ways["protocol"] = (*lab).protocolAgain
	}
	return ways
}

// cleanSockets re-creates eth0 once more, and wants everything of the lives
// before to be gone: as many sockets as there were.
func (s *stage) cleanSockets(want int, reattaches uint64) {
	s.t.Helper()
	ok(s.t, s.Recreate("eth0", testnet.Veth{}))
	s.reattached(reattaches)
	s.wantUsers(1)
	wantSockets(s.t, s.Near, want)
}

// Somebody else joins on a new life of the index before the manager knows of
// it. What the manager does with what it had there takes nothing from them.
func TestStoryNeverTheThief(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		for name, again := range f.sameIndex() {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				l := newLab(t, f)
				g := newGate(l.Near)
				s := onStage(l, ifwatch.Options{Within: g.Do}, f.feed())
				s.wait("feed", membership.StateJoined)
				sockets := socketsIn(t, l.Near)
				var neighbour *testnet.Receiver
				s.blindly(g, func() {
					again(l)
					neighbour = l.listener(f.channel)
				})
				s.reattached(1)
				s.wantUsers(2)
				s.hears(neighbour)
				ok(t, neighbour.Close())
				s.wantUsers(1)
				s.hears(s.fed())
				s.cleanSockets(sockets+1, 2) // the last receiver's is there too
			})
		}
	})
}

// The same with the caller's own socket, which must be kept, and another
// process.
func TestStoryOwnSocketNeverTheThief(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		for name, again := range f.sameIndex() {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				l := newLab(t, f)
				g := newGate(l.Near)
				r, feed := l.own()
				s := onStage(l, ifwatch.Options{Within: g.Do}, feed)
				s.wait("feed", membership.StateJoined)
				sockets := socketsIn(t, l.Near)
				var neighbour process
				s.blindly(g, func() {
					again(l)
					neighbour = newProcess(t, l.Near, s.index(), f.channel)
				})
				s.reattached(1)
				s.wantUsers(2)
				s.hears(r)
				ok(t, s.manager.Delete(s.ctx, "feed"))
				s.wantUsers(1)
				s.hears(s.fed()) // by the neighbour
				neighbour.end()
				s.wantUsers(0)
				s.apply(feed)
				s.wait("feed", membership.StateJoined)
				s.hears(r)
				s.cleanSockets(sockets+1, 1)
			})
		}
	})
}
