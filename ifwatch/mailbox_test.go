package ifwatch

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func told(c Changes) []string {
	var all []string
	for _, c := range c.Changes {
		line := fmt.Sprint(c.Index)
		if c.Removed != nil {
			line += " -" + c.Removed.Name
		}
		if c.Now != nil {
			line += " +" + c.Now.Name
		}
		all = append(all, line)
	}
	return all
}

func TestMerging(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name          string
		before, after []any // the consumer takes in between
		want          []string
	}{
		{"new", nil, []any{with(5, "a")}, []string{"5 +a"}},
		{"new and changed", nil, []any{with(5, "a"), with(5, "b")}, []string{"5 +b"}},
		{"come and gone", nil, []any{with(5, "a"), linkGone{5}}, nil},
		{"changed and gone", []any{with(5, "a")}, []any{with(5, "b"), linkGone{5}}, []string{"5 -b"}},
		{"gone and come", []any{with(5, "a")}, []any{linkGone{5}, with(5, "a")}, []string{"5 -a +a"}},
		{"gone, come and gone", []any{with(5, "a")}, []any{linkGone{5}, with(5, "b"), linkGone{5}}, []string{"5 -a"}},
		{"gone, come, gone and come", []any{with(5, "a")}, []any{linkGone{5}, with(5, "b"), linkGone{5}, with(5, "c")}, []string{"5 -a +c"}},
		{"nothing new", []any{with(5, "a"), come(5, "10.1.0.1/24")}, []any{with(5, "a"), come(5, "10.1.0.1/24"), gone(come(5, "10.9.0.1/24")), linkGone{9}}, nil},
		{"in the order of the first change", []any{with(7, "a"), with(3, "b"), with(5, "c")}, []any{with(5, "C"), linkGone{7}, with(9, "d"), with(5, "c"), with(3, "B")}, []string{"5 +c", "7 -a", "9 +d", "3 +B"}},
		{"address of no interface", nil, []any{come(5, "10.1.0.1/24")}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := tableWatcher()
			w.play(tt.before...)
			w.Take()
			w.play(tt.after...)
			if diff := cmp.Diff(tt.want, told(w.Take())); diff != "" {
				t.Error(diff)
			}
			if again := w.Take(); len(again.Changes) != 0 || again.Resynced {
				t.Errorf("a second time: %+v", again)
			}
		})
	}
}

func TestRead(t *testing.T) {
	t.Parallel()
	w := tableWatcher()
	w.play(with(5, "a"), with(6, "b"), after(time.Second), with(5, "c"))
	got := w.Take().Changes
	if d := got[0].Read.Sub(got[1].Read); d != time.Second {
		t.Errorf("read %v after the other, want a second", d)
	}
}

// A consumer that sleeps costs no more than what it knew and what exists.
func TestSleepingConsumer(t *testing.T) {
	t.Parallel()
	w := tableWatcher()
	w.play(with(5, "known", up), come(5, "10.1.0.1/24"))
	known := w.Take().Changes[0].Now.ID
	for n := range 10_000 {
		w.play(linkGone{5}, with(5, fmt.Sprint("same", n), up), come(5, "10.1.0.1/24"),
			with(100+n, fmt.Sprint("fresh", n), master(5)), come(100+n, "10.2.0.1/24"), linkGone{100 + n})
	}
	b := w.mailbox
	if len(b.pending) != 1 || len(b.known) != 0 || len(w.table.records) != 1 {
		t.Errorf("%d pending, %d known, %d records, want 1, 0, 1", len(b.pending), len(b.known), len(w.table.records))
	}
	if n := len(w.table.dependents); n != 0 {
		t.Errorf("%d dependents left", n)
	}
	got := w.Take().Changes
	if len(got) != 1 || got[0].Removed == nil || got[0].Removed.ID != known || got[0].Now == nil || got[0].Now.Name != "same9999" {
		t.Errorf("%+v", got)
	}
}

func TestAddressChurnKeepsNothing(t *testing.T) {
	t.Parallel()
	w := tableWatcher()
	w.play(with(5, "eth0"))
	for n := range 10_000 {
		a := come(5, fmt.Sprintf("10.%d.%d.1/24", n>>8, n&255))
		local := come(5, fmt.Sprintf("fe80::%x/64", n+1))
		w.play(a, local, gone(local), gone(a), after(time.Second))
	}
	if n := len(w.table.records[5].addresses.departed); n > 20 {
		t.Errorf("%d addresses remembered", n)
	}
}

func TestExpire(t *testing.T) {
	t.Parallel()
	w := tableWatcher()
	w.play(with(2, "trunk0"), with(5, "eth0", up, parent(2)), come(5, "10.1.0.1/24"), with(6, "vlan6", parent(5)))
	w.Take()
	old := w.table.records[5].now
	w.Expire(old.ID)
	<-w.Changed()
	got := w.Take().Changes
	if len(got) != 1 || got[0].Removed == nil || got[0].Now == nil {
		t.Fatalf("%+v", got)
	}
	if diff := cmp.Diff(old, *got[0].Removed, compareAddresses); diff != "" {
		t.Error(diff)
	}
	want := old
	want.ID = got[0].Now.ID
	if diff := cmp.Diff(want, *got[0].Now, compareAddresses); diff != "" || want.ID <= old.ID {
		t.Errorf("instance %d after %d: %s", want.ID, old.ID, diff)
	}
	w.Expire(old.ID)
	w.Expire(0)
	if !w.mailbox.empty() {
		t.Errorf("expired twice: %+v", w.Take())
	}
	w.play(with(5, "lan0", parent(2)))
	if got := w.table.records[6].now.Parent; got != "lan0" {
		t.Errorf("parent %q, want lan0", got)
	}
}

// A rename there and back merges to nothing but its count: what hangs on the
// name, as a file of /proc, has to be looked up again.
func TestRenamesAreCounted(t *testing.T) {
	t.Parallel()
	w := tableWatcher()
	w.play(with(5, "a"))
	w.Take()
	w.play(with(5, "b"), with(5, "a"))
	got := w.Take().Changes
	if len(got) != 1 || got[0].Removed != nil || got[0].Now.Name != "a" || got[0].Now.Renames != 2 {
		t.Errorf("got %+v, want a, renamed twice", got)
	}
	w.play(linkGone{5}, with(5, "b"))
	if now := w.Take().Changes[0].Now; now.Renames != 0 {
		t.Errorf("a new life was renamed %d times", now.Renames)
	}
}

// What went and came back merges to nothing but its counts, and the kernel's
// own count of carriers tells of those that no message told of.
func TestReturnsAreCounted(t *testing.T) {
	t.Parallel()
	w := tableWatcher()
	down, dead := func(l *link) { l.Up = false }, func(l *link) { l.Carrier = false }
	counted := func(n uint32) func(*link) { return func(l *link) { l.carriers = n } }
	notice := func(l *link) { l.notice = true }
	w.play(with(5, "a", up))
	for n, step := range []struct {
		events []any
		want   Returns
	}{
		{[]any{with(5, "a", up)}, Returns{}},
		{[]any{with(5, "a", up, down), with(5, "a", up)}, Returns{Ups: 1}},
		{[]any{with(5, "a", up, dead), with(5, "a", up)}, Returns{Ups: 1, Carriers: 1}},
		{[]any{with(5, "a", up, notice), with(5, "a", up, notice)}, Returns{Ups: 1, Carriers: 1, Notices: 2}},
		{[]any{linkGone{5}, with(5, "a", up, counted(7))}, Returns{Carriers: 7}},
		{[]any{with(5, "a", up, counted(8)), with(5, "a", up, dead, counted(9)), with(5, "a", up, counted(10))}, Returns{Carriers: 10}},
		{[]any{with(5, "a", up)}, Returns{Carriers: 10}},
	} {
		w.Take()
		w.play(step.events...)
		if got := w.table.records[5].now.Returns; got != step.want {
			t.Errorf("step %d: %+v, want %+v", n, got, step.want)
		}
		if changes := w.Take().Changes; n < 6 && (len(changes) == 0) != (n == 0) {
			t.Errorf("step %d: changes %+v", n, changes)
		}
	}
}

// An eager consumer is called before Changed speaks, which then speaks of what
// it left.
func TestEager(t *testing.T) {
	t.Parallel()
	var w *Watcher
	takes, called := true, 0
	w = New(Options{Eager: func(pending []Change) {
		if len(pending) != 1 || pending[0].Index != 5 {
			t.Errorf("%+v pending, want that at index 5", pending)
		}
		called++
		if takes {
			w.Take()
		}
	}})
	w.tell()
	if called != 0 {
		t.Error("called before the first dump was complete")
	}
	w.synced = true
	w.tell()
	if called != 0 {
		t.Error("called for nothing")
	}
	w.table.apply(with(5, "eth0"), false)
	w.tell()
	if called != 1 || len(w.Changed()) != 0 {
		t.Errorf("called %d times, Changed says %d, want 1, 0", called, len(w.Changed()))
	}
	takes = false
	w.table.apply(with(5, "eth0", up), false)
	w.tell()
	if called != 2 || len(w.Changed()) != 1 {
		t.Errorf("called %d times, Changed says %d, want 2, 1", called, len(w.Changed()))
	}
	w.mailbox.resynced = true
	w.tell()
	w.Take()
	for index := range mostEager + 1 {
		w.table.apply(with(10+index, "eth"), false)
	}
	w.tell()
	if called != 2 || len(w.Changed()) != 1 {
		t.Errorf("called %d times, want 2: not after a loss, and not for %d changes", called, mostEager+1)
	}
}
