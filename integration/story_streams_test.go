package integration

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/ssmd-project/ssmd/ifwatch"
	streams "github.com/ssmd-project/ssmd/internal/monitor"
	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/membership"
	"github.com/ssmd-project/ssmd/reattach"
	"golang.org/x/sys/unix"
)

// speaker returns what sends one datagram to the family's channel.
func (l *lab) speaker() (say func([]byte)) {
	l.t.Helper()
	s := l.outward()
	var to unix.Sockaddr = &unix.SockaddrInet6{Port: port, Addr: l.channel.group.As16()}
	if l.channel.group.Is4() {
		to = &unix.SockaddrInet4{Port: port, Addr: l.channel.group.As4()}
	}
	return func(payload []byte) {
		l.t.Helper()
		ok(l.t, s.do(func(fd int) error { return unix.Sendto(fd, payload, 0, to) }))
	}
}

// outward opens a socket of the sender's that sends to groups.
func (l *lab) outward() *socket {
	l.t.Helper()
	s := newSocket(l.t, l.Far, l.family)
	index, err := l.Far.Index("far0")
	ok(l.t, err)
	ok(l.t, s.do(func(fd int) error {
		if l.channel.group.Is4() {
			return unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_IF, &unix.IPMreqn{Ifindex: int32(index)})
		}
		return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_IF, index)
	}))
	return s
}

// packet is an RTP packet of a source, with the payload type of MPEG transport
// streams, which has a clock of 90 kHz.
func packet(ssrc uint32, sequence uint16) []byte {
	b := make([]byte, 1316)
	b[0], b[1] = 0x80, 33
	binary.BigEndian.PutUint16(b[2:], sequence)
	binary.BigEndian.PutUint32(b[4:], uint32(sequence)*900)
	binary.BigEndian.PutUint32(b[8:], ssrc)
	return b
}

// Loss, order, duplicates and strangers on the wire are what is told.
func TestMonitorRTP(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		m := newMonitored(t, f)
		stop := m.send() // until the addresses can be used
		m.stream(counts(0))
		stop()
		m.set(streams.Settings{})
		m.set(streams.Settings{Port: port, StalledAfter: time.Minute, RTP: true})
		m.stream(func(s streams.Stream) error {
			if s.RTP == nil || s.Interface == "" || s.Error != "" {
				return fmt.Errorf("%+v", s)
			}
			return nil
		})
		say := m.speaker()
		first := uint16(65530) // it wraps
		for _, n := range []uint16{0, 1, 2, 3, 4, 7, 8, 10, 9, 11, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20} {
			say(packet(1, first+n)) // 5 and 6 are lost, 9 is late, 11 comes twice
		}
		say([]byte("no RTP"))
		s := m.stream(func(s streams.Stream) error {
			if s.Datagrams < 21 {
				return fmt.Errorf("%+v", s)
			}
			return nil
		})
		// The first packet of a source is on probation (RFC 3550, A.1), and counted
		// with the second.
		if r := s.RTP; r.Lost != 1 || r.Expected != r.Received+1 || r.Expected < 20 || r.Reordered != 1 || r.Duplicates != 1 || r.Invalid != 1 || r.Restarts != 0 {
			t.Errorf("%+v", *r)
		}
		if s.RTP.JitterSeconds == nil || *s.RTP.JitterSeconds <= 0 {
			t.Errorf("jitter %v", s.RTP.JitterSeconds)
		}
		for n := range uint16(5) {
			say(packet(2, 1000+n))
		}
		s = m.stream(func(s streams.Stream) error {
			if s.Datagrams < 26 {
				return fmt.Errorf("%+v", s)
			}
			return nil
		})
		if r := s.RTP; r.Lost != 1 || r.Restarts != 1 {
			t.Errorf("after another source: %+v", *r)
		}
	})
}

// busyManager keeps whoever tells it of a stream that resumes.
type busyManager struct {
	*membership.Manager
	told, goOn chan struct{}
}

func (m busyManager) Publish(e membership.Event) {
	if e.Type == streams.EventResumed {
		close(m.told)
		<-m.goOn
	}
	m.Manager.Publish(e)
}

// What came while the monitor was too slow is told as that, and as nothing else
// but a loss of RTP, which nobody saw come.
func TestMonitorOverrun(t *testing.T) {
	const burst = 20_000
	bothFamilies(t, func(t *testing.T, f family) {
		busy := busyManager{told: make(chan struct{}), goOn: make(chan struct{})}
		m := newMonitoredBy(t, f, func(manager *membership.Manager) streams.Manager { busy.Manager = manager; return busy })
		m.set(streams.Settings{Port: port, StalledAfter: stalledAfter, RTP: true})
		m.told(streams.EventStalled)
		say := m.speaker()
		eventually(t, func() error { // the first may be sent before the address can be used
			say(packet(1, 0))
			select {
			case <-busy.told:
				return nil
			default:
				return errors.New("not resumed")
			}
		})
		for n := range burst {
			say(packet(1, uint16(n)))
		}
		close(busy.goOn)
		s := m.stream(func(s streams.Stream) error {
			if s.Unread == 0 {
				return fmt.Errorf("%+v", s)
			}
			return nil
		})
		if s.Datagrams == 0 || s.Datagrams+s.Unread < burst/2 || s.Bytes != s.Datagrams*1316 {
			t.Errorf("%+v", s)
		}
		if r := s.RTP; r.Received > s.Datagrams || r.Duplicates+r.Reordered > s.Datagrams || r.Invalid > 0 {
			t.Errorf("%+v of %+v", *r, s)
		}
	})
}

// With attach: all there is a stream for each interface, which goes on by itself
// when another one's interface is made anew.
func TestMonitorSeveralInterfaces(t *testing.T) {
	m := newMonitored(t, v4)
	again := func() error {
		return testnet.AddVeth(m.Near, m.Far, testnet.Veth{Name: "eth5", PeerName: "far5", Addresses: []string{"10.5.0.2/24"}, PeerAddresses: []string{"10.5.0.1/24"}})
	}
	ok(t, again())
	wish := m.wish()
	wish.Rules = reattach.Rules{Selector: reattach.Selector{Name: []string{"eth*"}}, Attach: reattach.AttachAll}
	ok(t, m.manager.Apply(m.ctx, []membership.Membership{wish}))
	m.send()
	background(t, testnet.NewSender(m.Far, testnet.SenderConfig{To: []netip.AddrPort{m.listen()}, Interface: "far5"}).Run)
	both := func(than map[string]uint64) (now map[string]streams.Stream) {
		t.Helper()
		eventually(t, func() error {
			s, err := m.monitor.StatusOf(m.ctx, "feed")
			if err != nil {
				return err
			}
			now = make(map[string]streams.Stream)
			for _, one := range s.Streams {
				now[one.Interface] = one
			}
			for _, name := range []string{"eth0", "eth5"} {
				if one, there := now[name]; !there || one.Datagrams <= than[name] || one.Stalled {
					return fmt.Errorf("%s: %+v", name, s)
				}
			}
			if len(s.Streams) != 2 {
				return fmt.Errorf("%+v", s)
			}
			return nil
		})
		return now
	}
	before := both(nil)
	ok(t, m.Near.Set("eth5", testnet.Deleted))
	m.stream(counts(before["eth0"].Datagrams)) // one is left, and does not stall
	ok(t, again())
	after := both(map[string]uint64{"eth0": before["eth0"].Datagrams})
	if after["eth5"].Instance == before["eth5"].Instance {
		t.Errorf("%+v", after)
	}
}

// A membership of another namespace is heard there, and nothing of the monitor is
// left there afterwards.
func TestMonitorElsewhere(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		m := newMonitored(t, f)
		blue := newNamespace(t)
		ok(t, testnet.AddVeth(blue, m.Far, testnet.Veth{
			Name: "eth5", PeerName: "far5", Addresses: []string{"10.5.0.2/24", "2001:db8:5::2/64"}, PeerAddresses: []string{"10.5.0.1/24", "2001:db8:5::1/64"},
		}))
		path := filepath.Join(t.TempDir(), "blue")
		ok(t, blue.Mount(path))
		t.Cleanup(func() { _ = testnet.Unmount(path) })
		wish := m.wish()
		wish.Namespace, wish.Rules.Selector = path, reattach.ByName("eth5")
		ok(t, m.manager.Apply(m.ctx, []membership.Membership{wish}))
		background(t, testnet.NewSender(m.Far, testnet.SenderConfig{To: []netip.AddrPort{m.listen()}, Interface: "far5"}).Run)
		m.stream(func(s streams.Stream) error {
			if s.Datagrams < 3 || s.Interface != "eth5" || s.Stalled {
				return fmt.Errorf("%+v", s)
			}
			return nil
		})
		with := socketsIn(t, blue)
		m.set(streams.Settings{})
		wantSockets(t, blue, with-1)
	})
}

// slowManager answers nobody who asks for a status while it is held.
type slowManager struct {
	*membership.Manager
	held *sync.RWMutex
}

func (m slowManager) StatusOf(ctx context.Context, name string) (membership.Status, error) {
	m.held.RLock()
	defer m.held.RUnlock()
	return m.Manager.StatusOf(ctx, name)
}

// Where another namespace has the name, streams are heard there, also where the
// memberships are told of in turn and the monitor never saw them detached; and the
// old one is kept by nothing.
func TestMonitorNamespaceReplaced(t *testing.T) {
	var held sync.RWMutex
	m := newMonitoredBy(t, v4, func(manager *membership.Manager) streams.Manager { return slowManager{manager, &held} })
	path := filepath.Join(t.TempDir(), "feeds")
	spaces := make(map[string]*testnet.Namespace)
	for name, network := range map[string]string{"blue": "10.5.0", "red": "10.6.0"} {
		n := newNamespace(t)
		ok(t, testnet.AddVeth(n, m.Far, testnet.Veth{Name: "eth5", PeerName: name, Addresses: []string{network + ".2/24"}, PeerAddresses: []string{network + ".1/24"}}))
		background(t, testnet.NewSender(m.Far, testnet.SenderConfig{To: []netip.AddrPort{m.listen()}, Interface: name}).Run)
		spaces[name] = n
	}
	empty := socketsIn(t, spaces["blue"])
	ok(t, spaces["blue"].Mount(path))
	t.Cleanup(func() { _ = testnet.Unmount(path) })
	targets := make(map[string]streams.Target)
	var wishes []membership.Membership
	for _, name := range []string{"feed", "feed-2", "feed-3"} {
		wish := m.wish()
		wish.Name, wish.Namespace, wish.Rules.Selector = name, path, reattach.ByName("eth5")
		wishes = append(wishes, wish)
		targets[name] = streams.Target{Settings: streams.Settings{Port: port, StalledAfter: stalledAfter}, Channels: wish.Channels}
	}
	ok(t, m.manager.Apply(m.ctx, wishes))
	ok(t, m.monitor.Set(m.ctx, targets))
	heard := func(but ifwatch.ID) (instance ifwatch.ID) {
		t.Helper()
		before := make(map[string]uint64)
		for range 2 { // what comes by now, and not what came
			eventually(t, func() error {
				for name := range targets {
					s, err := m.monitor.StatusOf(m.ctx, name)
					if err != nil {
						return err
					}
					if one := s.Streams[0]; one.Stalled || one.Instance == 0 || one.Instance == but || one.Datagrams <= before[name]+3 {
						return fmt.Errorf("%s: %+v", name, one)
					}
					instance = s.Streams[0].Instance
				}
				return nil
			})
			for name := range targets {
				s, err := m.monitor.StatusOf(m.ctx, name)
				ok(t, err)
				before[name] = s.Streams[0].Datagrams
			}
		}
		return instance
	}
	was := heard(0)
	held.Lock()
	ok(t, testnet.Unmount(path))
	ok(t, spaces["red"].Mount(path))
	eventually(t, func() error {
		s, err := m.manager.StatusOf(m.ctx, "feed-3")
		if err == nil && (s.State != membership.StateJoined || s.Attachments[0].Instance == was) {
			err = fmt.Errorf("%+v", s)
		}
		return err
	})
	held.Unlock()
	heard(was)
	wantSockets(t, spaces["blue"], empty)
}

// Channels that are wanted no more are forgotten, new ones begin, and the rest
// counts on.
func TestMonitorOtherChannels(t *testing.T) {
	m := newMonitored(t, v4)
	m.send()
	before := m.stream(counts(10))
	wish := m.wish()
	kept, fresh := wish.Channels[0], channelOf(m.spare(7))
	set := func(channels ...membership.Channel) {
		t.Helper()
		wish.Channels = channels
		ok(t, m.manager.Apply(m.ctx, []membership.Membership{wish}))
		ok(t, m.monitor.Set(m.ctx, map[string]streams.Target{"feed": {Settings: streams.Settings{Port: port, StalledAfter: stalledAfter}, Channels: channels}}))
	}
	set(kept, fresh)
	eventually(t, func() error {
		s, err := m.monitor.StatusOf(m.ctx, "feed")
		if err != nil {
			return err
		}
		for _, one := range s.Streams {
			if one.Channel == kept && (one.Datagrams < before.Datagrams || one.Stalled) || one.Channel == fresh && (one.Datagrams > 0 || !one.Stalled) {
				return fmt.Errorf("%+v", one)
			}
		}
		if len(s.Streams) != 2 {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
	set(kept)
	m.stream(counts(before.Datagrams))
}

// When it ends it closes what it opened, and answers nobody any more.
func TestMonitorEnds(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := &lab{newNetwork(t), t, patience(t), f}
		manager := membership.New(membership.Options{Watch: ifwatch.Options{Within: l.Near.Do}})
		background(t, manager.Run)
		ok(t, manager.Apply(l.ctx, []membership.Membership{f.feed()}))
		awaitStatus(t, l.ctx, inState(membership.StateJoined), func() (membership.Status, error) { return manager.StatusOf(l.ctx, "feed") })
		before := socketsIn(t, l.Near)
		monitor := streams.New(manager)
		ctx, stop := context.WithCancel(l.ctx)
		ended := make(chan error, 1)
		go func() { ended <- l.Near.Do(func() error { return monitor.Run(ctx) }) }()
		ok(t, monitor.Set(l.ctx, map[string]streams.Target{"feed": {Settings: streams.Settings{Port: port}, Channels: f.feed().Channels}}))
		wantSockets(t, l.Near, before+1)
		stop()
		ok(t, <-ended)
		wantSockets(t, l.Near, before)
		if _, err := monitor.Status(l.ctx); !errors.Is(err, membership.ErrStopped) {
			t.Errorf("got %v", err)
		}
	})
}

// What a daemon exports of its streams goes on over a re-creation, and follows
// the file.
func storyMonitorExported(t *testing.T, program string) {
	l := newLab(t, v4)
	dir := l.daemonDir()
	file := func(monitor string) {
		t.Helper()
		text := fmt.Sprintf("http: {listen: %q}\nmemberships:\n  - {name: feed, channels: %q, interface: eth0, monitor: %s}\n", metricsAt, l.channel, monitor)
		ok(t, os.WriteFile(filepath.Join(dir, "new"), []byte(text), 0o644))
		ok(t, os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "ssmd.yaml")))
	}
	file(fmt.Sprintf("{port: %d}", port))
	d := startDaemon(l, program, dir, nil)
	name := func(what string) string {
		return fmt.Sprintf(`ssmd_stream_%s{channel="%s",interface="eth0",membership="feed"}`, what, l.channel)
	}
	until := func(check func(scraped) error) (s scraped) {
		t.Helper()
		eventually(t, func() error { s = d.scrape(); return check(s) })
		return s
	}
	above := func(than float64) func(scraped) error {
		return func(s scraped) error {
			if s[name("datagrams_total")] <= than || s[name("stalled")] != 0 {
				return fmt.Errorf("%v datagrams, %v stalled", s[name("datagrams_total")], s[name("stalled")])
			}
			return nil
		}
	}
	eventually(t, func() error { _, _, err := d.web("/metrics"); return err })
	before := until(above(10))[name("datagrams_total")]
	ok(t, d.Cut("eth0"))
	ok(t, d.Connect(testnet.Veth{}))
	until(above(before))

	file(fmt.Sprintf("{port: %d, rtp: true, stalled_after: 1s}", port))
	until(func(s scraped) error { // what is sent is none
		if s[name("rtp_invalid_total")] == 0 || s[name("datagrams_total")] <= before {
			return fmt.Errorf("%v", s)
		}
		return nil
	})
	file("{port: 0}")
	until(func(s scraped) error {
		if _, there := s[name("datagrams_total")]; there {
			return errors.New("it is monitored yet")
		}
		return nil
	})
	file(fmt.Sprintf("{port: %d}", port))
	if got := until(above(0))[name("datagrams_total")]; got >= before+1000 {
		t.Errorf("%v datagrams at once", got)
	}
}
