package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/ssmd-project/ssmd/control"
)

func newReloadCommand() *cobra.Command {
	var asJSON bool
	c := client(&cobra.Command{
		Use:   "reload",
		Short: "Have the daemon read its configuration anew",
		Long: "Have the daemon read its configuration anew, and print what changed. Where the\n" +
			"configuration is wrong nothing changes, and every error is told, one a line.",
		Example: "  ssmd check && ssmd reload",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			reloaded, err := newClient(c).Reload(c.Context())
			if err != nil {
				return printReloadErrors(c, err)
			}
			return output(c, func(w io.Writer) error {
				if asJSON {
					return printJSON(w, reloaded)
				}
				return printReloaded(w, reloaded)
			})
		},
	})
	jsonFlag(c, &asJSON)
	return c
}

// printReloadErrors writes the errors of a configuration as check does, but for
// one that has no place.
func printReloadErrors(c *cobra.Command, err error) error {
	problem, ok := errors.AsType[*control.Problem](err)
	if !ok || len(problem.Errors) == 0 || len(problem.Errors) == 1 && problem.Errors[0].File == "" {
		return err
	}
	if err := printFlaws(c.ErrOrStderr(), problem.Errors); err != nil {
		return err
	}
	return fmt.Errorf("nothing was changed: the configuration has %s", plural(len(problem.Errors), "error"))
}

// printReloaded writes how many memberships differ, and then a line for each
// difference.
func printReloaded(w io.Writer, r control.Reloaded) error {
	_, err := fmt.Fprintf(w, "%s: %s: %d added, %d changed, %d removed\n",
		fileName(r.File), plural(r.Memberships, "membership"), len(r.Added), len(r.Changed), len(r.Removed))
	for _, part := range []struct {
		format string
		names  []string
	}{
		{"%s: added\n", r.Added},
		{"%s: changed\n", r.Changed},
		{"%s: removed\n", r.Removed},
		{"%s: had been added to the daemon, is the configuration's now\n", r.TakenOver},
		{"%s: in effect\n", r.Settings},
		{"%s: takes effect after a restart\n", r.Restart},
	} {
		for _, name := range part.names {
			if err == nil {
				_, err = fmt.Fprintf(w, part.format, printable(name))
			}
		}
	}
	return err
}
