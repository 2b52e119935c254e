package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ssmd-project/ssmd/control"
	"github.com/ssmd-project/ssmd/membership"
)

type eventsOptions struct {
	asJSON, follow bool
	since          string
}

func newEventsCommand() *cobra.Command {
	var o eventsOptions
	c := client(&cobra.Command{
		Use:   "events",
		Short: "Print what happened, or happens",
		Long: `Print what happened: the last events, which the daemon keeps, or those since a
time or an event. With -f, what happens from now on, or since then, until the
daemon ends. With --json, an object a line.`,
		Example: "  ssmd events\n  ssmd events -f\n  ssmd events -f --since 10m --json",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			since, err := parseSince(o.since, time.Now())
			if err != nil {
				return wrongWords(c, "--since: %w", err)
			}
			stream, err := o.open(c.Context(), newClient(c), since)
			if err != nil {
				return err
			}
			defer stream.Close()
			out := c.OutOrStdout()
			if o.asJSON {
				return printEvents(stream, func(e membership.Event) error { return encoder(out).Encode(e) })
			}
			return printEvents(stream, func(e membership.Event) error {
				_, err := fmt.Fprintln(out, eventLine(e))
				return err
			})
		},
	})
	c.Flags().BoolVarP(&o.follow, "follow", "f", false, "follow the events from now on, or from --since on")
	c.Flags().StringVar(&o.since, "since", "", "begin `when`: so long ago, as 10m; at a time, as 2026-11-23T10:00:00Z; or after the event of a number")
	jsonFlag(c, &o.asJSON)
	return c
}

// open returns the events that are asked for.
func (o eventsOptions) open(ctx context.Context, daemon *control.Client, since membership.Since) (*control.Events, error) {
	switch {
	case !o.follow:
		return daemon.PastEvents(ctx, since)
	case o.since == "":
		return daemon.Events(ctx)
	}
	return daemon.EventsSince(ctx, since)
}

// parseSince reads the number of an event, a time, or how long ago; nothing
// means all that are kept.
func parseSince(text string, now time.Time) (membership.Since, error) {
	if text == "" {
		return membership.Since{}, nil
	}
	if seq, err := strconv.ParseUint(text, 10, 64); err == nil {
		return membership.Since{Seq: seq}, nil
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return membership.Since{Time: now.Add(-ago)}, nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil && !t.IsZero() {
		return membership.Since{Time: t}, nil
	}
	return membership.Since{}, fmt.Errorf("%q, want for example 10m, 2026-11-23T10:00:00Z, or the number of an event", text)
}

// printEvents prints events until the last one.
func printEvents(stream *control.Events, print func(membership.Event) error) error {
	for {
		event, err := stream.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, io.ErrUnexpectedEOF):
			return errors.New("the daemon broke off: it was killed, or it crashed")
		case err != nil:
			return err
		}
		if err := print(event); err != nil {
			return err
		}
	}
}

// eventLine is an event for people, its time in UTC.
func eventLine(e membership.Event) string {
	parts := []string{e.Time.UTC().Format("2006-01-02T15:04:05.000000Z07:00"), string(e.Type)}
	if e.Membership != "" {
		parts = append(parts, printable(e.Membership))
	}
	if e.State != "" {
		parts = append(parts, string(e.State))
	}
	if e.Interface != "" {
		parts = append(parts, fmt.Sprintf("on %s (instance %d)", printable(e.Interface), e.Instance))
	}
	if e.Netns != "" {
		parts = append(parts, "in "+printable(e.Netns))
	}
	if e.Missed > 0 {
		parts = append(parts, plural(int(min(e.Missed, 1<<62)), "event"))
	}
	if e.Cause != "" {
		parts = append(parts, "("+string(e.Cause)+")")
	}
	line := strings.Join(parts, " ")
	if e.Reason != "" {
		line += ": " + printable(e.Reason)
	}
	return line
}
