package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ssmd-project/ssmd/control"
	"github.com/ssmd-project/ssmd/internal/service"
	"github.com/ssmd-project/ssmd/internal/service/servicetest"
	"github.com/ssmd-project/ssmd/membership"
)

func newNotifier(t *testing.T) (*servicetest.Manager, *service.Notifier) {
	t.Helper()
	m, err := servicetest.New(t.TempDir(), 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	for _, e := range m.Command("true").Env {
		if path, ok := strings.CutPrefix(e, "NOTIFY_SOCKET="); ok {
			t.Setenv("NOTIFY_SOCKET", path)
		}
	}
	n, err := service.NewNotifier()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	return m, n
}

// The watchdog is fed each time that the manager answers, and not while it is
// stuck.
func TestWatchdogOfAStuckManager(t *testing.T) {
	m, n := newNotifier(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	const stuckTimes, fedTimes = 3, 2
	asked := 0
	a := &attendant{notifier: n, watchdog: 2 * time.Millisecond, log: slog.New(slog.DiscardHandler)}
	a.totals = func(ctx context.Context) (membership.Totals, error) {
		asked++
		switch {
		case asked <= stuckTimes:
			<-ctx.Done()
			return membership.Totals{}, ctx.Err()
		case asked == stuckTimes+1:
			if err := n.Barrier(t.Context()); err != nil {
				t.Error(err)
			}
			if got := m.Messages(); len(got) != 1 { // the barrier
				t.Errorf("told while it was stuck: %q", got)
			}
		case asked > stuckTimes+fedTimes:
			cancel()
		}
		return membership.Totals{}, nil
	}
	a.feed(ctx)
	if err := n.Barrier(t.Context()); err != nil {
		t.Fatal(err)
	}
	fed := 0
	for _, m := range m.Messages() {
		if m == "WATCHDOG=1" {
			fed++
		}
	}
	if fed < fedTimes {
		t.Errorf("fed %d times: %q", fed, m.Messages())
	}
}

// How things stand is told when it changes, not with every event.
func TestStatusForTheServiceManager(t *testing.T) {
	m, n := newNotifier(t)
	last := control.ReloadStatus{Successful: true}
	totals := membership.Totals{Memberships: map[membership.State]int{membership.StateJoined: 1, membership.StateWaiting: 1}, Channels: 3}
	a := &attendant{
		notifier: n, log: slog.New(slog.DiscardHandler),
		totals:  func(context.Context) (membership.Totals, error) { return totals, nil },
		reloads: func() control.ReloadStatus { return last },
	}
	ctx := t.Context()
	a.ready(ctx)
	a.update(ctx)
	totals.Channels = 4
	a.update(ctx)
	a.update(ctx)
	last = control.ReloadStatus{Error: "a.yaml:1:1: wrong"}
	a.update(ctx)
	a.totals = func(context.Context) (membership.Totals, error) { return membership.Totals{}, errors.New("it ends") }
	a.update(ctx)
	a.ending()
	if err := n.Barrier(ctx); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"READY=1\nSTATUS=1 of 2 memberships joined, 3 channels",
		"STATUS=1 of 2 memberships joined, 4 channels",
		"STATUS=1 of 2 memberships joined, 4 channels; not reloaded: a.yaml:1:1: wrong",
		"STOPPING=1",
		"BARRIER=1",
	}
	if diff := cmp.Diff(want, m.Messages()); diff != "" {
		t.Error(diff)
	}
}
