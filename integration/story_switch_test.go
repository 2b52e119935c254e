package integration

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/internal/testnet/wire"
	"github.com/ssmd-project/ssmd/membership"
)

// A switch whose port has no room: the host has joined, and says so, and the
// datagrams do not come. No pace helps. Once there is room, to announce anew
// does.
func TestStorySwitchHasNoRoom(t *testing.T) {
	t.Parallel()
	for _, pace := range []int{0, 100} {
		t.Run(fmt.Sprint(pace, " a second"), func(t *testing.T) {
			t.Parallel()
			const most = 20
			s := newSwitch(t)
			s.limitPort("port0", 2*most)
			all := v4.many(most + 10)
			first, second := all[:most], all[most:]
			stage := onStage(s.lab, noOptions)
			ok(t, stage.manager.SetPace(s.ctx, pace))
			near := s.watch("eth0")
			s.send(groupsOf(all)...)
			stage.apply(onEth0("first", first...))
			stage.wait("first", membership.StateJoined)
			eventually(t, func() error { return s.misses(near, first) })
			stage.apply(onEth0("first", first...), onEth0("second", second...))
			status := stage.wait("second", membership.StateJoined)
			if status.Joined != len(second) || status.Counters.Errors != 0 {
				t.Errorf("%+v", status)
			}
			stage.reported(stage.capture, wire.AllowNewSources, 2)
			for _, c := range second {
				s.wantNothing(near, near, c.Group)
				if s.forwards("port0")[c.Group] {
					t.Errorf("%s is in the table", c.Group)
				}
			}

			ok(t, stage.manager.Delete(s.ctx, "first"))
			eventually(t, func() error { // the switch asks whether anybody is left
				if n := len(s.forwards("port0")); n > 0 {
					return fmt.Errorf("%d groups in the table", n)
				}
				return nil
			})
			ok(t, stage.manager.Reannounce(s.ctx, "second"))
			eventually(t, func() error { return s.misses(near, second) })
		})
	}
}

// misses returns a channel that is not in the switch's table, or of which
// nothing was seen.
func (s *network) misses(w *seen, channels []membership.Channel) error {
	in := s.forwards("port0")
	for _, c := range channels {
		if !in[c.Group] || w.count(c.Group) < 3 {
			return fmt.Errorf("%s: in the table: %t, %d datagrams", c.Group, in[c.Group], w.count(c.Group))
		}
	}
	return nil
}

// router is one that takes a report at a time, and has a short queue for those
// that come meanwhile: what overflows it never hears.
type router struct {
	mu     sync.Mutex
	groups map[netip.Addr]bool
}

// newRouter listens on far0. It takes so long for each report.
func newRouter(l *lab, each time.Duration) *router {
	l.t.Helper()
	index, err := l.Far.Index("far0")
	ok(l.t, err)
	protocol := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, unix.ETH_P_IP))
	r, fd := &router{groups: make(map[netip.Addr]bool)}, -1
	ok(l.t, l.Far.Do(func() (err error) {
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, int(protocol)); err != nil {
			return err
		}
		return errors.Join(
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 8<<10),
			unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
			unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: protocol, Ifindex: index}))
	}))
	background(l.t, func(ctx context.Context) error {
		defer unix.Close(fd)
		ticker := time.NewTicker(each)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-ticker.C:
				r.read(fd)
			}
		}
	})
	return r
}

// read takes one packet. Where it is an IGMPv3 report (RFC 9776, section 4.2), it
// learns the groups.
func (r *router) read(fd int) {
	packet := make([]byte, 2000)
	n, err := unix.Read(fd, packet)
	if err != nil || n < 20 || packet[9] != unix.IPPROTO_IGMP {
		return
	}
	report := packet[4*int(packet[0]&15) : n]
	if len(report) < 8 || report[0] != 0x22 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for at, left := 8, binary.BigEndian.Uint16(report[6:]); left > 0 && at+8 <= len(report); left-- {
		r.groups[netip.AddrFrom4([4]byte(report[at+4:]))] = true
		at += 8 + 4*int(binary.BigEndian.Uint16(report[at+2:]))
	}
}

// knows counts the channels whose groups it heard of.
func (r *router) knows(channels []membership.Channel) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range channels {
		if r.groups[c.Group] {
			n++
		}
	}
	return n
}

// A router that handles reports more slowly than they come loses most of them,
// both times that they are sent, and hears of everything at a pace that it
// bears.
func TestStorySlowRouter(t *testing.T) {
	t.Parallel()
	channels := v4.many(3000)
	for _, pace := range []int{0, 1000} {
		t.Run(fmt.Sprint(pace, " a second"), func(t *testing.T) {
			t.Parallel()
			l := newLab(t, v4)
			r := newRouter(l, 5*time.Millisecond)
			s := onStage(l, noOptions)
			ok(t, s.manager.SetPace(s.ctx, pace))
			s.apply(onEth0("feed", channels...))
			s.countJoined(len(channels))
			s.settled(s.capture)
			if pace == 0 {
				t.Logf("without a pace the router knows %d of %d channels", r.knows(channels), len(channels))
				if known := r.knows(channels); known == len(channels) {
					t.Errorf("the router knows all %d channels: it is not slow", known)
				}
				return
			}
			eventually(t, func() error {
				if known := r.knows(channels); known < len(channels) {
					return fmt.Errorf("the router knows %d of %d channels", known, len(channels))
				}
				return nil
			})
		})
	}
}
