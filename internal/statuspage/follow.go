package statuspage

import (
	"context"
	"errors"
	"time"

	"github.com/ssmd-project/ssmd/membership"
)

// mostAsked is how many memberships are asked for one by one: more are asked for
// all at once.
const mostAsked = 64

// follower keeps a table up to date. One goroutine owns it.
type follower struct {
	*Board
	table    *table
	marks    *marks
	attached attachments

	changed map[string]struct{} // memberships that events tell of
	whole   bool                // look at everything
	took    time.Duration       // the last whole look
	looked  time.Time           // when that was
}

// follow keeps a table while anybody reads. It returns false where ctx or the
// manager ended.
func (b *Board) follow(ctx context.Context) (more bool) {
	// From before the first look: nothing is missed between.
	subscription, err := b.options.Past()
	if err != nil {
		b.options.Logger.Warn("the status page cannot follow", "error", err)
		return true
	}
	defer subscription.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	events := make(chan membership.Event, 256)
	go func() {
		defer close(events)
		for {
			e, err := subscription.Next(ctx)
			if err != nil {
				return
			}
			select {
			case events <- e:
			case <-ctx.Done():
				return
			}
		}
	}()
	f := &follower{Board: b, table: b.begin(), marks: newMarks(), attached: attachments{}, changed: make(map[string]struct{}), whole: true}
	ended := f.run(ctx, events)
	cancel()
	for range events { // until its goroutine has ended
	}
	return !ended
}

// run returns true where ctx or the manager ended, and false where nobody reads
// any more.
func (f *follower) run(ctx context.Context, events <-chan membership.Event) (ended bool) {
	due := time.NewTimer(f.pause.events)
	defer due.Stop()
	var idle time.Time // since when nobody reads
	for {
		select {
		case <-ctx.Done():
			return true
		case e, open := <-events:
			if !open {
				return true
			}
			if f.note(e) {
				due.Reset(f.wait())
			}
			continue
		case <-due.C:
		}
		f.mu.Lock()
		read := len(f.readers) > 0
		f.mu.Unlock()
		switch {
		case read:
			idle = time.Time{}
		case idle.IsZero():
			idle = time.Now()
		case time.Since(idle) >= f.pause.rest && f.rest():
			return false
		}
		// Where that fails it is tried again: one namespace of several may
		// have ended, and the manager's own end is that of its events.
		if err := f.look(ctx); err != nil {
			f.options.Logger.Debug("the status page could not look", "error", err)
		}
		due.Reset(max(f.pause.longest, time.Duration(f.pause.share)*f.took))
	}
}

// note takes an event, and reports whether a look is due earlier than it was.
func (f *follower) note(e membership.Event) bool {
	before := len(f.changed) > 0 || f.whole
	f.marks.add(e)
	f.attached.add(e)
	switch {
	case e.Membership != "":
		f.changed[e.Membership] = struct{}{}
	default:
		f.whole = true
	}
	f.whole = f.whole || len(f.changed) > mostAsked
	if f.whole {
		clear(f.changed)
	}
	return !before
}

// wait is how long the next look is put off, for more events to come, and so
// that however many come the manager is asked for a small share of the time.
func (f *follower) wait() time.Duration {
	return max(f.pause.events, time.Until(f.looked.Add(time.Duration(f.pause.share)*f.took)))
}

// look asks the manager for what changed, or all, and publishes it.
func (f *follower) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, f.pause.answer)
	defer cancel()
	// What no event tells of, as how far a join is, is seen now and then too.
	lately := time.Since(f.looked) < max(f.pause.longest, time.Duration(f.pause.share)*f.took)
	if len(f.changed) > 0 && !f.whole && lately {
		return f.lookAtSome(ctx)
	}
	began := time.Now()
	statuses, err := f.options.Manager.Status(ctx)
	if err != nil {
		return err
	}
	lives, err := f.options.Manager.Lives(ctx)
	if err != nil {
		return err
	}
	f.publish(f.table, func() {
		names := make(map[string]struct{}, len(statuses))
		for _, s := range statuses {
			names[s.Name] = struct{}{}
			f.table.set(key{kindRow, s.Name}, f.rowOf(s))
		}
		f.table.keep(kindRow, names)
		f.attached.correct(statuses, time.Now())
		f.attached.tell(f.table, lives)
		f.marks.take(f.table)
	})
	f.looked = time.Now()
	f.took, f.whole = f.looked.Sub(began), false
	clear(f.changed)
	return nil
}

func (f *follower) lookAtSome(ctx context.Context) error {
	statuses, gone := make([]membership.Status, 0, len(f.changed)), []string{}
	for name := range f.changed {
		s, err := f.options.Manager.StatusOf(ctx, name)
		switch {
		case errors.Is(err, membership.ErrNotFound):
			gone = append(gone, name)
		case err != nil:
			return err
		default:
			statuses = append(statuses, s)
		}
	}
	lives, err := f.options.Manager.Lives(ctx)
	if err != nil {
		return err
	}
	f.publish(f.table, func() {
		for _, s := range statuses {
			f.table.set(key{kindRow, s.Name}, f.rowOf(s))
		}
		for _, name := range gone {
			f.table.remove(key{kindRow, name})
		}
		f.attached.tell(f.table, lives)
		f.marks.take(f.table)
	})
	clear(f.changed)
	return nil
}
