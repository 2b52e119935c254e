package integration

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/internal/testnet/wire"
)

// Fact K14: nothing is reported when the carrier comes back, nor when the MAC
// or IPv4 address changes, nor when a second socket joins the channel.
func TestK14ChangesThatAreNotReported(t *testing.T) {
	changes := map[string]func(*lab){
		"carrier": func(l *lab) {
			ok(l.t, l.Far.Set("far0", testnet.Down))
			l.waitCarrier(false)
			ok(l.t, l.Far.Set("far0", testnet.Up))
			l.waitCarrier(true)
		},
		"MAC":           func(l *lab) { ok(l.t, l.Near.Set("eth0", testnet.MAC("02:00:00:00:00:14"))) },
		"address":       func(l *lab) { ok(l.t, l.Near.Set("eth0", testnet.NoAddresses, testnet.Address("10.1.0.3/24"))) },
		"second socket": func(l *lab) { l.joined() },
	}
	bothFamilies(t, func(t *testing.T, f family) {
		for name, change := range changes {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				l := newLab(t, f)
				c := newCapture(t, l.Far)
				l.joined()
				l.settled(c)
				heard := len(c.Reports())
				change(l)
				silent(t, c, f.channel.group, heard, l.mark(c, 1))
			})
		}
	})
}

// settled waits until all that a fresh interface reports of the channel is
// out. That is two reports, and for IPv6 two more from the link-local address
// when it is ready (K27).
func (l *lab) settled(c *wire.Capture) {
	l.t.Helper()
	if l.name == "v6" {
		eventually(l.t, func() error {
			if c.Count(func(r wire.Report) bool { return r.From.IsLinkLocalUnicast() && r.Group == l.channel.group }) < 2 {
				return errors.New("no second report from the link-local address")
			}
			return nil
		})
	}
	l.reported(c, wire.AllowNewSources, 2)
}

// waitCarrier waits until eth0 has a carrier, or none.
func (l *lab) waitCarrier(want bool) {
	l.t.Helper()
	eventually(l.t, func() error {
		link, err := l.Near.Netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		const lowerUp = 1 << 16 // IFF_LOWER_UP
		if got := link.Attrs().RawFlags&lowerUp != 0; got != want {
			return fmt.Errorf("the carrier is %v", got)
		}
		return nil
	})
}

// Fact K14, the cure: leaving the source and at once joining it again sends
// ALLOW_NEW_SOURCES twice and no BLOCK_OLD_SOURCES. The kernel's leave waits
// some milliseconds, so the two calls must not be far apart; here they are
// repeated, with channels of their own, until they were not.
func TestK14LeaveAndJoinReannounces(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		c := newCapture(t, l.Far)
		for attempt := 1; ; attempt++ {
			l.channel = f.spare(100 + attempt)
			s := l.joined()
			l.settled(c)
			heard := len(c.Reports())
			if reannounce(l, s) > time.Millisecond && attempt < 20 {
				continue
			}
			for range 2 {
				_, err := c.WaitFrom(l.ctx, heard, l.isReport(wire.AllowNewSources))
				ok(t, err)
			}
			end := l.mark(c, 1)
			for _, r := range c.Reports()[heard:end] {
				if r.Group == l.channel.group && r.Type != wire.AllowNewSources {
					t.Errorf("heard %v", r)
				}
			}
			l.wantUsers(1)
			return
		}
	})
}

// reannounce leaves and joins, and returns how long that took.
func reannounce(l *lab, s *socket) time.Duration {
	l.t.Helper()
	index := l.index()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	start := time.Now()
	left, joined := s.leave(index, l.channel), s.join(index, l.channel)
	took := time.Since(start)
	ok(l.t, errors.Join(left, joined))
	return took
}

// Fact K15: a leave is reported twice, if the interface stays up for long
// enough.
func TestK15LeaveIsReportedTwice(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		c, s := newCapture(t, l.Far), l.joined()
		l.reported(c, wire.AllowNewSources, 1)
		ok(t, s.leave(l.index(), f.channel))
		l.reported(c, wire.BlockOldSources, 2)
	})
}

// Fact K15: a leave just before the link is taken down is not reported, or at
// least not reliably: of some attempts one is silent. (The kernel may need
// longer to take a link down than to report.)
func TestK15LeaveThenDownIsSilent(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		c, clock := newCapture(t, l.Far), l.clock()
		for attempt := range 10 {
			l.channel = f.spare(100 + attempt)
			s := l.joined()
			l.reported(c, wire.AllowNewSources, 2)
			ok(t, s.close())
			ok(t, l.Near.Set("eth0", testnet.Down))
			ok(t, clock.WaitNew(l.ctx, reportsGo))
			if c.Count(l.isReport(wire.BlockOldSources)) == 0 {
				return
			}
			ok(t, l.Near.Set("eth0", testnet.Up))
		}
		t.Error("the leave was reported each time")
	})
}

// Fact K19, what can be counted: a burst of joins leaves as few packets, with
// many groups each, sent twice.
func TestK19BurstsAreSentTogether(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		c := newCapture(t, l.Far)
		const groups = 1000
		var s *socket
		for i := range groups {
			if i%20 == 0 {
				s = l.socket()
			}
			ok(t, s.join(l.index(), f.spare(i)))
		}
		packets, times := map[int]bool{}, map[netip.Addr]int{}
		seen := 0
		eventually(t, func() error {
			reports := c.Reports()
			for _, r := range reports[seen:] {
				if r.Type == wire.AllowNewSources {
					packets[r.Packet] = true
					times[r.Group]++
				}
			}
			seen = len(reports)
			for i := range groups {
				if g := f.spare(i).group; times[g] < 2 {
					return fmt.Errorf("%s was reported %d times", g, times[g])
				}
			}
			return nil
		})
		if len(packets) > groups/2 {
			t.Errorf("%d groups came in %d packets", groups, len(packets))
		}
	})
}

// Fact K26: after an IGMPv2 query the interface speaks IGMPv2. A
// source-specific join then goes out without its source, while this host goes
// on filtering.
func TestK26QuerierOfVersion2(t *testing.T) {
	t.Parallel()
	l := newLab(t, v4)
	c := newCapture(t, l.Far)
	ok(t, l.Far.Ask("far0", testnet.QueryV2))
	eventually(t, func() error {
		queriers, err := testnet.Queriers(l.Near)
		if err == nil && queriers[l.index()] != "V2" {
			return fmt.Errorf("the querier is %s", queriers[l.index()])
		}
		return err
	})
	wrong := l.listener(v4.other)
	report, err := c.Wait(l.ctx, func(r wire.Report) bool { return r.Group == v4.other.group })
	ok(t, err)
	if report.Type != wire.V2Report || report.Sources != nil {
		t.Errorf("heard %v", report)
	}
	l.deaf(wrong)
	ok(t, socketOf(t, wrong).join(l.index(), v4.channel))
	l.hears(wrong)
}
