package mailbox

import (
	"slices"
	"sync"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/ssmd-project/ssmd/membership"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func event(seq uint64) membership.Event {
	return membership.Event{Seq: seq, Type: membership.EventState}
}

// last is what Finish is given.
var last = membership.Event{Type: "the last"}

// drain takes what there is, up to the last event.
func drain(t testing.TB, b *Mailbox) (seqs []uint64, missed uint64, finished bool) {
	t.Helper()
	for {
		e, found, isLast := b.Take()
		switch {
		case isLast && e.Type != last.Type:
			t.Errorf("%+v is the last event", e)
			return seqs, missed, true
		case isLast:
			return seqs, missed, true
		case !found:
			return seqs, missed, false
		case e.Type == membership.EventMissed:
			if e.Missed == 0 || e.Reason == "" || e.Time.IsZero() {
				t.Errorf("%+v says nothing", e)
			}
			missed += e.Missed
		default:
			seqs = append(seqs, e.Seq)
		}
	}
}

func numbers(from, to uint64) (all []uint64) {
	for n := from; n <= to; n++ {
		all = append(all, n)
	}
	return all
}

func TestMailbox(t *testing.T) {
	put := func(from, to uint64) func(*Mailbox) {
		return func(b *Mailbox) {
			for _, n := range numbers(from, to) {
				b.Put(event(n))
			}
		}
	}
	finish := func(b *Mailbox) { b.Finish(last) }
	tests := map[string]struct {
		steps    []func(*Mailbox)
		want     []uint64
		missed   uint64
		finished bool
	}{
		"empty":            {},
		"in order":         {steps: []func(*Mailbox){put(1, 3)}, want: numbers(1, 3)},
		"full":             {steps: []func(*Mailbox){put(1, Most)}, want: numbers(1, Most)},
		"one too many":     {steps: []func(*Mailbox){put(1, Most+1)}, want: numbers(2, Most+1), missed: 1},
		"many too many":    {steps: []func(*Mailbox){put(1, 5*Most)}, want: numbers(4*Most+1, 5*Most), missed: 4 * Most},
		"missed before":    {steps: []func(*Mailbox){func(b *Mailbox) { b.Miss(7) }, put(1, Most+1)}, want: numbers(2, Most+1), missed: 8},
		"finished":         {steps: []func(*Mailbox){put(1, 2), finish, put(3, 4)}, want: numbers(1, 2), finished: true},
		"finished at once": {steps: []func(*Mailbox){finish}, finished: true},
		"finished twice": {steps: []func(*Mailbox){finish, func(b *Mailbox) { b.Finish(membership.Event{Type: "another"}) },
			func(b *Mailbox) { b.Miss(1) }}, finished: true},
		"muted":              {steps: []func(*Mailbox){put(1, 3), func(b *Mailbox) { b.Miss(7) }, (*Mailbox).Mute, put(4, 5), func(b *Mailbox) { b.Miss(7) }}},
		"muted last":         {steps: []func(*Mailbox){put(1, 3), finish, (*Mailbox).Mute}, finished: true},
		"begun":              {steps: []func(*Mailbox){put(1, 3), func(b *Mailbox) { b.Begin(2) }, put(1, 4)}, want: []uint64{3, 3, 4}},
		"begun at the first": {steps: []func(*Mailbox){put(0, 3), func(b *Mailbox) { b.Begin(0) }}, want: numbers(0, 3)},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := New()
			for _, step := range test.steps {
				step(b)
			}
			for range 2 { // the last event is there for whoever asks again
				got, missed, finished := drain(t, b)
				if !slices.Equal(got, test.want) || missed != test.missed || finished != test.finished {
					t.Errorf("took %v, missed %d, finished: %t; want %v, %d, %t", got, missed, finished, test.want, test.missed, test.finished)
				}
				test.want, test.missed = nil, 0
			}
			if b.events != nil {
				t.Errorf("an empty mailbox has room for %d", cap(b.events))
			}
		})
	}
}

// However a reader and a writer take turns, each event is taken in its order or
// counted as missed in its place, no more wait than may, and Wake says so as long
// as there is something.
func TestEachEventIsTakenOrMissed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := New()
		var put, seen uint64 // the number of the last event
		takeOne := func() bool {
			e, found, _ := b.Take()
			switch {
			case !found && seen != put:
				t.Fatalf("nothing to take after event %d, want up to %d", seen, put)
			case !found:
				return false
			case e.Type == membership.EventMissed:
				seen += e.Missed
			case e.Seq != seen+1:
				t.Fatalf("event %d after %d", e.Seq, seen)
			default:
				seen++
			}
			return true
		}
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				for range rapid.IntRange(1, Most+10).Draw(t, "events") {
					put++
					b.Put(event(put))
				}
			},
			"miss": func(t *rapid.T) { // only where nothing waits: it is told first
				for takeOne() {
				}
				n := rapid.Uint64Range(1, 9).Draw(t, "missed")
				put += n
				b.Miss(n)
			},
			"take": func(t *rapid.T) {
				for range rapid.IntRange(1, Most).Draw(t, "times") {
					if !takeOne() {
						break
					}
				}
			},
			"": func(t *rapid.T) {
				if len(b.events) > Most || cap(b.events) > 4*Most {
					t.Fatalf("%d events wait, in room for %d", len(b.events), cap(b.events))
				}
				if seen < put && len(b.wake) == 0 {
					t.Fatal("nobody is woken for what there is")
				}
			},
		})
		b.Finish(last)
		b.Put(event(put + 1))
		for seen < put && takeOne() {
		}
		if e, _, isLast := b.Take(); !isLast || e.Type != last.Type {
			t.Fatalf("%+v, want the last event", e)
		}
	})
}

// A reader that only waits for Wake hears everything, also from several writers.
func TestWake(t *testing.T) {
	const writers, each = 4, 1000
	b := New()
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			for n := range uint64(each) {
				b.Put(event(n))
			}
		})
	}
	go func() {
		all.Wait()
		b.Finish(last)
	}()
	var taken uint64
	for finished := false; !finished; {
		<-b.Wake()
		e, found, isLast := b.Take()
		switch finished = isLast; {
		case isLast || !found:
		case e.Type == membership.EventMissed:
			taken += e.Missed
		default:
			taken++
		}
	}
	if taken != writers*each {
		t.Errorf("heard of %d events, want %d", taken, writers*each)
	}
}

// A full mailbox stays as large as it is, whatever is put in.
func TestFullMailboxDoesNotGrow(t *testing.T) {
	b := New()
	for n := range uint64(Most) {
		b.Put(event(n))
	}
	if n := testing.AllocsPerRun(10_000, func() { b.Put(event(1)) }); n > 0.01 {
		t.Errorf("%v allocations for an event", n)
	}
}
