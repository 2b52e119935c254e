package integration

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/internal/testnet/wire"
	"github.com/ssmd-project/ssmd/membership"
)

// announcedAfter does something that makes the network forget, and wants the
// channel announced for this cause, and never left.
func (s *stage) announcedAfter(cause membership.Cause, do func()) {
	s.t.Helper()
	s.unpruned(func() {
		from := len(s.capture.Reports())
		s.undisturbed(func() {
			do()
			s.events.wait(s.t, membership.EventReannounced, cause)
		})
		s.reports(from, wire.AllowNewSources)
	})
	s.wantUsers(1)
}

// otherReporter gives eth0 another address from which reports go out. Of IPv6
// that is the link-local one, and the kernel itself tells of the first.
func (s *stage) otherReporter() {
	s.t.Helper()
	if s.name == "v4" {
		ok(s.t, s.Near.Set("eth0", testnet.NoAddresses, testnet.Address("10.1.0.3/24")))
		return
	}
	link, err := s.Near.Netlink.LinkByName("eth0")
	ok(s.t, err)
	s.reporter("fe80::76/64")
	before, err := s.Near.Netlink.AddrList(link, netlink.FAMILY_V6)
	ok(s.t, err)
	s.reporter("fe80::77/64") // before the others go: else the kernel reports from it, as from a first one
	for _, a := range before {
		if a.IP.IsLinkLocalUnicast() {
			ok(s.t, s.Near.Netlink.AddrDel(link, &a))
		}
	}
}

// reporter gives eth0 an address, and waits until the kernel is done with it.
func (s *stage) reporter(prefix string) {
	s.t.Helper()
	ok(s.t, s.Near.Set("eth0", testnet.Address(prefix)))
	eventually(s.t, func() error { return s.reportsFrom(netip.MustParsePrefix(prefix)) })
}

// reportsFrom returns an error where reports of eth0 do not go out from an
// address yet, as far as the manager knows.
func (s *stage) reportsFrom(p netip.Prefix) error {
	all, err := s.manager.Interfaces(s.ctx)
	for _, i := range all {
		if i.Name == "eth0" && slices.Contains(i.Addresses, ifwatch.Address{Prefix: p}) {
			return nil
		}
	}
	return errors.Join(err, fmt.Errorf("no address %s on eth0 among %+v", p, all))
}

// reannounced are what a membership is announced anew for.
var reannounced = map[membership.Cause]func(*stage){
	membership.CauseCarrier: func(s *stage) {
		ok(s.t, s.Far.Set("far0", testnet.Down))
		ok(s.t, s.Far.Set("far0", testnet.Up))
	},
	membership.CauseUp: func(s *stage) {
		ok(s.t, s.Near.Set("eth0", testnet.Down))
		ok(s.t, s.Near.Set("eth0", testnet.Up))
	},
	membership.CauseAddress: func(s *stage) { s.otherReporter() },
	membership.CauseRequest: func(s *stage) {
		eventually(s.t, func() error { return s.manager.Reannounce(s.ctx, "feed") }) // once it is running
	},
	membership.CauseEvery: func(*stage) {},
}

func TestStoryReannounced(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		for cause, do := range reannounced {
			t.Run(string(cause), func(t *testing.T) {
				t.Parallel()
				feed := f.feed()
				if cause == membership.CauseEvery {
					feed.Reannounce.Every = membership.ShortestEvery
				}
				s := joinedStage(t, f, feed)
				s.announcedAfter(cause, func() { do(s) })
			})
		}
	})
}

// What a stale socket of another process took, in a group in which others stay,
// nobody has noticed yet when it is announced: it is joined again, and not left at
// the cost of the others.
func TestStoryReannounceOfTheLost(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		for _, cause := range []membership.Cause{membership.CauseCarrier, membership.CauseAddress, membership.CauseRequest} {
			t.Run(string(cause), func(t *testing.T) {
				t.Parallel()
				l := newLab(t, f)
				s, thief := besideThief(l, -1)
				s.settled(s.capture)
				ok(t, l.socket().join(l.index(), f.other))
				s.wantUsers(2)
				thief.close()
				s.wantUsers(1)
				reannounced[cause](s)
				s.events.wait(t, membership.EventReannounced, cause)
				s.wantUsers(2)
				s.hears(s.fed())
			})
		}
	})
}

// Who wants no announcement gets none.
func TestStoryNotReannounced(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		feed := f.feed()
		feed.Reannounce.On = []membership.Trigger{}
		s := joinedStage(t, f, feed)
		s.quietly(func() {
			s.undisturbed(func() {
				ok(t, s.Far.Set("far0", testnet.Down))
				ok(t, s.Far.Set("far0", testnet.Up))
			})
		})
		if n := s.status("feed").Counters.Reannounces; n != 0 {
			t.Errorf("announced %d times", n)
		}
	})
}

// whileDown has something change while the interface is down, for as long as it
// takes that IPv6 is deaf afterwards (K31).
func (s *stage) whileDown(clock *testnet.Receiver, change func()) {
	s.t.Helper()
	ok(s.t, s.Near.SetSysctl("net/ipv6/conf/eth0/mldv2_unsolicited_report_interval", "10")) // ms
	ok(s.t, s.Near.Set("eth0", testnet.Down))
	change()
	ok(s.t, clock.WaitNew(s.ctx, reportsGo))
	ok(s.t, s.Near.Set("eth0", testnet.Up))
}

// Another process leaves, or joins, another group while the interface is down:
// afterwards IPv6 would be deaf on it.
func TestStoryHearsAgainAfterUp(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		for name, change := range map[string]func(*stage, process){
			"leave": func(_ *stage, neighbour process) { neighbour.end() },
			"join":  func(s *stage, _ process) { ok(s.t, s.socket().join(s.index(), s.spare(2))) },
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s := joinedStage(t, f, f.feed())
				receiver, clock := s.fed(), s.clock()
				neighbour := newProcess(t, s.Near, s.index(), f.spare(1))
				s.hears(receiver)
				for range 3 {
					s.whileDown(clock, func() { change(s, neighbour) })
					s.events.wait(t, membership.EventReannounced, membership.CauseUp)
					s.hears(receiver)
					change = func(s *stage, _ process) { ok(t, s.socket().join(s.index(), s.spare(3))) }
				}
				s.wantUsers(1)
			})
		}
	})
}

// Where nobody announces it an audit finds it, and the kernel counts it once.
func TestStoryAuditCuresTheDeaf(t *testing.T) {
	t.Parallel()
	feed := v6.feed()
	feed.Reannounce.On = []membership.Trigger{}
	l := newLab(t, v6)
	s := unaudited(l, membership.Options{Audit: 50 * time.Millisecond})
	s.apply(feed)
	s.wait("feed", membership.StateJoined)
	receiver, clock := s.fed(), s.clock()
	s.hears(receiver)
	s.whileDown(clock, func() { ok(t, s.socket().join(s.index(), s.spare(2))) })
	e := s.events.wait(t, membership.EventRepaired, membership.CauseAudit)
	if !strings.Contains(e.Reason, "another group changed while the interface was down") {
		t.Errorf("told %+v", e)
	}
	s.hears(receiver)
	s.wantUsers(1)
}

// Hundreds of announcements under a stream of a thousand datagrams a second:
// never is the channel left. The kernel drops what arrives between the leave
// and the join, some 6 us, or 40 on a busy machine: a datagram in 25 of them. No
// other story runs meanwhile. A join that came later would lose one every time.
func TestStoryReannouncedHundreds(t *testing.T) {
	for _, f := range []family{v4, v6} {
		t.Run(f.name, func(t *testing.T) { reannouncedHundreds(t, f) })
	}
}

func reannouncedHundreds(t *testing.T, f family) {
	const times, mostLost = 300, 30
	s := joinedStage(t, f, f.feed())
	to := netip.AddrPortFrom(f.channel.group, port+1)
	background(t, testnet.NewSender(s.Far, testnet.SenderConfig{To: []netip.AddrPort{to}, Every: time.Millisecond}).Run)
	receiver := newReceiver(t, s.Near, testnet.ReceiverConfig{Listen: to})
	ok(t, receiver.WaitNew(s.ctx, 100))
	lost := receiver.Stats().Lost
	s.unpruned(func() {
		s.undisturbed(func() {
			for range times {
				ok(t, s.manager.Reannounce(s.ctx, "feed"))
				ok(t, receiver.WaitNew(s.ctx, 3))
			}
		})
	})
	if n := s.status("feed").Counters.Reannounces; n != times {
		t.Errorf("announced %d times, want %d", n, times)
	}
	lost = receiver.Stats().Lost - lost
	t.Logf("%d datagrams lost", lost)
	for _, e := range s.events.all(membership.EventReannounced) {
		if e.Reason != "eth0 (instance "+fmt.Sprint(e.Instance)+"): announced anew" {
			t.Logf("heard of %+v", e)
		}
	}
	if lost > mostLost {
		t.Errorf("%d datagrams lost in %d announcements", lost, times)
	}
	s.wantUsers(1)
}
