package demo

import (
	"context"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sync/errgroup"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/internal/pause"
	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/membership"
	"github.com/ssmd-project/ssmd/reattach"
)

const (
	eth0  = "eth0"
	far0  = "far0"               // the sender's end of its cable
	feed  = "feed"               // the membership
	every = 2 * time.Millisecond // between two datagrams of a channel
)

// groups are where the receivers listen. Each has one of its own: on an index
// that came back, the stale entry of the plain receiver's socket would let it
// hear what the manager joined there.
var groups = [2]netip.AddrPort{
	plain: netip.MustParseAddrPort("232.1.1.1:5000"),
	held:  netip.MustParseAddrPort("232.1.1.2:5000"),
}

func channel(w which) membership.Channel {
	return membership.Channel{Source: testnet.Source4, Group: groups[w].Addr()}
}

// wish is the membership that the manager holds.
func wish() membership.Membership {
	return membership.Membership{
		Name:     feed,
		Channels: []membership.Channel{channel(held)},
		Rules: reattach.Rules{
			Selector: reattach.ByName(eth0),
			Policy:   reattach.Policy{Kind: reattach.PolicySame, Same: []reattach.Attribute{reattach.Subnet}},
		},
	}
}

// lab is the private network with all that runs in it.
type lab struct {
	network   *testnet.Network
	sender    *testnet.Sender
	receivers [2]*testnet.Receiver
	manager   *membership.Manager
}

// newLab makes the network, with its first eth0, and opens the sockets.
func newLab() (_ *lab, err error) {
	l := &lab{}
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	first := testnet.Veth{MAC: firstLife.mac, Addresses: []string{firstLife.address}}
	if l.network, err = testnet.NewNetwork(first); err != nil {
		return nil, err
	}
	l.sender = testnet.NewSender(l.network.Far, testnet.SenderConfig{To: groups[:], Every: every})
	configs := [2]testnet.ReceiverConfig{
		plain: {Listen: groups[plain], Join: eth0, Source: testnet.Source4, OwnOnly: true},
		held:  {Listen: groups[held]},
	}
	for w, c := range configs {
		if l.receivers[w], err = testnet.NewReceiver(l.network.Near, c); err != nil {
			return nil, err
		}
	}
	l.manager = membership.New(membership.Options{Watch: ifwatch.Options{Within: l.network.Near.Do}})
	return l, nil
}

// connect makes eth0 with its cable to the sender. What was sent until it was
// set up nobody could receive: it returns the counts and the time of then.
func (l *lab) connect(e life, index int) (before reading, up time.Time, err error) {
	mac, err := net.ParseMAC(e.mac)
	if err != nil {
		return reading{}, time.Time{}, err
	}
	link := &netlink.Veth{LinkAttrs: netlink.NewLinkAttrs(), PeerName: far0, PeerNamespace: netlink.NsFd(int(l.network.Far.Handle()))}
	link.LinkAttrs.Name, link.LinkAttrs.HardwareAddr = eth0, mac
	if e.sameIndex {
		link.LinkAttrs.Index = index
	}
	if err := l.network.Near.Add(link, testnet.Address(e.address)); err != nil {
		return reading{}, time.Time{}, err
	}
	source := netip.PrefixFrom(testnet.Source4, 24).String()
	if err := l.network.Far.Set(far0, testnet.Address(source), testnet.Up); err != nil {
		return reading{}, time.Time{}, err
	}
	before, up = l.read(), time.Now()
	return before, up, l.network.Near.Set(eth0, testnet.Up)
}

// start runs all but the sender in a group.
func (l *lab) start(ctx context.Context, group *errgroup.Group) {
	group.Go(func() error { return l.manager.Run(ctx) })
	for _, r := range l.receivers {
		group.Go(func() error { return r.Run(ctx) })
	}
}

// read returns the counts of this moment.
func (l *lab) read() reading {
	var r reading
	for w := range r {
		r[w].sent = l.sender.Sent(groups[w])
	}
	for w := range r {
		stats := l.receivers[w].Stats()
		r[w].received, r[w].last = stats.Count, stats.Last
	}
	return r
}

// drain returns the counts as of this moment, with all received that was sent
// until then and is not lost.
func (l *lab) drain(ctx context.Context) reading {
	const onTheWay = 20 * time.Millisecond
	now := l.read()
	pause.For(ctx, onTheWay)
	after := l.read()
	for w := range after {
		after[w].sent = now[w].sent
	}
	return after
}

func (l *lab) close() {
	for _, r := range l.receivers {
		if r != nil {
			_ = r.Close()
		}
	}
	if l.network != nil {
		l.network.Close()
	}
}
