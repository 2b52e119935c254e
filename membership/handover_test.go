package membership

import (
	"maps"
	"slices"
	"strings"
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
	next.table = make(map[int]ifwatch.Interface)
	next.keeper = newKeeper(w.kernel, next.expire, func(e Event) { next.events = append(next.events, e) })
	next.keeper.auditEvery = time.Minute
	next.keeper.newID = func() ifwatch.ID { next.lastID++; return next.lastID }
	next.keeper.remembered, next.keeper.drainedBefore = memory.Memberships, memory.Drained
	next.kernel.joins, next.kernel.leaves = nil, nil
	estate := next.estateOf(old, holdings)
	meanwhile()
	for _, index := range slices.Sorted(maps.Keys(w.truth)) {
		next.read(index) // it numbers them anew
	}
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
		i := &inheritance{at: place{h.Index, h.Family}, instance: h.Instance}
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

// What is attached stays so, whatever the interface is like by now: also several
// memberships with other rules, of which the first one takes the sockets.
func TestHandoverWhateverItIsLike(t *testing.T) {
	mac := func(w *world) {
		w.alter(1, func(i *ifwatch.Interface) { i.MAC = mac2 })
	}
	for name, c := range map[string]struct{ before, meanwhile func(*world) }{
		"other MAC":           {before: mac},
		"down":                {before: func(w *world) { w.alter(1, func(i *ifwatch.Interface) { i.Up = false }) }},
		"renamed":             {before: func(w *world) { w.rename(1, "other") }},
		"other MAC meanwhile": {meanwhile: mac},
		"down meanwhile":      {meanwhile: func(w *world) { w.alter(1, func(i *ifwatch.Interface) { i.Up = false }) }},
		"renamed just now": {before: func(w *world) {
			w.kernel.hidden = true // its new name is not there yet
			w.rename(1, "other")
			w.deliver()
			w.kernel.hidden = false
		}},
	} {
		t.Run(name, func(t *testing.T) {
			rules := func(r *reattach.Rules) {
				r.Selector.MAC = reattach.Globs{mac1}
				r.Policy.Kind, r.OnChange = reattach.PolicyNever, reattach.OnChangeKeep
			}
			set := []Membership{with(feed("a", "eth1", one), rules), with(feed("b", "eth*", one, two), rules), with(feed("c", "e*", six), rules)}
			w := newWorld()
			w.create(1, mac1)
			w.apply(set...)
			w.deliver()
			did := func(f func(*world)) func() {
				return func() {
					if f != nil {
						f(w)
					}
				}
			}
			did(c.before)()
			w.deliver()
			next := w.successor(t, did(c.meanwhile), set...)
			if did := next.kernelDid(); did != "0 joins, 0 leaves" {
				t.Error(did)
			}
			for _, m := range set {
				wantJoined(t, next, m.Name, len(m.Channels))
			}
			if n := next.parkedSockets(); n != 0 {
				t.Errorf("%d sockets are parked", n)
			}
		})
	}
}

// Which life an interface is in is known also where nothing is joined on it.
func TestHandoverOfALifeAlone(t *testing.T) {
	never := with(feed("a", "eth1", one), func(r *reattach.Rules) { r.Policy.Kind = reattach.PolicyNever })
	drained := func() *world {
		w := newWorld()
		w.create(1, mac1)
		w.put(never)
		w.deliver()
		if _, err := w.keeper.drain("eth1", w.now); err != nil {
			t.Fatal(err)
		}
		w.alter(1, func(i *ifwatch.Interface) { i.MAC = mac2 })
		w.deliver()
		return w
	}
	w := drained()
	next := w.successor(t, func() { w.alter(1, func(i *ifwatch.Interface) { i.MAC = mac1 }) }, never)
	if s := next.status(t, "a"); s.State != StateHeld {
		t.Errorf("%+v", s)
	}
	next = next.successor(t, nothing, never)
	if err := next.keeper.undrain("eth1", next.now); err != nil {
		t.Fatal(err)
	}
	if s := next.status(t, "a"); s.State != StateJoined {
		t.Errorf("%+v", s)
	}

	w = drained()
	next = w.successor(t, func() { w.recreate(1, mac2) }, never)
	if s := next.status(t, "a"); s.State != StateEnded || len(next.keeper.memory().Drained) != 0 {
		t.Errorf("another life is taken for it: %+v", s)
	}
}

// What is attached is not lost: it stands in the way of nothing that came
// meanwhile.
func TestHandoverToMore(t *testing.T) {
	m := with(feed("a", "eth*", one), func(r *reattach.Rules) {
		r.Attach, r.Policy = reattach.AttachAll, reattach.Policy{Kind: reattach.PolicySame, Same: []reattach.Attribute{reattach.MAC}}
	})
	w := newWorld()
	w.create(2, mac1)
	w.put(m)
	w.deliver()
	next := w.successor(t, func() { w.create(1, mac2) }, m)
	if s := next.status(t, "a"); len(s.Attachments) != 2 || s.Counters.Reattaches != 0 {
		t.Errorf("%+v", s)
	}
}

// What the next manager leaves first is lost, and may come back as such.
func TestHandoverOfWhatIsLeft(t *testing.T) {
	m := with(feed("a", "eth1", one), func(r *reattach.Rules) {
		r.Selector.MAC, r.OnChange, r.Settle = reattach.Globs{mac1}, reattach.OnChangeLeave, time.Second
	})
	w := newWorld()
	w.create(1, mac1)
	w.put(m)
	w.deliver()
	w.later(time.Second)
	set := func(mac string) { w.alter(1, func(i *ifwatch.Interface) { i.MAC = mac }) }
	next := w.successor(t, func() { set(mac2) }, m)
	if s := next.status(t, "a"); s.State != StateDetached || next.hears(1, one) {
		t.Errorf("%+v", s)
	}
	next.alter(1, func(i *ifwatch.Interface) { i.MAC = mac1 })
	next.deliver()
	if s := next.status(t, "a"); s.State != StateSettling {
		t.Errorf("%+v", s)
	}
}

// What goes on is each family that a membership was ready for: where it was ready
// for IPv6 alone, and that has died meanwhile, the membership is detached, though
// IPv4 goes on. It is lost, and the instance is the same.
func TestHandoverOfOneFamily(t *testing.T) {
	for name, later := range map[string]func(*world){
		"dead":                  func(w *world) { w.endIPv6(1) },
		"alive again, and down": func(w *world) { w.endIPv6(1); w.beginIPv6(1); w.alter(1, func(i *ifwatch.Interface) { i.Up = false }) },
	} {
		t.Run(name, func(t *testing.T) {
			only6 := with(feed("a", "eth1", six), func(r *reattach.Rules) { r.Policy.Kind = reattach.PolicyNever })
			both := feed("b", "eth1", one, six2)
			w := newWorld()
			w.create(1, mac1)
			w.apply(only6, both)
			w.deliver()
			next := w.successor(t, func() { later(w) }, only6, both)
			if s := next.status(t, "a"); len(s.Attachments) != 0 || s.State == StateEnded {
				t.Errorf("%+v", s)
			}
			if s := next.status(t, "b"); s.Joined != 1 || s.State != StateDegraded {
				t.Errorf("%+v", s)
			}
		})
	}
}

// What came back while nobody looked, and took with it what the network knew, is
// announced anew; and nothing else is.
func TestHandoverWhileSomethingComesBack(t *testing.T) {
	carrier := func(on bool) func(*ifwatch.Interface) {
		return func(i *ifwatch.Interface) { i.Carrier, i.Running = on, on }
	}
	for name, test := range map[string]struct {
		before, meanwhile func(*ifwatch.Interface)
		want              []string
	}{
		"nothing":         {func(*ifwatch.Interface) {}, func(*ifwatch.Interface) {}, nil},
		"carrier":         {carrier(false), carrier(true), []string{"reannounced a eth1 carrier"}},
		"carrier, unseen": {carrier(true), func(i *ifwatch.Interface) { i.Returns.Carriers++ }, []string{"reannounced a eth1 carrier"}},
		"up":              {func(i *ifwatch.Interface) { i.Up = false }, func(i *ifwatch.Interface) { i.Up = true }, []string{"reannounced a eth1 up"}},
		"carrier, gone":   {carrier(true), carrier(false), nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.create(1, mac1)
			m := feed("a", "eth1", one)
			w.put(m)
			w.deliver()
			w.alter(1, test.before)
			w.deliver()
			next := w.successor(t, func() { w.alter(1, test.meanwhile) }, m)
			wantJoined(t, next, "a", 1)
			got := slices.DeleteFunc(next.heard(), func(e string) bool { return !strings.HasPrefix(e, "reannounced") })
			if !slices.Equal(got, test.want) {
				t.Errorf("heard %v, want %v", got, test.want)
			}
		})
	}
}
