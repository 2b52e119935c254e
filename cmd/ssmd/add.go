package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ssmd-project/ssmd/config"
	"github.com/ssmd-project/ssmd/control"
	"github.com/ssmd-project/ssmd/membership"
)

type joinOptions struct {
	name    string
	file    string
	persist bool
	asJSON  bool
}

func newJoinCommand() *cobra.Command {
	var o joinOptions
	c := client(&cobra.Command{
		Use:   "join {SOURCE@GROUP%INTERFACE | -f FILE}",
		Short: "Add a membership to the daemon that runs",
		Long: `Add a membership to the daemon that runs, or replace the one that was added
under the same name. It is kept until the daemon ends, or with --persist until
"ssmd leave". -f reads what stands in the configuration file for one membership,
in YAML or JSON.`,
		Example: "  ssmd join 10.1.0.1@232.1.1.1%eth0\n  ssmd join -f feed-a.yaml --persist",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			name, entry, err := o.entry(c, args)
			if err != nil {
				return err
			}
			keep := control.KeepUntilExit
			if o.persist {
				keep = control.KeepOver
			}
			status, err := newClient(c).Put(c.Context(), name, entry, keep)
			if err != nil {
				return err
			}
			return printChanged(c, status, o.asJSON)
		},
	})
	c.Flags().StringVar(&o.name, "name", "", "`name` of the membership (default: made of the channel and the interface)")
	c.Flags().StringVarP(&o.file, "file", "f", "", "read the membership from a `file`, - for standard input")
	c.Flags().BoolVar(&o.persist, "persist", false, "keep it over restarts of the daemon, in its state_dir")
	jsonFlag(c, &o.asJSON)
	return c
}

// entry returns the membership that the words ask for, as it stands in a file.
func (o joinOptions) entry(c *cobra.Command, args []string) (name string, entry []byte, err error) {
	if (len(args) == 1) == (o.file != "") {
		return "", nil, wrongWords(c, "want either SOURCE@GROUP%%INTERFACE or -f FILE")
	}
	if o.file != "" {
		return o.entryFromFile(c)
	}
	m, err := parseJoin(args[0])
	if err != nil {
		return "", nil, wrongWords(c, "%s: %w", args[0], err)
	}
	if o.name == "" {
		o.name = nameForJoin(args[0])
	}
	entry, err = json.Marshal(map[string]any{
		"name": o.name, "channels": m.Channels, "interface": map[string]any{"name": m.Rules.Selector.Name},
	})
	return o.name, entry, err
}

func (o joinOptions) entryFromFile(c *cobra.Command) (name string, entry []byte, err error) {
	from, source := c.InOrStdin(), "<standard input>"
	if o.file != "-" {
		f, err := os.Open(o.file)
		if err != nil {
			return "", nil, err
		}
		defer f.Close()
		from, source = f, o.file
	}
	if entry, err = io.ReadAll(from); err != nil {
		return "", nil, err
	}
	m, err := config.ParseEntry(source, o.name, entry)
	if err != nil {
		return "", nil, err
	}
	if o.name == "" {
		o.name = m.Name
	}
	return o.name, entry, nil
}

func newLeaveCommand() *cobra.Command {
	var asJSON bool
	c := client(&cobra.Command{
		Use:               "leave NAME",
		Short:             "Remove a membership that was added to the daemon",
		Long:              "Remove a membership that was added with \"ssmd join\", and leave what nobody else\nwants. One of the configuration file is changed there.",
		Example:           "  ssmd leave feed-a",
		Args:              oneName,
		ValidArgsFunction: completeName,
		RunE: func(c *cobra.Command, args []string) error {
			status, err := newClient(c).Delete(c.Context(), args[0])
			if err != nil {
				return err
			}
			status.State, status.Reason = "removed", "was "+string(status.State)
			return printChanged(c, status, asJSON)
		},
	})
	jsonFlag(c, &asJSON)
	return c
}

// printChanged says what has become of a membership.
func printChanged(c *cobra.Command, s membership.Status, asJSON bool) error {
	return output(c, func(w io.Writer) error {
		if asJSON {
			return printJSON(w, s)
		}
		_, err := fmt.Fprintf(w, "%s: %s: %s\n", printable(s.Name), s.State, printable(s.Reason))
		return err
	})
}

// nameForJoin makes a name of SOURCE@GROUP%INTERFACE.
func nameForJoin(text string) string {
	return strings.Map(func(r rune) rune {
		if membership.ValidateName("x"+string(r)) != nil {
			return '-'
		}
		return r
	}, text)
}
