package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ssmd-project/ssmd/control"
	"github.com/ssmd-project/ssmd/membership"
)

func newEventsCommand() *cobra.Command {
	var asJSON, follow bool
	c := client(&cobra.Command{
		Use:     "events -f",
		Short:   "Print what happens, as it happens",
		Long:    "Print what happens, as it happens, until the daemon ends. With --json, an object a line.",
		Example: "  ssmd events -f\n  ssmd events -f --json",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if !follow {
				return wrongWords(c, "the daemon keeps no past events, only new ones can be followed: want ssmd events -f")
			}
			stream, err := newClient(c).Events(c.Context())
			if err != nil {
				return err
			}
			defer stream.Close()
			out := c.OutOrStdout()
			if asJSON {
				return printEvents(stream, func(e membership.Event) error { return encoder(out).Encode(e) })
			}
			return printEvents(stream, func(e membership.Event) error {
				_, err := fmt.Fprintln(out, eventLine(e))
				return err
			})
		},
	})
	jsonFlag(c, &asJSON)
	c.Flags().BoolVarP(&follow, "follow", "f", false, "follow the events from now on")
	return c
}

// printEvents prints events until the daemon's last one.
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
