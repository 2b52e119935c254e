package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ssmd-project/ssmd/control"
	"github.com/ssmd-project/ssmd/internal/pause"
	"github.com/ssmd-project/ssmd/internal/service"
	"github.com/ssmd-project/ssmd/membership"
)

// statusPace is the least time between two lines about how things stand.
const statusPace = time.Second

// attendant tells the service manager how the daemon is. Without a service
// manager it does nothing.
type attendant struct {
	notifier *service.Notifier
	watchdog time.Duration // within which it wants to hear of us; zero: it does not
	totals   func(context.Context) (membership.Totals, error)
	still    func() bool // whether the manager stands still on purpose, for a time that is bounded
	reloads  func() control.ReloadStatus
	log      *slog.Logger

	mu   sync.Mutex // so that lines are told in order
	told string

	ends atomic.Bool // nothing but the end is told any more
}

// ready says that the first joins are made, or that what reloading began is over.
func (a *attendant) ready(ctx context.Context) {
	if a.notifier == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.told = a.summary(ctx)
	if !a.ends.Load() {
		a.tell(a.notifier.Ready(a.told))
	}
}

// reloading says that the configuration is read anew, until ready.
func (a *attendant) reloading() {
	if !a.ends.Load() {
		a.tell(a.notifier.Reloading())
	}
}

// ending says so.
func (a *attendant) ending() {
	a.ends.Store(true)
	a.tell(a.notifier.Stopping())
}

// tell logs what goes wrong: nothing stops for it.
func (a *attendant) tell(err error) {
	if err != nil {
		a.log.Warn("the service manager does not hear of us", "error", err)
	}
}

// summary says in a line how things stand, nothing at the end.
func (a *attendant) summary(ctx context.Context) string {
	t, err := a.totals(ctx)
	if err != nil {
		return ""
	}
	all := 0
	for _, n := range t.Memberships {
		all += n
	}
	line := fmt.Sprintf("%d of %s joined, %s", t.Memberships[membership.StateJoined], plural(all, "membership"), plural(t.Channels, "channel"))
	if last := a.reloads(); !last.Successful {
		line += "; not reloaded: " + last.Error
	}
	return line
}

// attend tells how things stand whenever that changes, and feeds the watchdog
// as long as the manager answers, until ctx ends.
func (a *attendant) attend(ctx context.Context, events nexter) {
	if a.notifier == nil {
		return
	}
	var parts sync.WaitGroup
	defer parts.Wait()
	parts.Go(func() { a.feed(ctx) })
	parts.Go(func() { a.feedWhileStill(ctx) })
	changed := make(chan struct{}, 1)
	parts.Go(func() {
		defer close(changed)
		for _, err := events.Next(ctx); err == nil; _, err = events.Next(ctx) {
			select {
			case changed <- struct{}{}:
			default:
			}
		}
	})
	for range changed {
		a.update(ctx)
		if !pause.For(ctx, statusPace) {
			return
		}
	}
}

func (a *attendant) update(ctx context.Context) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if now := a.summary(ctx); now != "" && now != a.told && !a.ends.Load() {
		a.told = now
		a.tell(a.notifier.Status(now))
	}
}

// feed tells that the manager answers, through the loops that own its state:
// for one that is stuck nothing is told.
func (a *attendant) feed(ctx context.Context) {
	if a.watchdog == 0 {
		return
	}
	for {
		asked, cancel := context.WithTimeout(ctx, a.watchdog)
		_, err := a.totals(asked)
		cancel()
		if err == nil {
			a.tell(a.notifier.Alive())
		}
		if !pause.For(ctx, a.watchdog/2) {
			return
		}
	}
}

// feedWhileStill tells that all is well where the manager does not answer since
// another process takes its time to take over.
func (a *attendant) feedWhileStill(ctx context.Context) {
	for a.watchdog > 0 && pause.For(ctx, a.watchdog/2) {
		if a.still() {
			a.tell(a.notifier.Alive())
		}
	}
}
