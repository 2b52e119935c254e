package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/ssmd-project/ssmd/control"
	"github.com/ssmd-project/ssmd/membership"
	"github.com/ssmd-project/ssmd/reattach"
)

func newExplainCommand() *cobra.Command {
	var asJSON bool
	c := client(&cobra.Command{
		Use:               "explain NAME",
		Short:             "Hold every interface against every rule of a membership",
		Long:              "Hold every interface against every rule of a membership, and say of each rule\nwhat it wants, what it finds and what comes of that: ok, held, wait or reject.",
		Example:           "  ssmd explain feed-a",
		Args:              oneName,
		ValidArgsFunction: completeName,
		RunE: func(c *cobra.Command, args []string) error {
			explanation, err := newClient(c).Explain(c.Context(), args[0])
			if err != nil {
				return err
			}
			return output(c, func(w io.Writer) error {
				if asJSON {
					return printJSON(w, explanation)
				}
				return printExplanation(w, time.Now(), explanation)
			})
		},
	})
	jsonFlag(c, &asJSON)
	return c
}

// printExplanation writes a paragraph an interface, its verdict first.
func printExplanation(w io.Writer, now time.Time, e control.Explanation) error {
	s := e.Status
	_, err := fmt.Fprintf(w, "%s: %s, %d of %s joined: %s\n", printable(s.Name), s.State, s.Joined, plural(s.Channels, "channel"), printable(s.Reason))
	if err != nil {
		return err
	}
	for _, c := range e.Channels {
		if c.Error == "" {
			continue
		}
		if _, err := fmt.Fprintf(w, "  %s on %s: %s\n", c.Channel, cell(c.Interface), printable(c.Error)); err != nil {
			return err
		}
	}
	if s.Monitor != nil {
		for _, stream := range s.Monitor.Streams {
			if _, err := fmt.Fprintf(w, "  %s\n", streamLine(now, stream)); err != nil {
				return err
			}
		}
	}
	for _, i := range e.Interfaces {
		if err := printInterfaceExplanation(w, i); err != nil {
			return err
		}
	}
	if len(e.Interfaces) == 0 {
		_, err = fmt.Fprintln(w, "\nThere is no interface.")
	}
	return err
}

func printInterfaceExplanation(w io.Writer, i membership.InterfaceExplanation) error {
	attached := ""
	if i.Attached {
		attached = ", attached"
	}
	_, err := fmt.Fprintf(w, "\n%s (ifindex %d, instance %d)%s: %s: %s\n", printable(i.Interface), i.Index, i.Instance, attached, i.Verdict.Result(), printable(i.Verdict.Reason()))
	if err != nil {
		return err
	}
	t := newTable(w)
	for _, c := range i.Verdict.Checks {
		mark := c.Result.String()
		if c.Result == reattach.Accept {
			mark = "ok"
		}
		t.row("  "+mark, c.Rule, "wanted "+c.Wanted, "found "+c.Found)
	}
	return t.flush()
}
