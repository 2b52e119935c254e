package membership

import (
	"testing"
	"time"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/reattach"
)

// successor is the world with another keeper, which was handed what the first
// one held, and then told what to keep. Meanwhile something may happen.
func (w *world) successor(t *testing.T, meanwhile func(), set ...Membership) *world {
	t.Helper()
	holdings, _ := w.keeper.holdings()
	memory := Memory{}.with(w.keeper.memory())
	old := w.keeper
	next := *w
	next.told, next.lastID, next.events = make(map[int]ifwatch.Interface), w.lastID+100, nil
	next.keeper = newKeeper(w.kernel, next.expire, func(e Event) { next.events = append(next.events, e) })
	next.keeper.auditEvery = time.Minute
	next.keeper.newID = func() ifwatch.ID { next.lastID++; return next.lastID }
	next.keeper.remembered = memory.Memberships
	next.kernel.joins, next.kernel.leaves = nil, nil
	estate := next.estateOf(old, holdings)
	meanwhile()
	next.keeper.inherit(estate)
	next.deliver()
	next.apply(set...)
	next.keeper.wishesKnown, next.keeper.suspicious = true, true
	next.keeper.flush(next.now)
	if err := next.miscounted(); err != nil {
		t.Error(err)
	}
	return &next
}

// estateOf gives the sockets of a keeper to the next, as duplicates do.
func (w *world) estateOf(old *keeper, holdings []Holding) *estate {
	sockets := make(map[uint64]*fakeSocket)
	for s := range w.kernel.open_ {
		sockets[uint64(s.number)] = s
	}
	e := &estate{byPlace: make(map[string][]*inheritance)}
	for _, h := range holdings {
		i := &inheritance{at: place{h.Index, h.Family}}
		if h.Life != 0 {
			i.life = old.instanceAt(h.Index).probes[h.Family]
		}
		for _, s := range h.Sockets {
			i.sockets = append(i.sockets, heldBy{sockets[s.Cookie], s.Channels})
		}
		e.byPlace[h.Place] = append(e.byPlace[h.Place], i)
	}
	return e
}

func nothing() {}

func wantJoined(t *testing.T, w *world, name string, channels int) {
	t.Helper()
	if s := w.status(t, name); s.State != StateJoined || s.Joined != channels || s.Counters.Reattaches != 0 {
		t.Errorf("%+v", s)
	}
}

func TestHandoverTouchesNothing(t *testing.T) {
	all := append(manyChannels(5, 3), six, six2) // on several sockets
	m := feed("a", "eth1", all...)
	for name, rules := range map[string]func(*reattach.Rules){
		"match": func(*reattach.Rules) {},
		"same": func(r *reattach.Rules) {
			r.Policy = reattach.Policy{Kind: reattach.PolicySame, Same: []reattach.Attribute{reattach.MAC}}
		},
		"never":  func(r *reattach.Rules) { r.Policy.Kind = reattach.PolicyNever },
		"settle": func(r *reattach.Rules) { r.Settle = time.Hour },
	} {
		t.Run(name, func(t *testing.T) {
			m := with(m, rules)
			w := newWorld()
			w.create(1, mac1)
			w.put(m)
			w.deliver()
			w.later(time.Hour)
			next := w.successor(t, nothing, m)
			if did := next.kernelDid(); did != "0 joins, 0 leaves" {
				t.Error(did)
			}
			wantJoined(t, next, "a", len(all))
			next.later(time.Hour)
			if did := next.kernelDid(); did != "0 joins, 0 leaves" {
				t.Error(did)
			}
			next.keeper.shutdown(next.now)
			if n := len(next.kernel.open_); n != 0 {
				t.Errorf("%d sockets are left", n)
			}
		})
	}
}

// What it does not take over it leaves, and what is new it joins.
func TestHandoverToAnotherSet(t *testing.T) {
	w := newWorld()
	w.create(1, mac1)
	w.create(2, mac2)
	w.apply(feed("a", "eth1", manyChannels(4, 1)...), feed("b", "eth2", one))
	w.deliver()
	next := w.successor(t, nothing, feed("a", "eth1", append(manyChannels(3, 1), two)...))
	if did := next.kernelDid(); did != "1 joins, 2 leaves" {
		t.Error(did)
	}
	wantJoined(t, next, "a", 4)
	if next.hears(2, one) || next.hears(1, manyChannels(4, 1)[3]) || !next.hears(1, two) {
		t.Error("what is joined is not what is wished for")
	}
}

// The interface is another by the time that its sockets come: nothing of the
// old life is believed, and nobody's membership taken.
func TestHandoverOfADeadLife(t *testing.T) {
	w := newWorld()
	w.create(1, mac1)
	m := feed("a", "eth1", one, six)
	w.put(m)
	w.deliver()
	next := w.successor(t, func() {
		w.recreate(1, mac1)
		w.kernel.life(1, ifwatch.IPv4).foreignJoin(one)
	}, m)
	if err := next.robbed(); err != nil {
		t.Error(err)
	}
	if s := next.status(t, "a"); s.State != StateJoined || s.Counters.Reattaches != 1 {
		t.Errorf("%+v", s)
	}
	if n := len(next.keeper.parking.stale); n != 2 { // a family each
		t.Errorf("%d places have parked sockets", n)
	}
	next.remove(1)
	next.deliver()
	if n := len(next.kernel.open_); n != 0 {
		t.Errorf("%d sockets are left", n)
	}
}

// What is parked stays so.
func TestHandoverOfParkedSockets(t *testing.T) {
	w := newWorld()
	w.create(1, mac1)
	m := feed("a", "eth1", one)
	w.put(m)
	w.deliver()
	w.recreate(1, mac1)
	w.deliver()
	next := w.successor(t, func() { w.kernel.life(1, ifwatch.IPv4).foreignJoin(two) }, m)
	if did := next.kernelDid(); did != "0 joins, 0 leaves" {
		t.Error(did)
	}
	wantJoined(t, next, "a", 1)
	if len(next.keeper.parking.stale) != 1 {
		t.Error("nothing is parked")
	}
}

// The link is down, as it may be while a membership stays attached.
func TestHandoverWhileDown(t *testing.T) {
	m := feed("a", "eth1", one, six)
	down := func() *world {
		w := newWorld()
		w.create(1, mac1)
		w.put(m)
		w.deliver()
		w.alter(1, func(i *ifwatch.Interface) { i.Up = false })
		w.deliver()
		return w
	}
	next := down().successor(t, nothing, m)
	wantJoined(t, next, "a", 2)
	if did := next.kernelDid(); did != "0 joins, 0 leaves" {
		t.Error(did)
	}
	other := down().successor(t, nothing) // nothing is wished for any more
	if did := other.kernelDid(); did != "0 joins, 1 leaves" {
		t.Errorf("while it is down IPv6 is not touched: %s", did)
	}
	other.alter(1, func(i *ifwatch.Interface) { i.Up = true })
	other.deliver()
	if did := other.kernelDid(); did != "0 joins, 1 leaves" {
		t.Errorf("once it is up: %s", did)
	}
}

// What the kernel lost meanwhile is joined again.
func TestHandoverIsAudited(t *testing.T) {
	w := newWorld()
	w.create(1, mac1)
	m := feed("a", "eth1", one, two)
	w.put(m)
	w.deliver()
	next := w.successor(t, func() { w.kernel.life(1, ifwatch.IPv4).rob(one) }, m)
	if !next.hears(1, one) || next.status(t, "a").Counters.Repairs != 1 {
		t.Errorf("not repaired: %+v", next.status(t, "a"))
	}
}
