package hooks

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/ssmd-project/ssmd/config"
	"github.com/ssmd-project/ssmd/membership"
)

// queueLength is how many events wait for a hook before the oldest is dropped.
const queueLength = 1024

// Counts are what the hooks did since the dispatcher was made.
type Counts struct {
	Good     uint64 // runs that ended with exit code 0
	Failed   uint64 // runs that ended otherwise, or could not begin
	TimedOut uint64 // runs that were killed
	Dropped  uint64 // events for which a hook was not run
}

// Source has events, until its error. A *membership.Subscription is one.
type Source interface {
	Next(context.Context) (membership.Event, error)
}

// Dispatcher hands events to hooks. Its methods are safe for concurrent use.
type Dispatcher struct {
	log *slog.Logger

	good, failed, timedOut, dropped atomic.Uint64

	running sync.WaitGroup
	mu      sync.Mutex
	runners []*runner
	ended   bool
}

// New returns a dispatcher without hooks.
func New(log *slog.Logger) *Dispatcher {
	return &Dispatcher{log: log}
}

// Counts returns what was done so far.
func (d *Dispatcher) Counts() Counts {
	return Counts{d.good.Load(), d.failed.Load(), d.timedOut.Load(), d.dropped.Load()}
}

// Set replaces the hooks. One that is as before goes on, with what waits for it;
// of one that is gone the command that runs may end, and what waits is dropped.
func (d *Dispatcher) Set(all []config.Hook) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ended {
		return
	}
	var next []*runner
	for _, h := range all {
		if r := d.take(h); r != nil {
			next = append(next, r)
			continue
		}
		if err := Check(h.Command[0]); err != nil {
			d.log.Error("a hook cannot run as it is", "hook", h.Command[0], "error", err)
		}
		r := newRunner(d, h)
		d.running.Go(r.run)
		next = append(next, r)
	}
	for _, r := range d.runners {
		if r != nil {
			r.abandon()
		}
	}
	d.runners = next
}

// take removes the runner of an equal hook from those that were, and returns it.
func (d *Dispatcher) take(h config.Hook) *runner {
	for i, r := range d.runners {
		if r != nil && r.hook.Equal(h) {
			d.runners[i] = nil
			return r
		}
	}
	return nil
}

// Run hands on events until the source ends. It waits for no hook.
func (d *Dispatcher) Run(ctx context.Context, events Source) {
	for {
		e, err := events.Next(ctx)
		if err != nil {
			return
		}
		d.dispatch(e)
	}
}

// dispatch queues an event for each hook that is for it.
func (d *Dispatcher) dispatch(e membership.Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ended {
		return
	}
	if e.Type == membership.EventMissed {
		if len(d.runners) > 0 {
			d.dropped.Add(e.Missed)
			d.log.Warn("hooks were not run: there were too many events", "missed", e.Missed)
		}
		return
	}
	words := []string{string(e.Type)}
	if e.Type == membership.EventState && e.State != e.Was && e.State != membership.StateDetached { // of which there is an event
		words = append(words, string(e.State))
	}
	for _, word := range words {
		for _, r := range d.runners {
			if r.hook.Wants(word, e.Membership) {
				r.add(job{word, e})
			}
		}
	}
}

// End lets every hook serve what waits for it, each for as long as its timeout
// altogether; then kills what runs, and returns when nothing does.
func (d *Dispatcher) End() {
	d.mu.Lock()
	d.ended = true
	for _, r := range d.runners {
		r.finish()
	}
	d.mu.Unlock()
	d.running.Wait()
}
