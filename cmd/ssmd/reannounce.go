package main

import "github.com/spf13/cobra"

func newReannounceCommand() *cobra.Command {
	var asJSON bool
	c := client(&cobra.Command{
		Use:   "reannounce NAME",
		Short: "Tell the network of a membership anew",
		Long: "Tell the network of a membership anew: after a switch was restarted, or whatever\n" +
			"made it forget. It hears of a join, and of no leave.",
		Example:           "  ssmd reannounce feed-a",
		Args:              oneName,
		ValidArgsFunction: completeName,
		RunE: func(c *cobra.Command, args []string) error {
			status, err := newClient(c).Reannounce(c.Context(), args[0])
			if err != nil {
				return err
			}
			return printChanged(c, status, asJSON)
		},
	})
	jsonFlag(c, &asJSON)
	return c
}
