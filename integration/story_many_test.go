package integration

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/membership"
)

// roll notes which sources datagrams came from.
type roll struct {
	mu      sync.Mutex
	sources map[netip.Addr]int
}

// newRoll receives on the port of a family's channel, without being a member.
func newRoll(t testing.TB, n *testnet.Namespace, f family) *roll {
	t.Helper()
	network := map[string]string{"v4": "udp4", "v6": "udp6"}[f.name]
	r := &roll{sources: map[netip.Addr]int{}}
	var conn *net.UDPConn
	ok(t, n.Do(func() (err error) {
		conn, err = net.ListenUDP(network, &net.UDPAddr{Port: port})
		return err
	}))
	t.Cleanup(func() { _ = conn.Close() })
	background(t, func(ctx context.Context) error {
		defer context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })()
		b := make([]byte, 64)
		for {
			_, from, err := conn.ReadFromUDPAddrPort(b)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return nil
			}
			if err != nil {
				return err
			}
			r.mu.Lock()
			r.sources[from.Addr().Unmap()]++
			r.mu.Unlock()
		}
	})
	return r
}

// waitAll waits until something came from every source, and from no other,
// since the call.
func (r *roll) waitAll(t testing.TB, want []netip.Addr) {
	t.Helper()
	r.mu.Lock()
	clear(r.sources)
	r.mu.Unlock()
	eventually(t, func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, s := range want {
			if r.sources[s] == 0 {
				return fmt.Errorf("nothing from %s; heard %d of %d sources", s, len(r.sources), len(want))
			}
		}
		if len(r.sources) > len(want) {
			t.Errorf("heard %d sources, want %d", len(r.sources), len(want))
		}
		return nil
	})
}

// countJoined waits until a membership is joined whole.
func (s *stage) countJoined(want int) {
	s.t.Helper()
	status := s.wait("feed", membership.StateJoined)
	if status.Joined != want || status.Channels != want || status.Counters.Errors != 0 {
		s.t.Errorf("%d of %d joined, want %d; %+v", status.Joined, status.Channels, want, status.Counters)
	}
}

// A membership has more groups than one socket takes, with the system's own
// limits.
func TestStorySixtyGroups(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		channels := []membership.Channel{channelOf(f.channel)}
		for i := range 59 {
			channels = append(channels, channelOf(f.spare(1000+i)))
		}
		s := newStage(t, f, onEth0("feed", channels...))
		s.countJoined(60)
		for life := range 3 {
			for _, c := range channels {
				if got := s.users(s.index(), c.Group); got != 1 {
					t.Errorf("%d users of %s in life %d", got, c.Group, life)
				}
			}
			s.again()
			s.reattached(uint64(life + 1))
			s.countJoined(60)
		}
		s.hears(s.fed())
	})
}

// A group has more sources than one socket takes, with the system's own
// limits. Each one's datagrams come.
func TestStoryManySourcesOfOneGroup(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		number, format, bits := 25, "10.1.0.%d", 24
		if f.name == "v6" {
			number, format, bits = 100, "2001:db8:1::%x", 64
		}
		pair := testnet.Veth{PeerAddresses: []string{"10.1.0.1/24", "2001:db8:1::1/64"}}
		var sources []netip.Addr
		var channels []membership.Channel
		for i := range number {
			source := netip.MustParseAddr(fmt.Sprintf(format, 101+i))
			sources = append(sources, source)
			channels = append(channels, membership.Channel{Source: source, Group: f.channel.group})
			pair.PeerAddresses = append(pair.PeerAddresses, netip.PrefixFrom(source, bits).String())
		}
		l := newLab(t, f)
		ok(t, l.Recreate("eth0", pair))
		for _, source := range sources {
			c := testnet.SenderConfig{To: []netip.AddrPort{f.listen()}, Every: 100 * time.Millisecond}
			if f.name == "v4" {
				c.Source4 = source
			} else {
				c.Source6 = source
			}
			background(t, testnet.NewSender(l.Far, c).Run)
		}

		s := onStage(l, noOptions, onEth0("feed", channels...))
		s.countJoined(number)
		heard := newRoll(t, l.Near, f)
		heard.waitAll(t, sources)
		ok(t, l.Recreate("eth0", pair))
		s.reattached(1)
		s.countJoined(number)
		heard.waitAll(t, sources)
	})
}
