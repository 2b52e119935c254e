package membership

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/reattach"
)

// world is a keeper over a fake kernel, with a watcher that lags behind it,
// merges what happened, and may lose events.
type world struct {
	kernel   *fakeKernel
	keeper   *keeper
	now      time.Time
	truth    map[int]ifwatch.Interface // what there is; its ID is of no meaning
	table    map[int]ifwatch.Interface // what the watcher read
	told     map[int]ifwatch.Interface // what the keeper took
	losing   bool                      // events are lost, until a resync
	lastID   ifwatch.ID
	events   []Event
	caller   *fakeConn
	after    func() // is called after each step of the keeper
	portions bool   // of one call each: what is left is due at once
	spins    bool   // what was done as its time had come left something to be done at once
}

func newWorld() *world {
	w := &world{
		kernel: newFakeKernel(),
		now:    time.Unix(1000, 0),
		truth:  make(map[int]ifwatch.Interface),
		table:  make(map[int]ifwatch.Interface),
		told:   make(map[int]ifwatch.Interface),
	}
	w.keeper = newKeeper(w.kernel, w.expire, func(e Event) { w.events = append(w.events, e) })
	w.caller = newFakeConn(w.kernel)
	w.after = func() {}
	return w
}

func ethernet(index int) string { return fmt.Sprint("eth", index) }

// create makes an interface that is up, ethN.
func (w *world) create(index int, mac string) {
	w.kernel.begin(index, ethernet(index))
	w.truth[index] = ifwatch.Interface{
		Index: index, Name: ethernet(index), Kind: "veth", MAC: mac, VLANID: -1, MTU: 1500,
		Up: true, Carrier: true, Running: true, Multicast: true,
		IPv4: ifwatch.Protocol{Alive: true}, IPv6: ifwatch.Protocol{Alive: true},
	}
	w.event(index)
}

func (w *world) remove(index int) {
	w.kernel.end(index)
	delete(w.truth, index)
	w.event(index)
}

func (w *world) recreate(index int, mac string) {
	w.remove(index)
	w.create(index, mac)
}

func (w *world) alter(index int, f func(*ifwatch.Interface)) {
	i := w.truth[index]
	f(&i)
	w.truth[index] = i
	w.event(index)
}

func (w *world) rename(index int, name string) {
	w.kernel.rename(index, name)
	w.alter(index, func(i *ifwatch.Interface) { i.Name = name })
}

// endIPv6 and beginIPv6 are what an MTU below 1280, and above again, does.
func (w *world) endIPv6(index int) {
	w.kernel.endProtocol(index, ifwatch.IPv6)
	w.alter(index, func(i *ifwatch.Interface) { i.IPv6.Alive, i.MTU = false, 1000 })
}

func (w *world) beginIPv6(index int) {
	w.kernel.beginProtocol(index, ifwatch.IPv6)
	w.alter(index, func(i *ifwatch.Interface) { i.IPv6.Alive, i.MTU = true, 1500 })
}

// event has the watcher read what happened at an index, unless it is lost.
func (w *world) event(index int) {
	if !w.losing {
		w.read(index)
	}
}

func (w *world) read(index int) {
	is, exists := w.truth[index]
	was, known := w.table[index]
	if !exists {
		delete(w.table, index)
		return
	}
	if !known {
		w.lastID++
		is.ID = w.lastID
		w.table[index] = is
		return
	}
	is.ID, is.Renames = was.ID, was.Renames
	if is.Name != was.Name {
		is.Renames++
	}
	for _, p := range []struct{ is, was *ifwatch.Protocol }{{&is.IPv4, &was.IPv4}, {&is.IPv6, &was.IPv6}} {
		p.is.Life = p.was.Life
		if p.was.Alive && !p.is.Alive {
			p.is.Life++
		}
	}
	w.table[index] = is
}

// expire is what the watcher does when told that an instance ended unseen.
func (w *world) expire(id ifwatch.ID) {
	for index, i := range w.table {
		if i.ID == id {
			delete(w.table, index)
			w.read(index)
		}
	}
}

// take returns what changed since the last call, merged.
func (w *world) take() ifwatch.Changes {
	var changes ifwatch.Changes
	for index := range 10 {
		was, known := w.told[index]
		is, exists := w.table[index]
		c := ifwatch.Change{Index: index, Read: w.now}
		if known && (!exists || is.ID != was.ID) {
			c.Removed = &was
		}
		if exists && !is.Equal(was) {
			c.Now = &is
		}
		if c.Removed != nil || c.Now != nil {
			changes.Changes = append(changes.Changes, c)
		}
		delete(w.told, index)
		if exists {
			w.told[index] = is
		}
	}
	return changes
}

// deliver tells the keeper what the watcher knows; while events are lost it
// says nothing.
func (w *world) deliver() {
	if !w.losing {
		w.keeper.observe(w.take(), w.now)
		w.after()
	}
}

// resync compares everything anew: a dump does not show that an index was
// reused.
func (w *world) resync() {
	w.losing = false
	for index := range 10 {
		w.read(index)
	}
	changes := w.take()
	changes.Resynced = true
	w.keeper.checkLives(w.now)
	changes.Changes = append(changes.Changes, w.take().Changes...)
	w.keeper.observe(changes, w.now)
	w.after()
}

// later lets time pass, and what is due by then happen.
func (w *world) later(d time.Duration) {
	w.now = w.now.Add(d)
	w.keeper.tick(w.now)
	if next := w.keeper.nextWake(); !next.IsZero() && !next.After(w.now) && !w.portions {
		w.spins = true
	}
	w.after()
}

// rest lets everything that is due happen.
func (w *world) rest() {
	if w.losing {
		w.resync()
	}
	w.deliver()
	for range 3 {
		w.later(time.Minute)
		w.waitInLine()
	}
}

// waitInLine lets everybody in line have their turn, who may, and all portions be
// made.
func (w *world) waitInLine() {
	next := func() time.Time { return earlier(w.keeper.line.nextTurn(), w.keeper.nextPortion()) }
	for at := next(); !at.IsZero(); at = next() {
		w.later(max(0, at.Sub(w.now)))
	}
}

func wishesOf(set ...Membership) []*wish {
	wishes, err := checkSet(set, nil)
	if err != nil {
		panic(err)
	}
	return wishes
}

func (w *world) put(m Membership)        { w.keeper.put(wishesOf(m)[0], w.now) }
func (w *world) apply(set ...Membership) { w.keeper.apply(wishesOf(set...), w.now) }

func (w *world) status(t *testing.T, name string) Status {
	t.Helper()
	s, found := w.keeper.statusOf(name)
	if !found {
		t.Fatalf("no membership %s", name)
	}
	return s
}

// heard returns the events since the last call in short: "type membership
// interface cause", or what else an event says.
func (w *world) heard() []string {
	var lines []string
	for _, e := range w.events {
		line := string(e.Type)
		for _, word := range []string{e.Membership, e.Interface, string(e.State), string(e.Cause)} {
			if word != "" {
				line += " " + word
			}
		}
		lines = append(lines, line)
	}
	w.events = nil
	return lines
}

// kernelDid returns the joins and the leaves since the last call.
func (w *world) kernelDid() string {
	k := w.kernel
	did := fmt.Sprintf("%d joins, %d leaves", len(k.joins), len(k.leaves))
	k.joins, k.leaves = nil, nil
	return did
}

func (w *world) hears(index int, c Channel) bool { return w.kernel.life(index, c.Family()).hears(c) }

func channel(text string) Channel {
	c, err := ParseChannel(text)
	if err != nil {
		panic(err)
	}
	return c
}

func channels(texts ...string) []Channel {
	var all []Channel
	for _, text := range texts {
		all = append(all, channel(text))
	}
	return all
}

// manyChannels returns the channels of so many sources and groups.
func manyChannels(sources, groups int) []Channel {
	var all []Channel
	for g := range groups {
		for s := range sources {
			all = append(all, Channel{
				netip.AddrFrom4([4]byte{10, 1, byte(s >> 8), byte(s + 1)}),
				netip.AddrFrom4([4]byte{232, 1, byte(g >> 8), byte(g)}),
			})
		}
	}
	return all
}

var (
	one  = channel("10.0.0.1@232.0.0.1")
	two  = channel("10.0.0.1@232.0.0.2")
	six  = channel("2001:db8::1@ff3e::8000:1")
	six2 = channel("2001:db8::1@ff3e::8000:2")
)

const mac1, mac2 = "02:00:00:00:00:01", "02:00:00:00:00:02"

// feed is a membership of channels on interfaces of a name.
func feed(name, glob string, channels ...Channel) Membership {
	return Membership{Name: name, Channels: channels, Rules: reattach.Rules{Selector: reattach.Selector{Name: reattach.Globs{glob}}}}
}

func with(m Membership, f func(*reattach.Rules)) Membership {
	f(&m.Rules)
	return m
}

func on(m Membership, c *fakeConn) Membership {
	m.Socket = c
	return m
}
