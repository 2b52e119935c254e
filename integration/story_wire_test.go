package integration

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"github.com/ssmd-project/ssmd/internal/testnet/wire"
	"github.com/ssmd-project/ssmd/membership"
)

// mark returns how many reports there are once all that the kernel had to say
// up to now is out.
func (s *stage) mark() int {
	s.t.Helper()
	s.marks++
	return s.lab.mark(s.capture, s.marks)
}

// quietly does something that must put nothing about the channel's group on
// the wire. Nothing may be under way before.
func (s *stage) quietly(do func()) {
	s.t.Helper()
	from := len(s.capture.Reports())
	do()
	s.caughtUp()
	silent(s.t, s.capture, s.channel.group, from, s.mark())
}

// unpruned does something after which the network may hear of the channel
// again, but must not take it for left.
func (s *stage) unpruned(do func()) {
	s.t.Helper()
	from := len(s.capture.Reports())
	do()
	s.caughtUp()
	s.notLeft(s.capture, from, s.mark())
}

// reports waits for a report, behind the first from, that says this of the
// family's channel.
func (s *stage) reports(from int, kind wire.RecordType) wire.Report {
	s.t.Helper()
	r, err := s.capture.WaitFrom(s.ctx, from, s.isReport(kind))
	ok(s.t, err)
	return r
}

// isLeave reports whether a report ends a channel: the kernel may block the
// source, or include none.
func isLeave(r wire.Report, c channel) bool {
	return r.Is(wire.BlockOldSources, c.source, c.group) ||
		r.Is(wire.ChangeToIncludeMode, netip.Addr{}, c.group) && len(r.Sources) == 0
}

// left waits for the report of a leave behind the first from.
func (l *lab) left(capture *wire.Capture, from int, c channel) {
	l.t.Helper()
	_, err := capture.WaitFrom(l.ctx, from, func(r wire.Report) bool { return isLeave(r, c) })
	ok(l.t, err)
}

// notLeft checks that no report between two counts ends the channel.
func (l *lab) notLeft(capture *wire.Capture, from, to int) {
	l.t.Helper()
	for _, r := range capture.Reports()[from:to] {
		if isLeave(r, l.channel) {
			l.t.Errorf("heard %v", r)
		}
	}
}

// journal collects a manager's events.
type journal struct {
	mu     sync.Mutex
	events []membership.Event
}

func newJournal(t testing.TB, m *membership.Manager) *journal {
	t.Helper()
	j, subscription := &journal{}, m.Subscribe()
	t.Cleanup(subscription.Close)
	background(t, func(ctx context.Context) error {
		for {
			e, err := subscription.Next(ctx)
			if errors.Is(err, io.EOF) || ctx.Err() != nil {
				return nil
			}
			j.mu.Lock()
			j.events = append(j.events, e)
			j.mu.Unlock()
		}
	})
	return j
}

// all returns the events so far of these types, of every type without any.
func (j *journal) all(types ...membership.EventType) []membership.Event {
	j.mu.Lock()
	defer j.mu.Unlock()
	var some []membership.Event
	for _, e := range j.events {
		if types == nil || slices.Contains(types, e.Type) {
			some = append(some, e)
		}
	}
	return some
}

func (j *journal) find(match func(membership.Event) bool) (membership.Event, bool) {
	for _, e := range j.all() {
		if match(e) {
			return e, true
		}
	}
	return membership.Event{}, false
}

// wait waits for an event of a type and with a cause, since the beginning.
func (j *journal) wait(t testing.TB, kind membership.EventType, cause membership.Cause) membership.Event {
	t.Helper()
	var found membership.Event
	eventually(t, func() error {
		var is bool
		found, is = j.find(func(e membership.Event) bool { return e.Type == kind && e.Cause == cause })
		if !is {
			return fmt.Errorf("no event %s (%s) among %+v", kind, cause, j.all())
		}
		return nil
	})
	return found
}

// heardTwice tells whether both reports of a join were captured.
func (s *stage) heardTwice(c channel) func() error {
	return func() error {
		got := s.capture.Count(func(r wire.Report) bool { return r.Is(wire.AllowNewSources, c.source, c.group) })
		if got < 2 {
			return fmt.Errorf("%d reports that allow %s, want 2", got, c)
		}
		return nil
	}
}
