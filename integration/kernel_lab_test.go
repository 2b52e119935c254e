package integration

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/internal/testnet/wire"
	"golang.org/x/sys/unix"
)

// family is IPv4 or IPv6 with addresses to test it with.
type family struct {
	name    string
	level   int
	channel channel // the one whose fate is looked at
	marker  channel // proves that time went by
	other   channel // the channel's group, from another source that never sends
}

const port = 5000

var (
	v4 = family{"v4", unix.IPPROTO_IP,
		channel{testnet.Source4, netip.MustParseAddr("232.1.1.1")},
		channel{testnet.Source4, netip.MustParseAddr("232.1.2.2")},
		channel{netip.MustParseAddr("10.1.0.99"), netip.MustParseAddr("232.1.1.1")},
	}
	v6 = family{"v6", unix.IPPROTO_IPV6,
		channel{testnet.Source6, netip.MustParseAddr("ff3e::8000:1")},
		channel{testnet.Source6, netip.MustParseAddr("ff3e::8000:2")},
		channel{netip.MustParseAddr("2001:db8:1::99"), netip.MustParseAddr("ff3e::8000:1")},
	}
)

func familyOf(a netip.Addr) family {
	if a.Is4() {
		return v4
	}
	return v6
}

// spare returns a channel of the family that nothing else uses.
func (f family) spare(i int) channel {
	if f.level == unix.IPPROTO_IP {
		return channel{f.channel.source, netip.AddrFrom4([4]byte{232, 2, byte(i >> 8), byte(i)})}
	}
	group := f.channel.group.As16()
	group[13], group[14], group[15] = 2, byte(i>>8), byte(i)
	return channel{f.channel.source, netip.AddrFrom16(group)}
}

// bothFamilies runs the test for each family, in parallel.
func bothFamilies(t *testing.T, test func(*testing.T, family)) {
	t.Parallel()
	for _, f := range []family{v4, v6} {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			test(t, f)
		})
	}
}

// lab is a network in which a source sends the family's channel and then its
// marker, over and over.
type lab struct {
	*testnet.Network
	t   testing.TB
	ctx context.Context
	family
}

func newLab(t testing.TB, f family) *lab {
	t.Helper()
	l := &lab{newNetwork(t), t, patience(t), f}
	newSender(t, l.Network, netip.AddrPortFrom(f.channel.group, port), netip.AddrPortFrom(f.marker.group, port))
	return l
}

// index returns eth0's.
func (l *lab) index() int { return l.indexOf("eth0") }

func (l *lab) indexOf(name string) int {
	l.t.Helper()
	i, err := l.Near.Index(name)
	ok(l.t, err)
	return i
}

func (l *lab) socket() *socket {
	l.t.Helper()
	return newSocket(l.t, l.Near, l.family)
}

// joined returns a socket that is a member of the channel on eth0.
func (l *lab) joined() *socket {
	l.t.Helper()
	s := l.socket()
	ok(l.t, s.join(l.index(), l.channel))
	return s
}

// listener returns a receiver of a channel that hears nothing but what it
// joined on eth0.
func (l *lab) listener(c channel) *testnet.Receiver {
	l.t.Helper()
	return newReceiver(l.t, l.Near, testnet.ReceiverConfig{
		Listen: netip.AddrPortFrom(c.group, port), Join: "eth0", Source: c.source, OwnOnly: true,
	})
}

// fed returns a receiver of the channel's group that joins nothing.
func (l *lab) fed() *testnet.Receiver {
	l.t.Helper()
	return newReceiver(l.t, l.Near, testnet.ReceiverConfig{Listen: netip.AddrPortFrom(l.channel.group, port)})
}

// hears waits until datagrams that are sent from now on arrive.
func (l *lab) hears(r *testnet.Receiver) {
	l.t.Helper()
	ok(l.t, r.WaitNew(l.ctx, 3))
}

// deaf shows that r hears nothing: the marker, which is sent just after the
// channel and joined on eth0 anew, arrives a number of times meanwhile.
func (l *lab) deaf(r *testnet.Receiver) {
	l.t.Helper()
	l.deafBy(r, l.listener(l.marker))
}

// deafBy is deaf with a receiver of the marker that there is already.
func (l *lab) deafBy(r, marker *testnet.Receiver) {
	l.t.Helper()
	ok(l.t, marker.WaitNew(l.ctx, 3)) // delivery works, also where that takes a while
	start := time.Now()
	ok(l.t, marker.WaitNew(l.ctx, 12))
	if s := r.Stats(); s.Sent.After(start) {
		l.t.Errorf("a datagram that was sent %v after the beginning was delivered", s.Sent.Sub(start))
	}
}

// users returns how many users a group has on an interface, as the kernel
// sees it.
func (l *lab) users(ifindex int, group netip.Addr) int {
	l.t.Helper()
	return usersOf(l.t, l.Near, ifindex, group)
}

func usersOf(t testing.TB, n *testnet.Namespace, ifindex int, group netip.Addr) int {
	t.Helper()
	groups, err := testnet.Groups(n)
	ok(t, err)
	return groups[ifindex][group]
}

// wantUsers checks the channel's group on eth0. A socket that was just closed is
// open for a moment yet in a child process that another test is about to start.
func (l *lab) wantUsers(want int) {
	l.t.Helper()
	ok(l.t, testnet.Eventually(l.ctx, func() error {
		if got := l.users(l.index(), l.channel.group); got != want {
			return fmt.Errorf("%s has %d users on eth0, want %d", l.channel.group, got, want)
		}
		return nil
	}))
}

// again makes another life of eth0 with the same index.
func (l *lab) again() {
	l.t.Helper()
	ok(l.t, l.Recreate("eth0", testnet.Veth{Index: l.index()}))
}

// believes checks that a socket thinks it is a member of the channel.
func (l *lab) believes(s *socket, ifindex int) {
	l.t.Helper()
	mode, sources, err := s.filter(ifindex, l.channel.group)
	if mode != unix.MCAST_INCLUDE || sources != 1 || err != nil {
		l.t.Errorf("the filter is mode %d with %d sources, %v; want INCLUDE with one", mode, sources, err)
	}
}

// clock makes a second link and returns a receiver on it, to count datagrams
// while eth0 is down.
func (l *lab) clock() *testnet.Receiver {
	l.t.Helper()
	ok(l.t, l.Connect(testnet.Veth{Name: "eth1", PeerName: "far1",
		Addresses: []string{"10.7.0.2/24"}, PeerAddresses: []string{"10.7.0.1/24"}}))
	tick := channel{netip.MustParseAddr("10.7.0.1"), netip.MustParseAddr("232.7.7.7")}
	to := netip.AddrPortFrom(tick.group, port)
	s := testnet.NewSender(l.Far, testnet.SenderConfig{
		To: []netip.AddrPort{to}, Interface: "far1", Source4: tick.source, Every: 5 * time.Millisecond})
	background(l.t, s.Run)
	return newReceiver(l.t, l.Near, testnet.ReceiverConfig{Listen: to, Join: "eth1", Source: tick.source})
}

// reportsGo is how many ticks of the clock are enough for a report that is due
// at once, and for its repetition where the interval is set to be short.
const reportsGo = 100

// wantErrno checks what a call said.
func wantErrno(t testing.TB, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s said %v, want %v", what, got, want)
	}
}

// mark joins a channel that nobody used on eth0 and waits for its report:
// whatever the kernel had to report before is out by then. It returns how many
// reports there are.
func (l *lab) mark(c *wire.Capture, i int) int {
	l.t.Helper()
	marker := l.spare(i)
	ok(l.t, l.socket().join(l.index(), marker))
	_, err := c.Wait(l.ctx, func(r wire.Report) bool {
		return r.Is(wire.AllowNewSources, marker.source, marker.group)
	})
	ok(l.t, err)
	return len(c.Reports())
}

// reported waits for the number of reports of the channel.
func (l *lab) reported(c *wire.Capture, kind wire.RecordType, times int) {
	l.t.Helper()
	ok(l.t, testnet.Eventually(l.ctx, func() error {
		if got := c.Count(l.isReport(kind)); got < times {
			return fmt.Errorf("%d %s reports of %s, want %d", got, kind, l.channel, times)
		}
		return nil
	}))
}

func (l *lab) isReport(kind wire.RecordType) func(wire.Report) bool {
	return func(r wire.Report) bool { return r.Is(kind, l.channel.source, l.channel.group) }
}

// silent checks that there was no report of the channel between two counts.
func silent(t testing.TB, c *wire.Capture, group netip.Addr, from, to int) {
	t.Helper()
	for _, r := range c.Reports()[from:to] {
		if r.Group == group {
			t.Errorf("heard %v", r)
		}
	}
}
