package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ssmd-project/ssmd/config"
	"github.com/ssmd-project/ssmd/control"
	"github.com/ssmd-project/ssmd/membership"
	"github.com/ssmd-project/ssmd/reattach"
)

type joinOptions struct {
	file    string
	sdp     string
	persist bool
	asJSON  bool
	flags   func() map[string]any // the keys that were given by flags
}

func newJoinCommand() *cobra.Command {
	var o joinOptions
	c := client(&cobra.Command{
		Use:   "join [SOURCE@GROUP[%INTERFACE]] [flags]",
		Short: "Add a membership to the daemon that runs",
		Long: `Add a membership to the daemon that runs, or replace the one that was added
under the same name. It is kept until the daemon ends, or with --persist until
"ssmd leave". There is a flag for each key of a membership; -f reads what stands
in the configuration file for one, in YAML or JSON. --sdp reads an SDP file, and
adds a membership for each medium in it; the flags hold for each.`,
		Example: `  ssmd join 10.1.0.1@232.1.1.1%eth0
  ssmd join 10.1.0.1@232.1.1.1%eth0 --policy same --same mac --limit 5/1m
  ssmd join --name feed-a --groups 232.1.2.0/28 --sources 10.1.0.1 --interface kind=veth
  ssmd join -f feed-a.yaml --persist
  ssmd join --sdp camera.sdp --interface eth0`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if o.sdp != "" {
				return o.joinDescribed(c, args)
			}
			name, entry, err := o.entry(c, args)
			if err != nil {
				return err
			}
			status, err := newClient(c).Put(c.Context(), name, entry, o.keep())
			if err != nil {
				return byKeys(err, o.source())
			}
			return printChanged(c, status, o.asJSON)
		},
	})
	o.flags = addEntryFlags(c.Flags(), entryFlags())
	c.Flags().StringVarP(&o.file, "file", "f", "", "read the membership from a `file`, - for standard input")
	c.Flags().StringVar(&o.sdp, "sdp", "", "read the channels from an SDP `file`, - for standard input")
	c.Flags().BoolVar(&o.persist, "persist", false, "keep it over restarts of the daemon, in its state_dir")
	c.Flags().SortFlags = false // as in the file
	jsonFlag(c, &o.asJSON)
	return c
}

func (o joinOptions) keep() control.Keep {
	if o.persist {
		return control.KeepOver
	}
	return control.KeepUntilExit
}

// entry returns the membership that the words ask for, as it stands in a file.
func (o joinOptions) entry(c *cobra.Command, args []string) (name string, entry []byte, err error) {
	keys := o.flags()
	switch {
	case o.file != "" && len(args) > 0, o.file == "" && len(args) == 0 && len(keys) == 0:
		return "", nil, wrongWords(c, "want either SOURCE@GROUP%%INTERFACE, the flags for it, -f FILE, or --sdp FILE")
	case o.file != "":
		if flag := given(c.Flags(), "name"); flag != "" {
			return "", nil, wrongWords(c, "--%s: with -f every key but the name is in the file", flag)
		}
		name, _ := keys["name"].(string)
		return o.entryFromFile(c, name)
	case len(args) > 0:
		if err := addWord(keys, args[0]); err != nil {
			return "", nil, wrongWords(c, "%s: %w", args[0], err)
		}
	}
	name, named := keys["name"].(string)
	if !named {
		return "", nil, wrongWords(c, "--name is missing: only SOURCE@GROUP%%INTERFACE makes one")
	}
	entry, err = json.Marshal(keys)
	return name, entry, err
}

// addWord adds what SOURCE@GROUP%INTERFACE says to an entry. The interface may
// be said by the flag instead, or narrowed.
func addWord(entry map[string]any, text string) error {
	attributes, selected := entry["interface"].(map[string][]string)
	channel, name := text, ""
	if !selected || strings.Contains(text, "%") {
		var err error
		if channel, name, err = splitJoin(text); err != nil {
			return err
		}
		if attributes["name"] != nil {
			return errors.New("the name of the interface is given twice, here and by --interface")
		}
		if attributes == nil {
			attributes = make(map[string][]string)
		}
		attributes["name"] = reattach.ByName(name).Name
		entry["interface"] = attributes
	}
	if _, err := membership.ParseChannel(channel); err != nil {
		return err
	}
	more, _ := entry["channels"].([]string)
	entry["channels"] = append([]string{channel}, more...)
	if entry["name"] == nil {
		entry["name"] = nameForJoin(text)
	}
	return nil
}

// source is what to call the file in errors, empty where there is none.
func (o joinOptions) source() string {
	if o.file == "-" {
		return "<standard input>"
	}
	return o.file
}

// byKeys turns the daemon's problem with an entry into the errors of its file.
// Without one they have no place: nobody saw the lines of what the flags made.
func byKeys(err error, source string) error {
	problem, ok := errors.AsType[*control.Problem](err)
	if !ok || len(problem.Errors) == 0 {
		return err
	}
	var all config.Errors
	for _, flaw := range problem.Errors {
		one := config.Error{File: source, Path: flaw.Path, Message: flaw.Message}
		if source != "" {
			one.Line, one.Column = flaw.Line, flaw.Column
		}
		all = append(all, one)
	}
	return all
}

func (o joinOptions) entryFromFile(c *cobra.Command, name string) (string, []byte, error) {
	from := c.InOrStdin()
	if o.file != "-" {
		f, err := os.Open(o.file)
		if err != nil {
			return "", nil, err
		}
		defer f.Close()
		from = f
	}
	entry, err := io.ReadAll(from)
	if err != nil {
		return "", nil, err
	}
	m, err := config.ParseEntry(o.source(), name, entry)
	if err != nil {
		return "", nil, err
	}
	if name == "" {
		name = m.Name
	}
	return name, entry, nil
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
func printChanged(c *cobra.Command, s control.Status, asJSON bool) error {
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
