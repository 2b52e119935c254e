package main

import (
	"context"
	"log/slog"

	"github.com/ssmd-project/ssmd/internal/monitor"
	"github.com/ssmd-project/ssmd/membership"
)

// nexter is what has events, until io.EOF.
type nexter interface {
	Next(ctx context.Context) (membership.Event, error)
}

// logEvents logs every event until the manager's last one. It returns no
// error: without a log the memberships are kept all the same.
func logEvents(ctx context.Context, events nexter, log *slog.Logger) error {
	// The manager ends the subscription; what it still holds is logged
	// after ctx too.
	ctx = context.WithoutCancel(ctx)
	for {
		event, err := events.Next(ctx)
		if err != nil {
			return nil
		}
		logEvent(ctx, log, event)
	}
}

// logEvent logs one event under its own time.
func logEvent(ctx context.Context, log *slog.Logger, e membership.Event) {
	level := eventLevel(e)
	if !log.Enabled(ctx, level) {
		return
	}
	record := slog.NewRecord(e.Time, level, string(e.Type), 0)
	for _, a := range []slog.Attr{
		slog.String("membership", e.Membership),
		slog.String("interface", e.Interface),
		slog.Uint64("instance", uint64(e.Instance)),
		slog.String("netns", e.Netns),
		slog.String("state", string(e.State)),
		slog.Uint64("missed", e.Missed),
		slog.String("cause", string(e.Cause)),
		slog.String("reason", e.Reason),
	} {
		if !a.Value.Equal(slog.StringValue("")) && !a.Value.Equal(slog.Uint64Value(0)) {
			record.AddAttrs(a)
		}
	}
	_ = log.Handler().Handle(ctx, record) // the queue takes it, or counts it
}

// eventLevel is a warning where something is not as it should be.
func eventLevel(e membership.Event) slog.Level {
	switch {
	case e.Type == membership.EventError, e.Type == membership.EventMissed, e.Type == membership.EventResynced, e.Type == monitor.EventStalled,
		e.Type == membership.EventState && e.State == membership.StateDegraded:
		return slog.LevelWarn
	}
	return slog.LevelInfo
}
