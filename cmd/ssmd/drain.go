package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/ssmd-project/ssmd/control"
)

func newDrainCommand() *cobra.Command {
	return drainCommand(&cobra.Command{
		Use:   "drain IF",
		Short: "Leave an interface ahead of its planned removal",
		Long: "Leave an interface ahead of its planned removal: every membership leaves it, and\n" +
			"the command returns when the kernel had the time to tell the network, about a\n" +
			"second. Nothing joins there until undrain, or until that instance of the\n" +
			"interface is gone.",
		Example: "  ssmd drain eth0 && ip link del eth0",
	}, (*control.Client).Drain, "drained")
}

func newUndrainCommand() *cobra.Command {
	return drainCommand(&cobra.Command{
		Use:     "undrain IF",
		Short:   "Let memberships join on a drained interface again",
		Long:    "Let memberships join on a drained interface again. It is no error where it was\nnot drained.",
		Example: "  ssmd undrain eth0",
	}, (*control.Client).Undrain, "not drained")
}

// drainCommand completes one of the two.
func drainCommand(c *cobra.Command, ask func(c *control.Client, ctx context.Context, netns, name string) (control.Drained, error), done string) *cobra.Command {
	var asJSON bool
	var netns string
	c = client(c)
	c.Args = oneInterface
	c.ValidArgsFunction = completeInterface
	c.RunE = func(c *cobra.Command, args []string) error {
		drained, err := ask(newClient(c), c.Context(), netns, args[0])
		if err != nil {
			return err
		}
		return output(c, func(w io.Writer) error {
			if asJSON {
				return printJSON(w, drained)
			}
			_, err := fmt.Fprintf(w, "%s: %s\n", printable(drained.Interface), done)
			return err
		})
	}
	c.Flags().StringVar(&netns, "netns", "", "the network `namespace` of the interface, as memberships name it")
	jsonFlag(c, &asJSON)
	return c
}

// oneInterface wants the name of an interface.
func oneInterface(c *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return wrongWords(c, "the name of an interface is missing, want %s", c.UseLine())
	case len(args) > 1:
		return wrongWords(c, "%q is one word too many, want %s", args[1], c.UseLine())
	case args[0] == "":
		return wrongWords(c, "the name of an interface is empty, want %s", c.UseLine())
	}
	if err := checkInterfaceName(args[0]); err != nil {
		return wrongWords(c, "%w", err)
	}
	return nil
}

// completeInterface offers the names of interfaces to the shell, if the daemon
// answers at once.
func completeInterface(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	parent := c.Context()
	if parent == nil {
		parent = context.Background()
	}
	ctx, cancel := context.WithTimeout(parent, time.Second)
	defer cancel()
	interfaces, err := newClient(c).Interfaces(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names := make([]string, len(interfaces))
	for i, one := range interfaces {
		names[i] = one.Name
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
