package monitor

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/ssmd-project/ssmd/membership"
)

// An event says that the attachments of a membership may be others now, and
// nothing else: they are asked for then.

// hear notes what events are about, until ctx or the manager ends.
func (m *Monitor) hear(ctx context.Context, events *membership.Subscription) {
	for {
		e, err := events.Next(ctx)
		if err != nil {
			return
		}
		if e.Type != EventStalled && e.Type != EventResumed {
			m.soil(e.Membership)
		}
	}
}

// soil has the attachments of a membership asked for; without a name those of all.
func (m *Monitor) soil(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if name == "" {
		maps.Copy(m.dirty, m.names)
	} else if _, known := m.names[name]; known {
		m.dirty[name] = struct{}{}
	}
	if len(m.dirty) == 0 {
		return
	}
	select {
	case m.looked <- struct{}{}:
	default:
	}
}

// follow asks for attachments, until ctx or the manager ends.
func (m *Monitor) follow(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.looked:
		}
		m.mu.Lock()
		names := slices.Sorted(maps.Keys(m.dirty))
		clear(m.dirty)
		m.mu.Unlock()
		for some := range slices.Chunk(names, namesAtOnce) {
			if m.attachAnew(ctx, some) != nil {
				return
			}
		}
	}
}

// namesAtOnce is how many memberships the owner is told of at once: while datagrams
// come it serves no more often than it reads.
const namesAtOnce = 256

// attachAnew asks for the attachments of memberships, and tells the owner.
func (m *Monitor) attachAnew(ctx context.Context, names []string) error {
	attachments := make([][]membership.Attachment, len(names))
	for n, name := range names {
		status, err := m.manager.StatusOf(ctx, name)
		if err != nil && !errors.Is(err, membership.ErrNotFound) {
			return err
		}
		attachments[n] = status.Attachments
	}
	return m.do(ctx, func() {
		for n, name := range names {
			m.attach(name, attachments[n])
		}
	})
}
