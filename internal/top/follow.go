package top

import (
	"context"
	"errors"
	"time"

	"github.com/ssmd-project/ssmd/control"
	"github.com/ssmd-project/ssmd/internal/pause"
	"github.com/ssmd-project/ssmd/membership"
)

// Source is the daemon. Its methods are called from one goroutine.
type Source interface {
	// Memberships returns the status of every membership.
	Memberships(ctx context.Context) ([]control.Status, error)
	// Events returns the events from now on.
	Events(ctx context.Context) (Stream, error)
}

// Stream gives events, one by one, until the daemon ends.
type Stream interface {
	Next() (membership.Event, error)
	Close()
}

// pace bounds how often the daemon is asked.
type pace struct {
	events time.Duration // after an event, for more to come
	ages   time.Duration // between two looks that nothing led to
	share  int           // a look waits at least so many times as long as the last one took
	again  time.Duration // after the daemon was lost
}

var defaultPace = pace{events: 100 * time.Millisecond, ages: 2 * time.Second, share: 10, again: time.Second}

var errEnded = errors.New("the daemon ended, or broke off")

// follower tells of the daemon until its context ends.
type follower struct {
	source Source
	pace   pace
	tell   func(func(*model)) // the model's owner runs it, unless all is over
}

func (f *follower) run(ctx context.Context) {
	for ctx.Err() == nil {
		err := f.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		now := time.Now()
		f.tell(func(m *model) { m.lose(err, now) })
		pause.For(ctx, f.pace.again)
	}
}

// follow returns why the daemon is not heard any more.
func (f *follower) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := f.source.Events(ctx) // from before the first look: nothing is missed between
	if err != nil {
		return err
	}
	events := make(chan membership.Event, 64)
	go func() {
		defer close(events)
		defer stream.Close()
		for {
			e, err := stream.Next()
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
	defer func() {
		cancel()
		for range events { // until its goroutine has ended
		}
	}()
	due := time.NewTimer(0)
	defer due.Stop()
	var looked time.Time
	var took time.Duration
	waiting := true // for a look
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e, open := <-events:
			if !open {
				return errEnded
			}
			f.tell(func(m *model) { m.note(e) })
			if !waiting {
				waiting = true
				due.Reset(max(f.pace.events, time.Until(looked.Add(time.Duration(f.pace.share)*took))))
			}
			continue
		case <-due.C:
		}
		began := time.Now()
		all, err := f.source.Memberships(ctx)
		if err != nil {
			return err
		}
		looked = time.Now()
		took, waiting = looked.Sub(began), false
		f.tell(func(m *model) { m.all, m.lost = all, nil })
		due.Reset(max(f.pace.ages, time.Duration(f.pace.share)*took))
	}
}
