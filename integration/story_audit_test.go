package integration

import (
	"fmt"
	"testing"
	"time"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/membership"
)

// auditedStage is a joinedStage whose manager compares with the kernel's
// groups often.
func auditedStage(t *testing.T, f family) *stage {
	t.Helper()
	s := unaudited(newLab(t, f), membership.Options{Audit: 50 * time.Millisecond})
	s.apply(f.feed())
	s.wait("feed", membership.StateJoined)
	s.settled(s.capture)
	return s
}

// unaudited is onStage with other options and without memberships.
func unaudited(l *lab, o membership.Options) *stage {
	l.t.Helper()
	o.Watch = ifwatch.Options{Within: l.Near.Do}
	s := &stage{lab: l, capture: newCapture(l.t, l.Far)}
	s.manager = membership.New(o)
	s.events = newJournal(l.t, s.manager)
	background(l.t, s.manager.Run)
	return s
}

// besideThief has a stale socket beside the feed, which takes the feed's channel
// where it is closed (K6).
func besideThief(l *lab, audit time.Duration) (s *stage, thief *socket) {
	l.t.Helper()
	thief = l.joined()
	s = unaudited(l, membership.Options{Audit: audit})
	s.apply(l.feed())
	s.wait("feed", membership.StateJoined)
	l.again()
	s.reattached(1)
	return s, thief
}

// Another process's stale socket takes the membership: it is joined again, and
// nobody's is taken for that.
func TestStoryTheftIsRepaired(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		s, thief := besideThief(l, 50*time.Millisecond)
		s.wantUsers(1)
		thief.close()
		e := s.events.wait(t, membership.EventRepaired, membership.CauseAudit)
		if e.Membership != "feed" || e.Interface != "eth0" {
			t.Errorf("told %+v", e)
		}
		s.hears(s.fed())
		s.wantUsers(1)
		s.await("feed", func(status membership.Status) error {
			if status.State != membership.StateJoined || status.Counters.Repairs == 0 { // a dying interface may have lost its groups before, too
				return fmt.Errorf("want joined, repaired: %+v", s.events.all(membership.EventRepaired))
			}
			return nil
		})
	})
}

// What is taken is one source of a group in which others stay members, so that
// the kernel tells of nothing and counts as many users as we are; and somebody's
// any-source join hides the interface from the list of filters (K20).
func TestStoryTheftOfASourceIsRepaired(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		s, thief := besideThief(l, 50*time.Millisecond)
		third, fourth := l.listener(f.other), l.socket()
		ok(t, fourth.join(l.index(), channel{group: f.marker.group}))
		s.wantUsers(2)
		thief.close()
		e := s.events.wait(t, membership.EventRepaired, membership.CauseAudit)
		if e.Membership != "feed" || e.Interface != "eth0" {
			t.Errorf("told %+v", e)
		}
		s.hears(s.fed())
		s.deaf(third)
		if repairs := s.status("feed").Counters.Repairs; repairs != 1 {
			t.Errorf("%d repairs: %+v", repairs, s.events.all(membership.EventRepaired))
		}
	})
}

// Where the kernel tells of the groups that come and go, nobody waits for the
// next audit.
func TestStoryTheftIsSeenAtOnce(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		newMonitor(t, newNetwork(t).Near, rtnlgrpIPv4McAddr, rtnlgrpIPv6McAddr) // skips where there are none
		l := newLab(t, f)
		s, thief := besideThief(l, -1)
		thief.close()
		s.events.wait(t, membership.EventRepaired, membership.CauseAudit)
		s.hears(s.fed())
		s.wantUsers(1)
	})
}

// An audit touches nothing that the kernel holds.
func TestStoryAuditIsQuiet(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		s := auditedStage(t, f)
		s.settled(s.capture)
		clock := s.clock()
		s.quietly(func() { ok(t, clock.WaitNew(s.ctx, 100)) })
		if told := s.events.all(membership.EventRepaired, membership.EventError); told != nil {
			t.Errorf("told %+v", told)
		}
	})
}

// One more address beside those that stay is no reason.
func TestStoryFurtherAddressIsQuiet(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		s := joinedStage(t, f, f.feed())
		s.quietly(func() { ok(t, s.Near.Set("eth0", testnet.Address("10.3.0.2/24", "2001:db8:3::2/64"))) })
	})
}

// Fact K9: IPv6 off and on again on an interface stays joined.
func TestStoryIPv6OffAndOn(t *testing.T) {
	t.Parallel()
	s := joinedStage(t, v6, v6.feed())
	fed := s.fed()
	s.hears(fed)
	ok(t, s.Near.SetSysctl("net/ipv6/conf/eth0/disable_ipv6", "1"))
	s.deafBy(fed, s.clock())
	ok(t, s.Near.SetSysctl("net/ipv6/conf/eth0/disable_ipv6", "0"))
	ok(t, s.Near.Set("eth0", testnet.Address("2001:db8:1::2/64")))
	s.hears(fed)
	if told := s.events.all(membership.EventDetached); told != nil {
		t.Errorf("told %+v", told)
	}
	s.wantUsers(1)
}
