package hooks

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ssmd-project/ssmd/config"
	"github.com/ssmd-project/ssmd/membership"
)

// job is an event, and the word by which a hook is for it.
type job struct {
	word  string
	event membership.Event
}

// runner runs one hook's commands, one after the other.
type runner struct {
	d      *Dispatcher
	hook   config.Hook
	log    *slog.Logger
	queue  chan job // closed at the end
	ctx    context.Context
	cancel context.CancelCauseFunc
	left   atomic.Bool // nothing that waits is served any more

	ending  sync.Once
	dropped uint64 // since it was told; of whoever adds
}

var errEnding = errors.New("the daemon ends")

func newRunner(d *Dispatcher, h config.Hook) *runner {
	r := &runner{d: d, hook: h, log: d.log.With("hook", h.Command[0]), queue: make(chan job, queueLength)}
	r.ctx, r.cancel = context.WithCancelCause(context.Background())
	return r
}

// add queues a job. It never waits. Nobody else adds meanwhile, so that there is
// room once one was taken.
func (r *runner) add(j job) {
	for {
		select {
		case r.queue <- j:
			if r.dropped > 0 && len(r.queue) == 1 {
				r.log.Warn("the hook has caught up", "dropped", r.dropped)
				r.dropped = 0
			}
			return
		default:
		}
		select {
		case <-r.queue:
			r.d.dropped.Add(1)
			if r.dropped++; r.dropped == 1 {
				r.log.Warn("the hook is too slow: the oldest events that wait for it are dropped", "waiting", queueLength)
			}
		default:
		}
	}
}

// abandon lets it end after the command that runs.
func (r *runner) abandon() {
	r.left.Store(true)
	r.ending.Do(func() { close(r.queue) })
}

// finish lets it end when all is served, or its time is over.
func (r *runner) finish() {
	r.ending.Do(func() { close(r.queue) })
	time.AfterFunc(r.hook.Timeout, func() { r.cancel(errEnding) })
}

// run serves the queue until it is closed.
func (r *runner) run() {
	// The kernel kills a command when the thread that began it ends
	// (PR_SET_PDEATHSIG, prctl(2)): this one lives as long as the runner.
	runtime.LockOSThread()
	defer r.cancel(nil)
	lost := uint64(0)
	for j := range r.queue {
		if r.left.Load() || r.ctx.Err() != nil {
			lost++
			continue
		}
		r.serve(j)
	}
	if lost > 0 {
		r.log.Warn("the hook ends: events that waited for it are dropped", "dropped", lost)
		r.d.dropped.Add(lost)
	}
}

// serve runs the command for one job, and tells what went wrong.
func (r *runner) serve(j job) {
	log := r.log.With("event", j.word, "membership", j.event.Membership)
	ctx, cancel := context.WithTimeoutCause(r.ctx, r.hook.Timeout, errTimeout)
	defer cancel()
	err := execute(ctx, r.hook.Command, environment(j), log)
	switch { // what is counted is in the log
	case err == nil:
		r.d.good.Add(1)
	case errors.Is(err, errTimeout), errors.Is(err, errEnding):
		log.Error("a hook was killed", "timeout", r.hook.Timeout.String(), "error", err)
		r.d.timedOut.Add(1)
	default:
		log.Error("a hook failed", "error", err)
		r.d.failed.Add(1)
	}
}
