package statuspage

import (
	"strconv"
	"time"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/membership"
)

// mark is what happened at one time to one instance: events that differ only in
// the membership are one mark with their number.
type mark struct {
	ID         uint64               `json:"id"`
	From       int64                `json:"from"`
	To         int64                `json:"to"`
	Type       membership.EventType `json:"type"`
	State      membership.State     `json:"state,omitempty"`
	Cause      membership.Cause     `json:"cause,omitempty"`
	Interface  string               `json:"interface,omitempty"`
	Instance   ifwatch.ID           `json:"instance,omitempty"`
	Netns      string               `json:"netns,omitempty"`
	Membership string               `json:"membership,omitempty"` // the first
	Reason     string               `json:"reason,omitempty"`     // of the first
	Count      uint64               `json:"count"`
}

// mostMarks is how many are kept, and mergeWithin how far apart events may be
// that are one.
const (
	mostMarks   = 1000
	mergeWithin = time.Second
)

// markKey is what events have in common that are one mark.
type markKey struct {
	kind          membership.EventType
	state         membership.State
	cause         membership.Cause
	interfaceName string
	instance      ifwatch.ID
	netns         string
}

// marks keeps the last of them.
type marks struct {
	kept  map[uint64]*mark
	first uint64 // its ID
	next  uint64
	open  map[markKey]*mark // the last of each, while more may be added
	dirty map[uint64]struct{}
	gone  []uint64 // dropped since they were taken
}

func newMarks() *marks {
	return &marks{kept: make(map[uint64]*mark), first: 1, next: 1, open: make(map[markKey]*mark), dirty: make(map[uint64]struct{})}
}

// add takes an event. That a membership is joined or detached is said by its
// attachment already.
func (m *marks) add(e membership.Event) {
	if e.Type == membership.EventState && (e.State == membership.StateJoined || e.State == membership.StateDetached) {
		return
	}
	k := markKey{e.Type, e.State, e.Cause, e.Interface, e.Instance, e.Netns}
	at := millis(e.Time)
	if last := m.open[k]; last != nil && at-last.To <= mergeWithin.Milliseconds() {
		last.To, last.Count = max(at, last.To), last.Count+1
		m.dirty[last.ID] = struct{}{}
		return
	}
	one := &mark{
		ID: m.next, From: at, To: at, Type: e.Type, State: e.State, Cause: e.Cause, Interface: e.Interface, Instance: e.Instance,
		Netns: e.Netns, Membership: e.Membership, Reason: cut(e.Reason, longestReason), Count: max(1, e.Missed),
	}
	m.next++
	m.kept[one.ID], m.open[k] = one, one
	m.dirty[one.ID] = struct{}{}
	for len(m.kept) > mostMarks {
		m.drop()
	}
}

func (m *marks) drop() {
	oldest := m.kept[m.first]
	delete(m.kept, m.first)
	delete(m.dirty, m.first)
	m.gone = append(m.gone, m.first)
	m.first++
	k := markKey{oldest.Type, oldest.State, oldest.Cause, oldest.Interface, oldest.Instance, oldest.Netns}
	if m.open[k] == oldest {
		delete(m.open, k)
	}
}

// take gives what changed to a table.
func (m *marks) take(t *table) {
	for id := range m.dirty {
		t.set(key{kindMark, strconv.FormatUint(id, 10)}, m.kept[id])
	}
	clear(m.dirty)
	for _, id := range m.gone {
		t.remove(key{kindMark, strconv.FormatUint(id, 10)})
	}
	m.gone = nil
}
