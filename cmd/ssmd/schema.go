package main

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/ssmd-project/ssmd/config"
)

//go:generate go test -run ^TestGenerated$ . -update

func newSchemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the configuration file",
		Long: `Print the JSON Schema of the configuration file, for editors that complete and
check it. What a schema cannot say, such as that names differ, only "ssmd check"
tells.`,
		Example: "  ssmd schema >ssmd.schema.json",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			return output(c, func(w io.Writer) error {
				_, err := w.Write(config.Schema())
				return err
			})
		},
	}
}
