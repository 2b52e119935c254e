package integration

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/membership"
	"github.com/ssmd-project/ssmd/reattach"
	"golang.org/x/sys/unix"
)

// listening is an application that calls Listen and reads.
type listening struct {
	*lab
	conn *membership.Conn
	last map[netip.Addr]uint64 // number of the last datagram, by the group
	lost uint64
}

func (l *lab) listenConfig() membership.ListenConfig {
	config := membership.ListenConfig{Channels: []membership.Channel{channelOf(l.channel)}, Port: port,
		Rules: reattach.Rules{Selector: reattach.ByName("eth0")}}
	config.Options.Watch.Within = l.Near.Do
	return config
}

func (l *lab) listenWith(config membership.ListenConfig) *listening {
	l.t.Helper()
	conn, err := membership.Listen(l.t.Context(), config)
	ok(l.t, err)
	l.t.Cleanup(func() { _ = conn.Close() })
	return &listening{lab: l, conn: conn, last: make(map[netip.Addr]uint64)}
}

// numbered is a datagram of a testnet.Sender.
type numbered struct {
	membership.Datagram
	number uint64
	sent   time.Time
}

// read returns the next datagram, which must follow the one before it.
func (l *listening) read() (numbered, error) {
	l.t.Helper()
	var b [16]byte
	d, err := l.conn.ReadDatagram(b[:])
	if err != nil {
		return numbered{}, err
	}
	n := numbered{d, binary.BigEndian.Uint64(b[:]), time.Unix(0, int64(binary.BigEndian.Uint64(b[8:])))}
	last := l.last[d.Group]
	if n.number <= last || d.Size != len(b) {
		l.t.Fatalf("datagram %d of %s, of %d bytes, came after %d", n.number, d.Group, d.Size, last)
	}
	if last > 0 {
		l.lost += n.number - last - 1
	}
	l.last[d.Group] = n.number
	return n, nil
}

// hearsNew reads until datagrams come that are sent from now on.
func (l *listening) hearsNew(groups ...netip.Addr) {
	l.t.Helper()
	since, missing := time.Now(), make(map[netip.Addr]bool)
	for _, g := range groups {
		missing[g] = true
	}
	ok(l.t, l.conn.SetReadDeadline(since.Add(20*time.Second)))
	for len(missing) > 0 {
		d, err := l.read()
		if err != nil {
			l.t.Fatalf("%v: nothing of %v", err, missing)
		}
		if d.sent.After(since) {
			delete(missing, d.Group)
		}
	}
}

// reattached waits until the membership was attached again so many times.
func (l *listening) reattached(times uint64) {
	l.t.Helper()
	awaitStatus(l.t, l.ctx, inPlaceOf(times), func() (membership.Status, error) { return l.conn.Status(l.ctx) })
}

// One call receives, in each life of the interface, and leaves nothing when it is
// closed.
func TestStoryListen(t *testing.T) {
	eachLife(t, func(l *lab, again func(*lab)) {
		app := l.listenWith(l.listenConfig())
		app.hearsNew(l.channel.group)
		for n := range 3 {
			again(l)
			app.hearsNew(l.channel.group)
			app.reattached(uint64(n + 1))
			l.wantUsers(1)
		}
		ok(l.t, app.conn.Close())
		l.wantUsers(0)
		_, err := app.read()
		wantErrno(l.t, "a read after Close", err, net.ErrClosed)
	})
}

// Who listens before there is an interface hears once there is one, through
// net.PacketConn alone.
func TestStoryListenBeforeTheInterface(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		ok(t, l.Cut("eth0"))
		app := l.listenWith(l.listenConfig())
		var conn net.PacketConn = app.conn
		b := make([]byte, 100)
		ok(t, conn.SetReadDeadline(time.Now().Add(time.Millisecond)))
		_, _, err := conn.ReadFrom(b)
		wantErrno(t, "a read", err, os.ErrDeadlineExceeded)
		if status, err := app.conn.Status(l.ctx); err != nil || status.State != membership.StateWaiting || status.Err != nil {
			t.Errorf("%+v, %v", status, err)
		}
		ok(t, l.Connect(testnet.Veth{}))
		ok(t, conn.SetReadDeadline(time.Now().Add(20*time.Second)))
		n, from, err := conn.ReadFrom(b)
		ok(t, err)
		if host := from.(*net.UDPAddr).AddrPort().Addr(); n != 16 || host != f.channel.source {
			t.Errorf("%d bytes from %s", n, from)
		}
	})
}

// Several groups on one connection, of which some come and go: what stays loses
// nothing, and nothing comes that was sent elsewhere.
func TestStoryListenToSeveral(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		unicast := netip.AddrPortFrom(nearAddress(f), port)
		newSender(t, l.Network, unicast, netip.AddrPortFrom(f.spare(1).group, port))
		l.listener(f.spare(1)) // another's, on the same interface and port
		config := l.listenConfig()
		config.Channels, config.Share = append(config.Channels, channelOf(f.marker)), membership.ShareAddress
		app := l.listenWith(config)
		app.hearsNew(f.channel.group, f.marker.group)
		for range 3 {
			for _, set := range [][]membership.Channel{
				{channelOf(f.channel)},
				{channelOf(f.channel), channelOf(f.other), channelOf(f.spare(2))},
				config.Channels,
			} {
				delete(app.last, f.marker.group) // it is not wanted all the time
				ok(t, app.conn.SetChannels(l.ctx, set))
				app.hearsNew(f.channel.group)
			}
		}
		app.hearsNew(f.channel.group, f.marker.group)
		if app.lost > 0 || len(app.last) != 2 {
			t.Errorf("%d datagrams were lost, heard %v", app.lost, app.last)
		}
		ok(t, l.Recreate("eth0", testnet.Veth{}))
		app.hearsNew(f.channel.group, f.marker.group)
		if err := app.conn.SetChannels(l.ctx, []membership.Channel{channelOf(familyOf(otherFamily(f)).channel)}); err == nil {
			t.Error("it takes channels of the other family")
		}
	})
}

func nearAddress(f family) netip.Addr {
	if f.name == v4.name {
		return netip.MustParseAddr("10.1.0.2")
	}
	return netip.MustParseAddr("2001:db8:1::2")
}

func otherFamily(f family) netip.Addr {
	if f.name == v4.name {
		return v6.channel.group
	}
	return v4.channel.group
}

// What an interface left in the receive queue is delivered and told apart, or
// dropped, also where another has its index.
func TestStoryListenLeftovers(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		for name, again := range lives {
			for _, policy := range []membership.LeftoverPolicy{membership.KeepLeftovers, membership.DropLeftovers} {
				t.Run(fmt.Sprintf("%s, policy %d", name, policy), func(t *testing.T) {
					t.Parallel()
					l := newLab(t, f)
					config := l.listenConfig()
					config.Leftovers = policy
					app := l.listenWith(config)
					app.hearsNew(f.channel.group)
					for n := range 2 {
						app.queue()
						gone := time.Now()
						again(l)
						app.reattached(uint64(n + 1))
						leftovers := app.readUntil(gone)
						if policy == membership.DropLeftovers && leftovers > 0 {
							t.Errorf("%d leftovers were delivered", leftovers)
						}
						if policy == membership.KeepLeftovers && leftovers < queued {
							t.Errorf("%d leftovers were delivered, want at least %d", leftovers, queued)
						}
					}
				})
			}
		}
	})
}

const queued = 5

// queue waits, without reading, until a number of datagrams is queued at the
// least: a receiver counts the marker, which is sent just after it.
func (l *listening) queue() {
	l.t.Helper()
	ok(l.t, l.listener(l.marker).WaitNew(l.ctx, queued+1))
}

// readUntil reads until what was sent after a moment comes, and returns how much
// was left over. What was sent before is, and nothing else.
func (l *listening) readUntil(gone time.Time) (leftovers int) {
	l.t.Helper()
	ok(l.t, l.conn.SetReadDeadline(time.Now().Add(20*time.Second)))
	for fresh := 0; fresh < 3; {
		d, err := l.read()
		ok(l.t, err)
		switch {
		case d.Leftover:
			leftovers++
			if fresh > 0 || d.sent.After(gone.Add(time.Second)) {
				l.t.Errorf("a leftover was sent %v after the end", d.sent.Sub(gone))
			}
		case d.sent.Before(gone):
			l.t.Errorf("what was sent %v before the end is no leftover", gone.Sub(d.sent))
		default:
			fresh++
		}
		if d.Index == 0 || d.Received.IsZero() {
			l.t.Fatalf("%+v", d)
		}
	}
	return leftovers
}

// An application that reads its own socket tells leftovers apart by what the
// kernel says of each datagram.
func TestStoryOwnSocketLeftovers(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		r, feed := l.own()
		s := onStage(l, noOptions, feed)
		s.wait("feed", membership.StateJoined)
		s.hears(r)
		leftovers := s.manager.Leftovers("feed")
		defer leftovers.Close()
		index, received := s.index(), time.Now()
		if leftovers.Include(index, received) {
			t.Error("it is left over before the end")
		}
		s.again()
		s.reattached(1)
		if !leftovers.Include(index, received) || leftovers.Include(index, time.Now()) {
			t.Error("it is no leftover, or what comes now is")
		}
	})
}

// Where the port is somebody's, the error says so.
func TestStoryListenErrors(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		l.listenWith(l.listenConfig())
		_, err := membership.Listen(l.ctx, l.listenConfig())
		if !errors.Is(err, unix.EADDRINUSE) {
			t.Errorf("a second one: %v", err)
		}
	})
}
