package membership

import (
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/ifwatch"
)

func TestPoolAnnouncesNewestFirst(t *testing.T) {
	p, h := newTestPool()
	p.wish([]Channel{one, two})
	p.wish([]Channel{one})
	p.flush(epoch, wholly())
	h.want(t, "join 232.0.0.1", "join 232.0.0.2")
	p.announce([]Channel{one, two})
	p.announce([]Channel{two})
	if !p.due(epoch, wholly()) {
		t.Error("not due")
	}
	p.unwish([]Channel{one})
	p.flush(epoch, wholly())
	h.want(t, "warm up", "rejoin 232.0.0.2", "rejoin 232.0.0.1")
	p.announce([]Channel{one, two})
	p.unwish([]Channel{one})
	p.flush(epoch, wholly())
	h.want(t, "leave 232.0.0.1", "warm up", "rejoin 232.0.0.2")
	if p.due(epoch, wholly()) {
		t.Error("due for ever")
	}
}

// A channel that is not joined again is refused like any other, and tried
// again.
func TestPoolAnnounceRefused(t *testing.T) {
	p, h := newTestPool()
	p.wish([]Channel{one, two})
	p.flush(epoch, wholly())
	h.refuse[one] = unix.ENOBUFS
	p.announce([]Channel{one, two})
	out := p.flush(epoch, wholly())
	if n := p.count([]Channel{one, two}); n.joined != 1 || n.refused != 1 || n.first.channel != one || out.refused != 1 || !out.touched {
		t.Errorf("%d joined, %d refused, %+v", n.joined, n.refused, out)
	}
	if p.retry != epoch.Add(firstBackoff) {
		t.Errorf("tried again at %v", p.retry)
	}
	h.did, h.refuse = nil, nil
	p.flush(p.retry, wholly())
	h.want(t, "join 232.0.0.1")
}

func TestTrigger(t *testing.T) {
	with := func(addresses ...string) ifwatch.Interface {
		var i ifwatch.Interface
		for _, a := range addresses {
			i.Addresses = append(i.Addresses, ifwatch.Address{Prefix: netip.MustParsePrefix(a)})
		}
		return i
	}
	tentative := with("fe80::1/64")
	tentative.Addresses[0].Tentative = true
	returned := func(r ifwatch.Returns) ifwatch.Interface { return ifwatch.Interface{Returns: r} }
	for name, c := range map[string]struct {
		f        ifwatch.Family
		was, now ifwatch.Interface
		want     Cause
	}{
		"nothing":               {ifwatch.IPv4, with("10.0.0.1/8"), with("10.0.0.1/8"), ""},
		"up":                    {ifwatch.IPv4, with(), returned(ifwatch.Returns{Ups: 1, Carriers: 1}), CauseUp},
		"carrier":               {ifwatch.IPv6, with(), returned(ifwatch.Returns{Carriers: 1}), CauseCarrier},
		"peers":                 {ifwatch.IPv6, with(), returned(ifwatch.Returns{Notices: 1}), CauseNotifyPeers},
		"first address":         {ifwatch.IPv4, with(), with("10.0.0.1/8"), CauseAddress},
		"of the other family":   {ifwatch.IPv6, with(), with("10.0.0.1/8"), ""},
		"another address":       {ifwatch.IPv4, with("10.0.0.1/8"), with("10.0.0.2/8"), CauseAddress},
		"an address more":       {ifwatch.IPv4, with("10.0.0.1/8"), with("10.0.0.1/8", "10.0.0.2/8"), ""},
		"an address less":       {ifwatch.IPv4, with("10.0.0.1/8", "10.0.0.2/8"), with("10.0.0.2/8"), CauseAddress},
		"no address any more":   {ifwatch.IPv4, with("10.0.0.1/8"), with(), ""},
		"first link-local":      {ifwatch.IPv6, with(), with("fe80::1/64"), ""},
		"duplicate detection":   {ifwatch.IPv6, tentative, with("fe80::1/64"), ""},
		"another link-local":    {ifwatch.IPv6, with("fe80::1/64"), with("fe80::2/64"), CauseAddress},
		"another global":        {ifwatch.IPv6, with("fe80::1/64", "2001:db8::1/64"), with("fe80::1/64", "2001:db8::2/64"), ""},
		"link-local, tentative": {ifwatch.IPv6, with("fe80::1/64"), tentative, ""},
	} {
		if _, got := trigger(c.f, c.was, c.now); got != c.want {
			t.Errorf("%s: cause %q, want %q", name, got, c.want)
		}
	}
}

func (s *story) rejoined(want ...string) {
	s.t.Helper()
	s.deliver()
	s.wantEvents(want...)
	s.sound()
}

func TestStoryReannounce(t *testing.T) {
	s := joined(t, feed("a", "eth1", one, six))
	s.put(feed("b", "eth1", one)) // the same channel: announced once, told of twice
	quiet := feed("quiet", "eth1", two)
	quiet.Reannounce.On = []Trigger{}
	s.put(quiet)
	s.heard()
	s.kernelDid()
	s.alter(1, func(i *ifwatch.Interface) { i.Returns.Carriers++ })
	s.deliver()
	s.wantKernel("2 joins, 2 leaves")
	if events := s.heard(); len(events) != 2 || s.status(t, "a").Counters.Reannounces != 1 || s.status(t, "quiet").Counters.Reannounces != 0 {
		t.Errorf("%v", events)
	}

	// Without a carrier it has to wait, and one is enough for all causes.
	s.alter(1, func(i *ifwatch.Interface) { i.Carrier = false; i.Returns.Notices++ })
	s.rejoined()
	s.wantKernel("0 joins, 0 leaves")
	s.alter(1, func(i *ifwatch.Interface) { i.Carrier = true; i.Returns.Carriers++ })
	s.deliver()
	s.wantKernel("2 joins, 2 leaves")

	// What was never told of a life is none of the next one's business.
	s.alter(1, func(i *ifwatch.Interface) { i.Carrier = false; i.Returns.Notices++ })
	s.deliver()
	s.recreate(1, mac2)
	s.deliver()
	s.heard()
	s.kernelDid()
	s.rest()
	s.wantKernel("0 joins, 0 leaves")
	s.sound()
}

func TestStoryReannounceByRequestAndTime(t *testing.T) {
	m := feed("a", "eth1", one)
	m.Reannounce.Every = time.Minute
	s := joined(t, m)
	s.kernelDid()
	if next := s.keeper.nextWake(); !next.Equal(s.now.Add(time.Minute)) {
		t.Errorf("wakes at %v", next)
	}
	s.later(59 * time.Second)
	s.wantEvents()
	s.later(time.Second)
	s.wantEvents("reannounced a eth1 every")
	s.later(time.Minute)
	s.wantEvents("reannounced a eth1 every")
	s.wantKernel("2 joins, 2 leaves")
	s.kernel.gap = 3 * time.Millisecond
	if putOff := s.keeper.reannounce(s.keeper.members["a"], s.now); putOff != nil {
		t.Errorf("put off: %v", putOff)
	}
	s.wantEvents("reannounced a eth1 request")
	s.alter(1, func(i *ifwatch.Interface) { i.Carrier = false })
	s.deliver()
	if putOff := s.keeper.reannounce(s.keeper.members["a"], s.now); len(putOff) != 1 {
		t.Error("not put off")
	}
	s.wantEvents()
	m.Reannounce = Reannounce{}
	s.put(m)
	s.remove(1)
	s.deliver()
	s.heard()
	if next := s.keeper.nextWake(); !next.IsZero() {
		t.Errorf("wakes at %v", next)
	}
	s.sound()
}

// What waits for the interface to be up waits asleep.
func TestStoryRefusedAndDownSleeps(t *testing.T) {
	s := newStory(t)
	s.create(1, mac1)
	s.deliver()
	s.kernel.refuse = unix.EINVAL
	s.put(feed("a", "eth1", six))
	s.alter(1, func(i *ifwatch.Interface) { i.Up = false })
	s.deliver()
	if next := s.keeper.nextWake(); !next.IsZero() {
		t.Errorf("wakes at %v", next)
	}
	s.kernel.refuse = nil
	s.alter(1, func(i *ifwatch.Interface) { i.Up = true })
	s.deliver()
	s.later(time.Minute)
	if !s.hears(1, six) {
		t.Error("not joined once it is up")
	}
}

// While an interface is down IPv6 is neither joined nor left on it: both make
// every IPv6 membership on it deaf. IPv4 is.
func TestStoryNoChangeOfIPv6WhileDown(t *testing.T) {
	m := feed("a", "eth1", one, six)
	m.Rules.Require = nil
	s := joined(t, m)
	always := feed("b", "eth1", two, six2)
	always.Rules.Require = nil
	always.Rules = always.Rules.Normalize()
	always.Rules.Require = always.Rules.Require[:0]
	s.alter(1, func(i *ifwatch.Interface) { i.Up = false })
	s.deliver()
	s.kernelDid()
	s.put(always)
	s.wantKernel("1 joins, 0 leaves")
	s.wantState("b", StateDegraded, "eth1 (instance 1): IPv6 channels not joined: the interface is down, and a join would make it deaf once it is up")
	s.keeper.delete("a", s.now)
	s.wantKernel("0 joins, 1 leaves")
	s.alter(1, func(i *ifwatch.Interface) { i.Up = true; i.Returns.Ups++ })
	s.deliver()
	s.wantState("b", StateJoined, "eth1 (instance 1) matches name=eth1")
	if s.hears(1, six) || !s.hears(1, six2) {
		t.Error("IPv6 is not as wished once it is up")
	}
	s.sound()
}

// The life ends in the middle of an announcement, and somebody else is there at
// once: what is left to announce touches nobody.
func TestLifeEndsWhileAnnouncing(t *testing.T) {
	w := joinedWorld(one, two)
	w.kernel.joining = func() {
		w.kernel.joining = nil
		w.kernel.end(1)
		w.kernel.begin(1, "eth1")
		w.kernel.life(1, ifwatch.IPv4).foreignJoin(one)
	}
	w.keeper.reannounce(w.keeper.members["a"], w.now)
	if did := w.kernelDid(); did != "1 joins, 1 leaves" { // of what was under way
		t.Error(did)
	}
}
