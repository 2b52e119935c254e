package main

import (
	"context"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/ssmd-project/ssmd/config"
	"github.com/ssmd-project/ssmd/control"
)

const (
	socketFlag     = "socket"
	socketVariable = "SSMD_CONTROL_SOCKET"
)

// client adds --socket to a command that asks the daemon.
func client(c *cobra.Command) *cobra.Command {
	c.Flags().String(socketFlag, "", "`path` of the daemon's control socket (default: "+socketVariable+", or "+config.DefaultSocket+")")
	return c
}

// daemonSocket returns the path of the daemon's socket: the flag's, the
// variable's, or the default.
func daemonSocket(c *cobra.Command) string {
	if path, err := c.Flags().GetString(socketFlag); err == nil && path != "" {
		return path
	}
	if path := os.Getenv(socketVariable); path != "" {
		return path
	}
	return config.DefaultSocket
}

func newClient(c *cobra.Command) *control.Client { return control.NewClient(daemonSocket(c)) }

// completeName offers the names of memberships to the shell, if the daemon
// answers at once.
func completeName(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return completeNames(c, args, "")
}

// completeNames offers them all, whatever is there already.
func completeNames(c *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	parent := c.Context()
	if parent == nil {
		parent = context.Background()
	}
	ctx, cancel := context.WithTimeout(parent, time.Second)
	defer cancel()
	statuses, err := newClient(c).Memberships(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names := make([]string, len(statuses))
	for i, s := range statuses {
		names[i] = s.Name
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
