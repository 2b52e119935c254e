package ifwatch

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// tableWatcher is a watcher without a socket, in sync with nothing.
func tableWatcher() *Watcher {
	w := New(Options{})
	w.synced = true
	w.table.read = time.Unix(0, 0)
	return w
}

func with(index int, name string, changes ...func(*link)) link {
	return plainLink(append([]func(*link){func(l *link) { l.Index, l.Name = index, name }}, changes...)...)
}

func up(l *link)                   { l.Up, l.Carrier = true, true }
func master(index int) func(*link) { return func(l *link) { l.master = index } }
func parent(index int) func(*link) { return func(l *link) { l.parent = index } }
func ofMTU(mtu int) func(*link)    { return func(l *link) { l.MTU = mtu } }

func come(index int, prefix string) addressEvent {
	p := netip.MustParsePrefix(prefix)
	return addressEvent{index: index, address: Address{Prefix: p}, peer: p.Addr()}
}

func peered(peer string, e addressEvent) addressEvent {
	e.peer = netip.MustParseAddr(peer)
	return e
}

func gone(e addressEvent) addressEvent { e.gone = true; return e }

func unready(e addressEvent) addressEvent { e.address.Tentative = true; return e }

// after is time that passes between two events.
type after time.Duration

func (w *Watcher) play(events ...any) {
	for _, e := range events {
		if d, ok := e.(after); ok {
			w.table.read = w.table.read.Add(time.Duration(d))
			continue
		}
		w.table.apply(e, false)
	}
}

func texts(addresses []Address) []string {
	all := []string{}
	for _, a := range addresses {
		all = append(all, a.Prefix.String())
	}
	return all
}

// remembered is what Removed has to show.
type remembered struct {
	Up, Carrier    bool
	Parent, Master string
	Addresses      []string
}

func TestK7RemovedShowsTheHealthyInstance(t *testing.T) {
	t.Parallel()
	uppers := []any{with(2, "trunk0"), with(3, "br0")}
	healthy := with(5, "eth0", up, parent(2), master(3))
	downed := with(5, "eth0", parent(2), master(3))
	a, b, c := come(5, "10.1.0.2/24"), come(5, "10.2.0.2/24"), come(5, "2001:db8::2/64")
	local := come(5, "fe80::1/64")
	tests := []struct {
		name   string
		events []any
		want   remembered
	}{
		{"deleted at once", []any{healthy, a, c},
			remembered{true, true, "trunk0", "br0", []string{"10.1.0.2/24", "2001:db8::2/64"}}},
		{"as the kernel removes", []any{healthy, a, b, c, local, downed, gone(local), gone(c), with(5, "eth0", parent(2)), gone(a), gone(b)},
			remembered{true, true, "trunk0", "br0", []string{"10.1.0.2/24", "10.2.0.2/24", "fe80::1/64", "2001:db8::2/64"}}},
		{"parent leaves first", []any{healthy, downed, linkGone{2}, with(5, "eth0")},
			remembered{true, true, "trunk0", "br0", []string{}}},
		{"flushed, then deleted", []any{healthy, a, b, c, gone(a), gone(b), gone(c), downed},
			remembered{true, true, "trunk0", "br0", []string{"10.1.0.2/24", "10.2.0.2/24", "2001:db8::2/64"}}},
		{"flushed, deleted a day later", []any{healthy, a, b, gone(a), gone(b), after(24 * time.Hour), downed},
			remembered{true, true, "trunk0", "br0", []string{"10.1.0.2/24", "10.2.0.2/24"}}},
		{"readdressed long before, then flushed", []any{healthy, a, b, gone(a), after(time.Hour), gone(b)},
			remembered{true, true, "trunk0", "br0", []string{"10.2.0.2/24"}}},
		{"readdressed by flushing", []any{healthy, a, gone(a), b},
			remembered{true, true, "trunk0", "br0", []string{"10.2.0.2/24"}}},
		{"one address taken back", []any{healthy, a, b, gone(a)},
			remembered{true, true, "trunk0", "br0", []string{"10.2.0.2/24"}}},
		{"link-local again after down and up", []any{healthy, local, c, downed, gone(local), gone(c), healthy, local, downed, gone(local)},
			remembered{true, true, "trunk0", "br0", []string{"2001:db8::2/64", "fe80::1/64"}}},
		{"out of the bridge, and up", []any{healthy, with(5, "eth0", up, parent(2)), with(5, "eth0", parent(2))},
			remembered{true, true, "trunk0", "", []string{}}},
		{"never up", []any{with(5, "eth0", parent(2))},
			remembered{false, false, "trunk0", "", []string{}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := tableWatcher()
			w.play(uppers...)
			w.play(tt.events[0])
			w.Take()
			w.play(tt.events[1:]...)
			w.Take()
			w.play(linkGone{5})
			changes := w.Take().Changes
			if len(changes) != 1 || changes[0].Removed == nil || changes[0].Now != nil {
				t.Fatalf("%+v", changes)
			}
			r := changes[0].Removed
			got := remembered{r.Up, r.Carrier, r.Parent, r.Master, texts(r.Addresses)}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAddressesWithPeers(t *testing.T) {
	t.Parallel()
	w := tableWatcher()
	first, second := peered("10.9.0.1", come(5, "10.1.0.2/32")), peered("10.9.0.2", come(5, "10.1.0.2/32"))
	show := func(step string, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, texts(w.table.records[5].now.Addresses)); diff != "" {
			t.Errorf("%s: %s", step, diff)
		}
	}
	w.play(with(5, "ppp0", up), first, unready(second))
	show("two with one prefix", "10.1.0.2/32")
	if w.table.records[5].now.Addresses[0].Tentative {
		t.Error("tentative, though one of the two is not")
	}
	w.play(gone(first))
	show("one of them gone", "10.1.0.2/32")
	w.play(gone(second), gone(second))
	show("both gone", []string{}...)
}

func TestTentativeAddressBecomesReady(t *testing.T) {
	t.Parallel()
	w := tableWatcher()
	a := come(5, "2001:db8::1/64")
	w.play(with(5, "eth0"), unready(a))
	before := w.Take().Changes[0].Now
	w.play(a)
	now := w.Take().Changes[0].Now
	if !before.Addresses[0].Tentative || now.Addresses[0].Tentative {
		t.Errorf("before %+v, now %+v", before.Addresses, now.Addresses)
	}
}

func TestK8Lives(t *testing.T) {
	t.Parallel()
	w := tableWatcher()
	w.play(with(5, "ifb0"))
	w.Take()
	w.play(with(5, "ifb0", ofMTU(1279)), with(5, "ifb0", ofMTU(60)), with(5, "ifb0", ofMTU(67)), with(5, "ifb0", ofMTU(68)), with(5, "ifb0", ofMTU(1280)),
		with(5, "ifb0", ofMTU(1000)), with(5, "ifb0", ofMTU(1400)))
	now := w.Take().Changes[0].Now
	if want := (Protocol{true, 1}); now.IPv4 != want {
		t.Errorf("IPv4: %+v, want %+v", now.IPv4, want)
	}
	if want := (Protocol{true, 2}); now.IPv6 != want {
		t.Errorf("IPv6: %+v, want %+v", now.IPv6, want)
	}
	w.play(with(6, "small0", ofMTU(1000)), with(6, "small0"))
	if got, want := w.Take().Changes[0].Now.IPv6, (Protocol{true, 0}); got != want {
		t.Errorf("first raised later: %+v, want %+v", got, want)
	}
}

func TestNamesFollow(t *testing.T) {
	t.Parallel()
	w := tableWatcher()
	check := func(step, parent, master string) {
		t.Helper()
		if got := w.table.records[5].now; got.Parent != parent || got.Master != master {
			t.Errorf("%s: parent %q, master %q, want %q, %q", step, got.Parent, got.Master, parent, master)
		}
	}
	w.play(with(5, "vlan0", parent(2), master(3)))
	check("neither known yet", "", "")
	w.play(with(2, "eth0"), with(3, "br0"))
	check("known", "eth0", "br0")
	w.play(with(2, "lan0"))
	check("parent renamed", "lan0", "br0")
	w.play(linkGone{3})
	check("master gone", "lan0", "br0")
	w.play(with(5, "vlan0", parent(2), master(9)))
	check("another master, not known", "lan0", "")
	w.play(with(9, "br9"), with(5, "vlan0", parent(2)))
	check("no master", "lan0", "")
	w.play(with(5, "vlan0", parent(2), master(2)), with(5, "vlan0", master(2)), with(2, "both0"))
	check("was parent and master", "", "both0")
	w.play(linkGone{5}, linkGone{2}, linkGone{9})
	if len(w.table.dependents) != 0 || len(w.table.records) != 0 {
		t.Errorf("left behind: %v, %v", w.table.dependents, w.table.records)
	}
}

// A dump is read first and queued later: an event may overtake an answer.
func TestEventsOvertakeAnswers(t *testing.T) {
	t.Parallel()
	w := tableWatcher()
	a, b := come(5, "10.1.0.2/24"), come(5, "10.2.0.2/24")
	w.play(with(4, "old0"), with(5, "eth0"), a)
	w.table.beginDump()
	w.table.requested()
	w.play(linkGone{4}, with(6, "new0"), with(5, "lan0"))
	for _, stale := range []any{with(4, "old0"), with(5, "eth0"), with(6, "other0"), with(7, "eth7")} {
		w.table.apply(stale, true)
	}
	w.table.sweepLinks()
	w.table.requested()
	w.play(gone(a), b, linkGone{7}, with(7, "eth7"))
	for _, stale := range []any{a, unready(b), come(7, "10.7.0.2/24"), come(6, "10.6.0.2/24")} {
		w.table.apply(stale, true)
	}
	w.table.sweepAddresses()
	w.table.endDump()

	got := make(map[string][]string)
	for _, r := range w.table.records {
		got[r.now.Name] = texts(r.now.Addresses)
	}
	want := map[string][]string{"lan0": {"10.2.0.2/24"}, "new0": {"10.6.0.2/24"}, "eth7": {}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if w.table.records[5].now.Addresses[0].Tentative {
		t.Error("the stale answer made the address tentative")
	}
}
