package integration

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ssmd-project/ssmd/ifwatch"
	streams "github.com/ssmd-project/ssmd/internal/monitor"
	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/internal/testnet/wire"
	"github.com/ssmd-project/ssmd/membership"
	"github.com/ssmd-project/ssmd/reattach"
	"golang.org/x/sys/unix"
)

// monitored is a manager with one membership on eth0, and a monitor of it.
type monitored struct {
	*lab
	manager *membership.Manager
	monitor *streams.Monitor
	events  *membership.Subscription
}

const stalledAfter = 300 * time.Millisecond

// newMonitored monitors the family's channel. Nothing is sent before send.
func newMonitored(t *testing.T, f family, actions ...streams.Action) *monitored {
	t.Helper()
	return newMonitoredBy(t, f, func(m *membership.Manager) streams.Manager { return m }, actions...)
}

// newMonitoredBy has the monitor ask something in front of the manager.
func newMonitoredBy(t *testing.T, f family, asks func(*membership.Manager) streams.Manager, actions ...streams.Action) *monitored {
	t.Helper()
	m := &monitored{lab: &lab{newNetwork(t), t, patience(t), f}}
	m.manager = membership.New(membership.Options{Watch: ifwatch.Options{Within: m.Near.Do}})
	m.events = m.manager.Subscribe()
	t.Cleanup(m.events.Close)
	m.monitor = streams.New(asks(m.manager))
	background(t, m.manager.Run)
	background(t, func(ctx context.Context) error { return m.Near.Do(func() error { return m.monitor.Run(ctx) }) })
	ok(t, m.manager.Apply(m.ctx, []membership.Membership{m.wish()}))
	m.set(streams.Settings{Port: port, StalledAfter: stalledAfter, OnStall: actions})
	return m
}

func (m *monitored) wish() membership.Membership {
	return membership.Membership{
		Name: "feed", Channels: []membership.Channel{{Source: m.channel.source, Group: m.channel.group}},
		Rules: reattach.Rules{Selector: reattach.ByName("eth0")},
	}
}

func (m *monitored) set(s streams.Settings) {
	m.t.Helper()
	ok(m.t, m.monitor.Set(m.ctx, map[string]streams.Target{"feed": {Settings: s, Channels: m.wish().Channels}}))
}

// send sends the channel until stop is called.
func (m *monitored) send() (stop func()) {
	m.t.Helper()
	s := testnet.NewSender(m.Far, testnet.SenderConfig{To: []netip.AddrPort{netip.AddrPortFrom(m.channel.group, port)}})
	ctx, cancel := context.WithCancel(m.ctx)
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Run(ctx) }()
	stop = func() { cancel(); <-done }
	m.t.Cleanup(stop)
	return stop
}

// stream waits until the one stream passes a check.
func (m *monitored) stream(check func(streams.Stream) error) streams.Stream {
	m.t.Helper()
	var last streams.Stream
	ok(m.t, testnet.Eventually(m.ctx, func() error {
		s, err := m.monitor.StatusOf(m.ctx, "feed")
		if err != nil {
			return err
		}
		if s == nil || len(s.Streams) != 1 {
			return fmt.Errorf("streams: %+v", s)
		}
		last = s.Streams[0]
		return check(last)
	}))
	return last
}

// told waits for an event.
func (m *monitored) told(kind membership.EventType) membership.Event {
	m.t.Helper()
	for {
		e, err := m.events.Next(m.ctx)
		if err != nil {
			m.t.Fatalf("wait for %s: %v", kind, err)
		}
		if e.Type == kind {
			return e
		}
	}
}

// A stream that is silent from the start stalls; it resumes with the first
// datagram, is counted, and stalls again when the sender stops.
func TestMonitorCounts(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		m := newMonitored(t, f)
		if e := m.told(streams.EventStalled); e.Membership != "feed" || e.Reason == "" || e.Seq == 0 {
			t.Errorf("%+v", e)
		}
		stop := m.send()
		if e := m.told(streams.EventResumed); e.Interface != "eth0" || e.Instance == 0 {
			t.Errorf("%+v", e)
		}
		s := m.stream(func(s streams.Stream) error {
			if s.DatagramsPerSecond < 50 || s.DatagramsPerSecond > 220 {
				return fmt.Errorf("%v datagrams a second, want what is sent each 5 ms", s.DatagramsPerSecond)
			}
			return nil
		})
		if bytes := s.BytesPerSecond / s.DatagramsPerSecond; bytes < 15.9 || bytes > 16.1 || s.Stalled || s.LongestGapSeconds <= 0 {
			t.Errorf("%+v", s)
		}
		stop()
		m.told(streams.EventStalled)
		s = m.stream(func(s streams.Stream) error {
			if !s.Stalled || s.DatagramsPerSecond != 0 {
				return fmt.Errorf("%+v", s)
			}
			return nil
		})
		if s.Stalls != 2 || s.Bytes != 16*s.Datagrams {
			t.Errorf("%+v", s)
		}
	})
}

// A stream stalls when its interface dies, with no socket left behind, and counts
// on when another one takes its place.
func TestMonitorFollows(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		m := newMonitored(t, f)
		m.send()
		before := m.stream(counts(0))
		sockets := socketsIn(t, m.Near)
		ok(t, m.Cut("eth0"))
		for m.told(streams.EventStalled).Interface != "" {
		}
		m.stream(func(s streams.Stream) error {
			if s.Interface != "" || !s.Stalled {
				return fmt.Errorf("%+v", s)
			}
			return nil
		})
		if got := socketsIn(t, m.Near); got >= sockets {
			t.Errorf("%d sockets, %d before eth0 went", got, sockets)
		}
		ok(t, m.Connect(testnet.Veth{}))
		m.told(streams.EventResumed)
		after := m.stream(counts(before.Datagrams))
		if after.Instance == before.Instance || after.Interface != "eth0" {
			t.Errorf("%+v after %+v", after, before)
		}
	})
}

// counts wants more datagrams than so many.
func counts(than uint64) func(streams.Stream) error {
	return func(s streams.Stream) error {
		if s.Datagrams <= than || s.Stalled {
			return fmt.Errorf("%+v", s)
		}
		return nil
	}
}

// A stall has the membership announced anew on the wire, once: the monitor's own
// socket is no member that would keep the kernel from it.
func TestMonitorReannounces(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		m := newMonitored(t, f, streams.Reannounce)
		stop := m.send()
		m.stream(counts(0))
		capture := newCapture(t, m.Far)
		m.mark(capture, 0) // the joins were reported
		before := capture.Count(m.isReport(wire.AllowNewSources))
		stop()
		m.told(streams.EventStalled)
		m.told(membership.EventReannounced)
		m.reported(capture, wire.AllowNewSources, before+1)
		m.wantUsers(1) // and it is no user of the group
		if got := capture.Count(m.isReport(wire.BlockOldSources)); got != 0 {
			t.Errorf("%d reports that leave", got)
		}
	})
}

// Another receiver, with or without a join of its own, loses nothing while the
// monitor comes and goes.
func TestMonitorDisturbsNobody(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		m := newMonitored(t, f)
		m.send()
		m.stream(counts(0))
		receivers := map[string]*testnet.Receiver{"without a join of its own": m.fed(), "with one": m.listener(m.channel)}
		for range 5 {
			m.set(streams.Settings{})
			for _, r := range receivers {
				m.hears(r)
			}
			m.set(streams.Settings{Port: port, StalledAfter: stalledAfter})
			m.stream(counts(0))
		}
		for name, r := range receivers {
			if s := r.Stats(); s.Lost != 0 {
				t.Errorf("the receiver %s lost %d of %d", name, s.Lost, s.Count)
			}
		}
	})
}

// What did not change counts on when the rest is set anew.
func TestMonitorSetAgain(t *testing.T) {
	m := newMonitored(t, v4)
	m.send()
	before := m.stream(counts(10))
	m.set(streams.Settings{Port: port, StalledAfter: 2 * stalledAfter})
	if s := m.stream(counts(0)); s.Datagrams < before.Datagrams {
		t.Errorf("%d datagrams, %d before", s.Datagrams, before.Datagrams)
	}
	m.set(streams.Settings{Port: port + 1, StalledAfter: stalledAfter})
	if s := m.stream(func(streams.Stream) error { return nil }); s.Datagrams != 0 {
		t.Errorf("%d datagrams on another port", s.Datagrams)
	}
}

// A receiver shares its port by one option or by the other: it loses nothing to the
// monitor, which counts the same.
func TestMonitorSharesPort(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		for name, option := range map[string]int{"SO_REUSEADDR": unix.SO_REUSEADDR, "SO_REUSEPORT": unix.SO_REUSEPORT} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				m := newMonitored(t, f)
				m.set(streams.Settings{})
				receiver := m.socket()
				ok(t, receiver.do(func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, 1) }))
				ok(t, receiver.bind(netip.AddrPortFrom(f.channel.group, port)))
				m.set(streams.Settings{Port: port, StalledAfter: stalledAfter})
				say := m.speaker()
				ready := func(s streams.Stream) error { say([]byte("x")); return counts(0)(s) } // the address of an IPv6 sender may be tentative
				heard := m.stream(ready).Datagrams
				for range 100 {
					say([]byte("x"))
				}
				heard = m.stream(counts(heard + 99)).Datagrams
				for n := range heard {
					ok(t, receiver.do(func(fd int) error {
						if _, err := unix.Read(fd, make([]byte, 1)); err != nil {
							return fmt.Errorf("datagram %d of %d: %w", n+1, heard, err)
						}
						return nil
					}))
				}
			})
		}
	})
}

// Somebody's socket that shares its port with nobody keeps the monitor out. The
// membership is not hurt, and the monitor is there when that socket is closed.
func TestMonitorPortTaken(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		m := newMonitored(t, f)
		m.set(streams.Settings{})
		alone := m.socket()
		ok(t, alone.bind(netip.AddrPortFrom(f.channel.group, port)))
		m.send()
		m.set(streams.Settings{Port: port, StalledAfter: stalledAfter})
		e := m.told(membership.EventError)
		if !errors.Is(e.Err, unix.EADDRINUSE) || !strings.Contains(e.Reason, "SO_REUSEADDR") {
			t.Errorf("%+v", e)
		}
		status, err := m.manager.StatusOf(m.ctx, "feed")
		if ok(t, err); status.State != membership.StateJoined {
			t.Errorf("the membership is %s", status.State)
		}
		ok(t, alone.close())
		m.stream(counts(0))
	})
}

// bind binds without any sharing.
func (s *socket) bind(to netip.AddrPort) error {
	var address unix.Sockaddr = &unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()}
	if to.Addr().Is4() {
		address = &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}
	}
	return s.do(func(fd int) error { return unix.Bind(fd, address) })
}
