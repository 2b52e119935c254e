package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/ssmd-project/ssmd/control"
	"github.com/ssmd-project/ssmd/internal/top"
)

func newTopCommand() *cobra.Command {
	return client(&cobra.Command{
		Use:   "top",
		Short: "Show the memberships live",
		Long: `Show the memberships live: states, reasons and the last events, as they change,
until q is pressed. Where the daemon ends it says so, and goes on with the next.

Keys: j and k or arrows, page up and down, g and G move; / filters, by words of
names, states, interfaces, rates and reasons; s sorts by the next column; q quits.
Without a terminal it prints what status does, once.`,
		Example: "  ssmd top",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			daemon := newClient(c)
			out, isFile := c.OutOrStdout().(*os.File)
			if !isFile || !top.Suits(os.Stdin, out, os.Getenv) {
				return runStatus(c.Context(), statusOptions{client: daemon, now: time.Now(), print: func(print func(io.Writer) error) error { return output(c, print) }})
			}
			// A daemon that is not there at all is an error, as elsewhere.
			if _, err := daemon.Daemon(c.Context()); err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
			defer stop()
			return top.Run(ctx, topSource{daemon}, top.Options{In: os.Stdin, Out: out, Color: os.Getenv("NO_COLOR") == ""})
		},
	})
}

// topSource is a daemon as top wants it.
type topSource struct{ *control.Client }

func (s topSource) Events(ctx context.Context) (top.Stream, error) { return s.Client.Events(ctx) }
