package ifwatch

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// modelLink is one interface as a kernel of few interfaces has it.
type modelLink struct {
	life      int // of the index, as far as a watcher can know
	name      string
	up        bool
	mtu       int
	master    int
	addresses map[netip.Prefix]bool // tentative
}

// model is a kernel, a watcher that hears of it, and a consumer.
type model struct {
	*rapid.T
	w       *Watcher
	links   map[int]*modelLink
	missing map[int]int // lives that ended unheard, by index
	lives   int
	deaf    bool // events are lost

	view  map[int]Interface // what the consumer knows
	ids   map[int]ID        // by life
	ended map[int]bool      // lives whose removal the consumer owes
	told  map[ID]bool       // removals that it was told
}

func (m *model) hear(event any) {
	if !m.deaf {
		m.w.table.apply(event, false)
	}
}

func (m *model) message(index int) link {
	l := m.links[index]
	return with(index, l.name, master(l.master), ofMTU(l.mtu), func(k *link) { k.Up = l.up })
}

func (m *model) address(index int, p netip.Prefix, gone bool) addressEvent {
	return addressEvent{index, Address{p, m.links[index].addresses[p]}, p.Addr(), gone}
}

func (m *model) create(index int) {
	life, unheard := m.missing[index]
	if !unheard {
		m.lives++
		life = m.lives
	}
	delete(m.missing, index)
	m.links[index] = &modelLink{life: life, name: fmt.Sprint("eth", index), mtu: 1500, addresses: make(map[netip.Prefix]bool)}
	m.hear(m.message(index))
}

// remove does what the kernel does: down, addresses, ports, the interface.
func (m *model) remove(index int) {
	l := m.links[index]
	if l.up {
		l.up = false
		m.hear(m.message(index))
	}
	for p := range l.addresses {
		m.hear(m.address(index, p, true))
		delete(l.addresses, p)
	}
	for port, p := range m.links {
		if p.master == index {
			p.master = 0
			m.hear(m.message(port))
		}
	}
	delete(m.links, index)
	if m.deaf {
		m.missing[index] = l.life
	} else {
		m.ended[l.life] = true
	}
	m.hear(linkGone{index})
}

var modelPrefixes = []netip.Prefix{
	netip.MustParsePrefix("10.1.0.2/24"), netip.MustParsePrefix("10.2.0.2/24"), netip.MustParsePrefix("2001:db8::2/64"), netip.MustParsePrefix("fe80::2/64"),
}

// step is one thing that happens in the kernel.
func (m *model) step() {
	index := rapid.IntRange(1, 4).Draw(m.T, "index")
	l := m.links[index]
	if l == nil {
		m.create(index)
		return
	}
	p := rapid.SampledFrom(modelPrefixes).Draw(m.T, "prefix")
	switch what := rapid.SampledFrom([]string{"remove", "rename", "up", "mtu", "master", "address", "no address", "partial"}).Draw(m.T, "what"); what {
	case "remove":
		m.remove(index)
		return
	case "address":
		l.addresses[p] = rapid.Bool().Draw(m.T, "tentative")
		m.hear(m.address(index, p, false))
		return
	case "no address":
		if _, ok := l.addresses[p]; ok {
			m.hear(m.address(index, p, true))
			delete(l.addresses, p)
		}
		return
	case "rename":
		l.name = rapid.SampledFrom([]string{"lan", "wan"}).Draw(m.T, "name") + fmt.Sprint(index)
	case "up":
		l.up = !l.up
	case "mtu":
		l.mtu = rapid.SampledFrom([]int{60, 1000, 1500}).Draw(m.T, "mtu")
	case "master":
		l.master = 0
		if other := rapid.IntRange(1, 4).Draw(m.T, "master"); other != index && m.links[other] != nil {
			l.master = other
		}
	}
	m.hear(m.message(index))
}

// lose loses events, then dumps. Answers are as old as can be: all were read
// when the dump was requested, and events overtake them.
func (m *model) lose() {
	m.w.lost(errOverrun)
	m.deaf = true
	for range rapid.IntRange(0, 6).Draw(m.T, "lost events") {
		m.step()
	}
	m.deaf = false

	m.w.table.beginDump()
	var answers []any
	for index := range m.links {
		answers = append(answers, m.message(index))
	}
	m.answer(answers)
	m.w.table.sweepLinks()
	for _, life := range m.missing {
		m.ended[life] = true
	}
	clear(m.missing)

	answers = nil
	for index, l := range m.links {
		for p := range l.addresses {
			answers = append(answers, m.address(index, p, false))
		}
	}
	m.answer(answers)
	m.w.table.sweepAddresses()
	m.w.table.endDump()
	m.w.synced = true
}

func (m *model) answer(answers []any) {
	m.w.table.requested()
	for _, a := range answers {
		for range rapid.IntRange(0, 2).Draw(m.T, "events meanwhile") {
			m.step()
		}
		m.w.table.apply(a, true)
	}
}

// take is the consumer's turn.
func (m *model) take() {
	seen := make(map[int]bool)
	for _, c := range m.w.Take().Changes {
		if seen[c.Index] {
			m.Errorf("index %d twice", c.Index)
		}
		seen[c.Index] = true
		if known, ok := m.view[c.Index]; c.Removed != nil {
			if !ok || known.ID != c.Removed.ID || m.told[c.Removed.ID] {
				m.Errorf("index %d: removed %v, the consumer knew %v", c.Index, c.Removed, known)
			}
			m.told[c.Removed.ID] = true
			delete(m.view, c.Index)
		}
		if c.Now == nil {
			continue
		}
		if known, ok := m.view[c.Index]; ok && known.ID != c.Now.ID {
			m.Errorf("index %d: now %v, and %v was not removed", c.Index, c.Now, known)
		}
		if m.told[c.Now.ID] {
			m.Errorf("index %d: instance %d came back", c.Index, c.Now.ID)
		}
		m.view[c.Index] = *c.Now
	}
	m.compare()
}

// compare compares what the consumer knows with what there is.
func (m *model) compare() {
	if got, want := slices.Sorted(maps.Keys(m.view)), slices.Sorted(maps.Keys(m.links)); !slices.Equal(got, want) {
		m.Fatalf("the consumer knows %v, want %v", got, want)
	}
	for index, l := range m.links {
		got := m.view[index]
		if id, ok := m.ids[l.life]; ok && id != got.ID {
			m.Errorf("index %d: instance %d became %d", index, id, got.ID)
		}
		m.ids[l.life] = got.ID
		want := m.message(index).Interface
		want.ID, want.Renames, want.Returns = got.ID, got.Renames, got.Returns
		if on := m.links[l.master]; on != nil {
			want.Master = on.name
		}
		for _, a := range got.Addresses { // in the order that the consumer has
			if tentative, ok := l.addresses[a.Prefix]; ok {
				want.Addresses = append(want.Addresses, Address{a.Prefix, tentative})
			}
		}
		if len(got.Addresses) != len(l.addresses) {
			m.Errorf("index %d: addresses %v, want %v", index, got.Addresses, l.addresses)
		}
		want.IPv4 = Protocol{l.mtu >= minMTUv4, got.IPv4.Life}
		want.IPv6 = Protocol{l.mtu >= minMTUv6, got.IPv6.Life}
		if !got.Equal(want) {
			m.Errorf("index %d: %s", index, cmp.Diff(want, got, compareAddresses))
		}
	}
	for life := range m.ended {
		if id, known := m.ids[life]; known && !m.told[id] {
			m.Errorf("instance %d ended and the consumer was not told", id)
		}
	}
	clear(m.ended)
}

func TestConsumerSeesTheModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := &model{T: t, w: tableWatcher(), links: make(map[int]*modelLink), missing: make(map[int]int),
			view: make(map[int]Interface), ids: make(map[int]ID), ended: make(map[int]bool), told: make(map[ID]bool)}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 9).Draw(t, "next") {
			case 0:
				m.lose()
			case 1, 2:
				m.take()
			default:
				m.step()
			}
		}
		m.take()
		if len(m.w.mailbox.known) != len(m.links) || len(m.w.mailbox.pending) != 0 {
			t.Errorf("%d known, %d pending, %d exist", len(m.w.mailbox.known), len(m.w.mailbox.pending), len(m.links))
		}
	})
}
