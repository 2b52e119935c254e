package main

import (
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/ssmd-project/ssmd/internal/demo"
	"github.com/ssmd-project/ssmd/internal/testnet"
)

func newDemoCommand() *cobra.Command {
	var plain bool
	c := &cobra.Command{
		Use:   "demo",
		Short: "Show the whole story in a private network",
		Long: `Show, in about 15 seconds, what becomes of two receivers whose interface is
deleted and re-created: one that joined by itself, and one whose membership ssmd
holds.

All of it happens in network namespaces of its own: it needs neither root nor a
configuration, touches nothing outside, and leaves nothing behind. To a
terminal it draws a picture, in color unless NO_COLOR is set; otherwise it
writes lines.`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			// The parent ends here, and this program begins once more,
			// isolated.
			if err := testnet.Isolate(); err != nil {
				return err
			}
			// Ctrl-C comes twice: from the terminal and from the parent.
			ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
			defer stop()
			out := c.OutOrStdout()
			o := demo.Detect(out, os.Getenv)
			if plain {
				o.Size = nil
			}
			return demo.Run(ctx, out, o)
		},
	}
	c.Flags().BoolVar(&plain, "plain", false, "write lines, also to a terminal")
	return c
}
