package main

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ssmd-project/ssmd/config"
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
