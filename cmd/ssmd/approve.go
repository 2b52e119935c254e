package main

import (
	"github.com/spf13/cobra"

	"github.com/ssmd-project/ssmd/ifwatch"
)

func newApproveCommand() *cobra.Command {
	var asJSON bool
	var instance uint64
	c := client(&cobra.Command{
		Use:   "approve NAME",
		Short: "Let an interface take the place of a lost one",
		Long: "Let an interface take the place of a lost one in a membership of the policy\n" +
			"approve. status and explain show which instance awaits it. The approval is for\n" +
			"that one life of the interface.",
		Example:           "  ssmd approve feed-a\n  ssmd approve feed-a --instance 7",
		Args:              oneName,
		ValidArgsFunction: completeName,
		RunE: func(c *cobra.Command, args []string) error {
			if c.Flags().Changed("instance") && instance == 0 {
				return wrongWords(c, "--instance: 0 is no instance, want one that ssmd status %s shows", args[0])
			}
			status, err := newClient(c).Approve(c.Context(), args[0], ifwatch.ID(instance))
			if err != nil {
				return err
			}
			return printChanged(c, status, asJSON)
		},
	})
	c.Flags().Uint64Var(&instance, "instance", 0, "the `ID` of the instance (default: the only one that awaits approval)")
	jsonFlag(c, &asJSON)
	return c
}
