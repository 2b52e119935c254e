package main

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/semaphore"

	"github.com/ssmd-project/ssmd/config"
	"github.com/ssmd-project/ssmd/control"
	"github.com/ssmd-project/ssmd/membership"
)

// A slower pace holds from the first new join on, and not where there is none:
// where the memberships are not applied everything stays as it is.
func TestReloadThatFailsKeepsThePace(t *testing.T) {
	for name, test := range map[string]struct {
		running, loaded int
		want            []int
	}{
		"slower":      {500, 10, []int{10, 500}},
		"slowed down": {0, 10, []int{10, 0}},
		"faster":      {10, 500, nil},
		"the same":    {10, 10, nil},
	} {
		var set []int
		at := func(pace int) config.Packed {
			return config.Packed{Settings: config.Settings{Pace: config.Pace{JoinsPerSecond: pace}}}
		}
		running := at(test.running)
		r := newReloader(&reloader{
			editor:  newEditor(membership.New(membership.Options{}), openState(t.Context(), "", nil), ""),
			setPace: func(_ context.Context, joinsPerSecond int) error { set = append(set, joinsPerSecond); return nil },
			running: running,
		})
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // whoever asked for the reload is gone
		_, err := r.apply(ctx, at(test.loaded))
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(test.want, set); diff != "" {
			t.Errorf("%s: paces set (-want +got):\n%s", name, diff)
		}
		if r.running.Pace != running.Pace {
			t.Errorf("%s: said to run at %v", name, r.running.Pace)
		}
	}
}

// Whoever waits for somebody else's change waits no longer than it has time.
func TestChangesWaitForEachOther(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	e := newEditor(membership.New(membership.Options{}), openState(t.Context(), "", nil), "")
	r := newReloader(&reloader{editor: e})
	for _, turn := range []*semaphore.Weighted{e.turn, r.turn} {
		if err := turn.Acquire(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
	}
	entry := []byte("{channels: 10.1.0.1@232.1.1.1, interface: eth0}")
	l := &lease{editor: e, name: "a"}
	for what, change := range map[string]func() error{
		"replace": func() error { _, err := e.replace(ctx, nil, nil); return err },
		"Put":     func() error { return e.Put(ctx, "a", entry, control.KeepUntilExit) },
		"Delete":  func() error { return e.Delete(ctx, "a") },
		"lend":    func() error { _, err := e.lend(ctx, membership.Membership{}, "", nil); return err },
		"put":     func() error { return l.put(ctx, membership.Membership{}) },
		"end":     func() error { return l.end(ctx) },
		"Reload":  func() error { _, err := r.Reload(ctx); return err },
		"begin":   func() error { _, _, err := r.begin(ctx); return err },
	} {
		if err := change(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
