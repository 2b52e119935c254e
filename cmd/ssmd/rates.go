package main

import (
	"context"
	"sync"
	"time"

	"github.com/ssmd-project/ssmd/internal/monitor"
	"github.com/ssmd-project/ssmd/internal/statuspage"
)

// rates are those of the streams that are monitored, for the status page, which
// asks for each membership: the monitor is asked once a second, for all.
type rates struct {
	ask func(context.Context) (map[string]monitor.Status, error)

	mu     sync.Mutex
	asked  time.Time
	byName map[string]statuspage.Rates
}

// The bounds of what a look at them costs.
const (
	ratesAge      = time.Second
	ratesPatience = 100 * time.Millisecond
)

// of returns those of a membership, and false where it is not monitored. Where the
// monitor has no time they are the last ones.
func (r *rates) of(name string) (statuspage.Rates, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.asked) >= ratesAge {
		r.look()
	}
	one, monitored := r.byName[name]
	return one, monitored
}

func (r *rates) look() {
	r.asked = time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), ratesPatience)
	defer cancel()
	all, err := r.ask(ctx)
	if err != nil {
		return
	}
	r.byName = make(map[string]statuspage.Rates, len(all))
	for name, s := range all {
		r.byName[name] = statuspage.Rates{Stalled: s.Stalled, Unheard: s.Unheard(), Datagrams: s.DatagramsPerSecond(), Bytes: s.BytesPerSecond()}
	}
}
