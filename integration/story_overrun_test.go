package integration

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/internal/testnet/wire"
	"github.com/ssmd-project/ssmd/membership"
)

const tinyBuffer = 4 << 10

// overrun floods the watcher with changes until it loses some, and does
// something while it can only begin anew, or stands at the gate to do so: it
// will hear nothing of that.
func (s *stage) overrun(g *gate, do func()) {
	s.t.Helper()
	ok(s.t, s.Near.Add(testnet.Bridge("br0"), testnet.Up))
	g.shut()
	defer g.open()
	s.flood()
	do()
	g.open()
	s.events.wait(s.t, membership.EventResynced, membership.CauseKernel)
}

// flood returns once the watcher has lost messages, or stands at the gate for
// such a loss before, with its socket closed. It asks for hundreds of
// changes at once, so that the kernel tells of them faster than anyone reads.
func (s *stage) flood() {
	s.t.Helper()
	index, err := s.Near.Index("br0")
	ok(s.t, err)
	var changes []byte
	for i := range 500 {
		change := nl.NewNetlinkRequest(unix.RTM_NEWLINK, 0)
		link := nl.NewIfInfomsg(unix.AF_UNSPEC)
		link.Index = int32(index)
		change.AddData(link)
		change.AddData(nl.NewRtAttr(unix.IFLA_IFALIAS, fmt.Append(nil, "alias ", i%2)))
		changes = append(changes, change.Serialize()...)
	}
	ok(s.t, s.Near.Do(func() error {
		socket, err := nl.GetNetlinkSocketAt(netns.None(), netns.None(), unix.NETLINK_ROUTE)
		if err != nil {
			return err
		}
		defer socket.Close()
		for s.listening() {
			if s.ctx.Err() != nil {
				return fmt.Errorf("no overrun: %w", s.ctx.Err())
			}
			if err := unix.Sendto(socket.GetFd(), changes, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
				return err
			}
		}
		return nil
	}))
}

// listening tells whether somebody here hears of links and has lost nothing.
func (s *stage) listening() (listening bool) {
	s.t.Helper()
	const groups, drops = 3, 8 // columns
	ok(s.t, s.Near.Do(func() error {
		b, err := os.ReadFile("/proc/thread-self/net/netlink")
		for line := range strings.Lines(string(b)) {
			fields := strings.Fields(line)
			subscribed, _ := strconv.ParseUint(fields[groups], 16, 32) // the header is no number
			listening = listening || subscribed != 0 && fields[drops] == "0"
		}
		return err
	}))
	return listening
}

// Events are lost, and among them those of an interface that was re-created
// with the index it had, which a dump cannot show. The membership ends up on
// the new life, and nobody else's there is harmed.
func TestStoryOverrunHidesAnotherLife(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		for name, again := range f.sameIndex() {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				l := newLab(t, f)
				g := newGate(l.Near)
				s := onStage(l, ifwatch.Options{Within: g.Do, ReceiveBuffer: tinyBuffer}, f.feed())
				s.wait("feed", membership.StateJoined)
				receiver := s.fed()
				s.hears(receiver)
				from := 0
				var neighbour *testnet.Receiver
				s.overrun(g, func() {
					from = len(s.capture.Reports())
					again(l)
					neighbour = l.listener(f.channel)
				})
				s.reattached(1)
				s.reports(from, wire.AllowNewSources)
				s.wantUsers(2)
				s.hears(neighbour)
				ok(t, neighbour.Close())
				s.wantUsers(1)
				s.hears(receiver)
			})
		}
	})
}

// Events are lost, and nothing had happened to the interface: the membership
// is not touched.
func TestStoryOverrunTouchesNothing(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		g := newGate(l.Near)
		s := onStage(l, ifwatch.Options{Within: g.Do, ReceiveBuffer: tinyBuffer}, f.feed())
		s.wait("feed", membership.StateJoined)
		s.settled(s.capture)
		receiver := s.fed()
		s.hears(receiver)
		s.quietly(func() { s.undisturbed(func() { s.overrun(g, func() {}) }) })
		s.wantUsers(1)
		s.hears(receiver)
	})
}

// Events are lost over and over, and the interface gets a new life somewhere
// among them.
func TestStoryOverrunAllAlong(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		const changes = 1000
		l := newLab(t, f)
		s := onStage(l, ifwatch.Options{ReceiveBuffer: tinyBuffer}, f.feed())
		s.wait("feed", membership.StateJoined)
		ok(t, s.Near.Add(testnet.Bridge("br0"), testnet.Up))
		for i := range changes {
			ok(t, s.Near.Set("br0", testnet.Alias(fmt.Sprint(i))))
			if i == changes/2 {
				l.again()
			}
		}
		s.caughtUp()
		s.events.wait(t, membership.EventResynced, membership.CauseKernel)
		s.reattached(1)
		s.wantUsers(1)
		s.hears(s.fed())
	})
}
