package statuspage

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/membership"
)

var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

func event(kind membership.EventType, name string, instance uint64, after time.Duration) membership.Event {
	e := membership.Event{Time: noon.Add(after), Type: kind, Membership: name, Interface: "eth0", Reason: "reason of " + name}
	e.Instance = ifwatch.ID(instance)
	return e
}

// A thousand memberships that are detached at once are one mark.
func TestMarks(t *testing.T) {
	m := newMarks()
	for _, e := range []membership.Event{
		event(membership.EventDetached, "a", 1, 0),
		event(membership.EventDetached, "b", 1, time.Millisecond),
		{Time: noon, Type: membership.EventState, Membership: "a", State: membership.StateDetached},
		event(membership.EventReattached, "a", 2, 500*time.Millisecond),
		event(membership.EventDetached, "c", 1, time.Second),
		event(membership.EventDetached, "d", 1, 3*time.Second),
	} {
		m.add(e)
	}
	one := newTable()
	m.take(one)
	var got []mark
	for id := m.first; id < m.next; id++ {
		got = append(got, *m.kept[id])
	}
	at := func(ms int64) int64 { return noon.UnixMilli() + ms }
	want := []mark{
		{ID: 1, From: at(0), To: at(1000), Type: "detached", Interface: "eth0", Instance: 1, Membership: "a", Reason: "reason of a", Count: 3},
		{ID: 2, From: at(500), To: at(500), Type: "reattached", Interface: "eth0", Instance: 2, Membership: "a", Reason: "reason of a", Count: 1},
		{ID: 3, From: at(3000), To: at(3000), Type: "detached", Interface: "eth0", Instance: 1, Membership: "d", Reason: "reason of d", Count: 1},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("marks (-want +got):\n%s", diff)
	}
	if len(one.entries) != 3 {
		t.Errorf("%d entries, want 3", len(one.entries))
	}
	for i := range mostMarks {
		m.add(event(membership.EventDetached, "a", 1, time.Hour+time.Duration(i)*2*time.Second))
	}
	m.take(one)
	if len(m.kept) != mostMarks || one.there != mostMarks || len(m.open) != 1 {
		t.Errorf("%d marks are kept, %d told of, %d open, want %d, %[4]d and 1", len(m.kept), one.there, len(m.open), mostMarks)
	}
}

// When somebody is attached to a life is known by the events, and held against
// what the memberships say.
func TestAttachments(t *testing.T) {
	a := attachments{}
	for _, e := range []membership.Event{
		event(membership.EventAttached, "a", 1, 0), event(membership.EventAttached, "b", 1, time.Second),
		event(membership.EventDetached, "a", 1, 2*time.Second), event(membership.EventDetached, "b", 1, 3*time.Second),
		event(membership.EventDetached, "a", 2, 4*time.Second), // its beginning is not kept
		event(membership.EventReattached, "a", 3, 5*time.Second),
		event(membership.EventError, "a", 4, 6*time.Second),
	} {
		a.add(e)
	}
	at := func(s int64) int64 { return noon.UnixMilli() + 1000*s }
	check := func(what string, want map[uint64][]span) {
		t.Helper()
		got := map[uint64][]span{}
		for p, one := range a {
			got[uint64(p.instance)] = one.spans
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	check("by the events", map[uint64][]span{1: {{at(0), at(3)}}, 2: {{0, at(4)}}, 3: {{at(5), 0}}})
	a.correct([]membership.Status{{Attachments: []membership.Attachment{{Instance: 5, Since: noon.Add(7 * time.Second)}}}}, noon.Add(8*time.Second))
	check("corrected", map[uint64][]span{1: {{at(0), at(3)}}, 2: {{0, at(4)}}, 3: {{at(5), at(8)}}, 5: {{at(7), 0}}})
	one := newTable()
	a.tell(one, []membership.InterfaceLife{{Instance: 5, Interface: "eth0", Began: noon}})
	if len(one.entries) != 1 || len(a) != 1 {
		t.Errorf("%d lives are told of and %d known, want 1 of each", len(one.entries), len(a))
	}
}

func TestCut(t *testing.T) {
	for words, want := range map[string]string{"short": "short", "12345678901": "1234567890...", "123456789é1": "123456789..."} {
		if got := cut(words, 10); got != want {
			t.Errorf("cut(%q) = %q, want %q", words, got, want)
		}
	}
}
