// Command ssmd keeps source-specific multicast memberships alive while network
// interfaces come and go.
package main

import (
	"context"
	"io"
	"os"

	"github.com/spf13/cobra"
)

func main() {
	os.Exit(execute(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}

// execute runs the command line and returns the exit code.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return report(stderr, root.ExecuteContext(ctx))
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "ssmd",
		Short: "Keep source-specific multicast memberships alive while interfaces come and go",
		Long: `ssmd keeps source-specific multicast memberships (RFC 4607) alive while network
interfaces come and go.

Exit codes: 0 good, 1 it failed, 2 the words were wrong, 3 not joined.`,
		Version:       buildVersion().Version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          knownCommand,
		RunE:          needsCommand,

		SuggestionsMinimumDistance: 2,
	}
	root.SetVersionTemplate("ssmd {{.Version}}\n")
	root.AddCommand(
		newRunCommand(),
		newCheckCommand(),
		newSchemaCommand(),
		newStatusCommand(),
		newExplainCommand(),
		newJoinCommand(),
		newLeaveCommand(),
		newAdoptCommand(),
		newWaitCommand(),
		newEventsCommand(),
		newInterfacesCommand(),
		newApproveCommand(),
		newReloadCommand(),
		newReannounceCommand(),
		newDrainCommand(),
		newUndrainCommand(),
		newDemoCommand(),
		newVersionCommand(),
	)
	strict(root)
	return root
}
