package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ssmd-project/ssmd/control"
	"github.com/ssmd-project/ssmd/internal/adopt"
)

type adoptOptions struct {
	which  control.Selection
	list   bool
	stop   string
	rules  func() map[string]any
	asJSON bool
}

func newAdoptCommand() *cobra.Command {
	var o adoptOptions
	c := client(&cobra.Command{
		Use:   "adopt [--pid N|--unit UNIT|--name NAME] [flags]",
		Short: "Keep the memberships of other people's running processes alive",
		Long: `Have the daemon keep the source memberships of running processes alive, without
their knowledge: what a process has joined on its own UDP sockets is joined again
when its interface comes back. What the process leaves, or joins itself, is
believed. It ends with the process; with --unit and --name it goes on with the
next one, until --stop. What is joined then stays joined. The next daemon goes on
with it, where there is a state_dir.

Without a process, print what is adopted. With --list, print what could be, and
which of it is deaf now; no daemon is needed for that. Whoever looks into a
process needs the rights of a debugger: CAP_SYS_PTRACE over those of other users.`,
		Example: `  ssmd adopt --list
  ssmd adopt --pid 1234
  ssmd adopt --unit tv --policy same --same mac
  ssmd adopt --stop 1`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.check(c); err != nil {
				return err
			}
			switch {
			case o.list:
				return o.runList(c)
			case o.stop != "":
				return o.runStop(c)
			case o.which == control.Selection{}:
				return o.runShow(c)
			}
			return o.runAdopt(c)
		},
	})
	c.Flags().IntVar(&o.which.PID, "pid", 0, "the process of a `number`")
	c.Flags().StringVar(&o.which.Unit, "unit", "", "every process of a systemd `unit`; without a suffix a service")
	c.Flags().StringVar(&o.which.Name, "name", "", "every process of a `name`, as ps shows it, or whose executable has it")
	c.Flags().BoolVar(&o.list, "list", false, "print what could be adopted, of all processes where none is named")
	c.Flags().StringVar(&o.stop, "stop", "", "let go of the adoption of an `ID`")
	o.rules = addEntryFlags(c.Flags(), ruleFlags())
	c.Flags().SortFlags = false // the rules as in the file
	jsonFlag(c, &o.asJSON)
	return c
}

// check refuses what does not go together.
func (o adoptOptions) check(c *cobra.Command) error {
	selects := []string{}
	for _, name := range []string{"pid", "unit", "name"} {
		if c.Flags().Changed(name) {
			selects = append(selects, "--"+name)
		}
	}
	rules := len(o.rules()) > 0
	switch {
	case len(selects) > 1:
		return wrongWords(c, "%s: want one of them", strings.Join(selects, " and "))
	case len(selects) == 1:
		if err := adopt.Selection(o.which).Validate(); err != nil {
			return wrongWords(c, "%w", err)
		}
	}
	stops := c.Flags().Changed("stop")
	switch {
	case stops && (o.list || rules || len(selects) > 0), stops && o.stop == "":
		return wrongWords(c, "--stop: want the ID of an adoption, and nothing else")
	case o.list && rules:
		return wrongWords(c, "--list: want no rules with it")
	case rules && len(selects) == 0:
		return wrongWords(c, "want a process: --pid, --unit or --name")
	}
	return nil
}

// runList prints what could be seen, and fails where something could not.
func (o adoptOptions) runList(c *cobra.Command) error {
	rows, err := adopt.List(adopt.Selection(o.which))
	if len(rows) == 0 && err != nil {
		return o.refusals(err)
	}
	return errors.Join(output(c, func(w io.Writer) error {
		if o.asJSON {
			return printJSON(w, rows)
		}
		return printRows(w, rows)
	}), o.refusals(err))
}

// refusals says of how many processes nothing was seen, where nobody named any.
func (o adoptOptions) refusals(err error) error {
	joined, many := err.(interface{ Unwrap() []error })
	if o.which != (control.Selection{}) || !many {
		return err
	}
	all := joined.Unwrap()
	return fmt.Errorf("%s could not be looked into, the first: %w", processes(len(all)), all[0])
}

func printRows(w io.Writer, rows []adopt.Row) error {
	if len(rows) == 0 {
		_, err := fmt.Fprintln(w, "No UDP socket there has joined a group.")
		return err
	}
	t := newTable(w, "PID", "PROCESS", "FD", "LOCAL", "GROUP", "SOURCES", "INTERFACE", "STATE")
	for _, r := range rows {
		t.row(strconv.Itoa(r.PID), r.Process, strconv.Itoa(r.FD), r.Local, r.Group.String(), shorten(addressList(r.Sources)), interfaceOf(r), string(r.State))
	}
	return t.flush()
}

// interfaceOf names the interface, or the index that one had.
func interfaceOf(r adopt.Row) string {
	if r.Interface == "" {
		return fmt.Sprintf("(%d)", r.Ifindex)
	}
	return r.Interface
}

func addressList(all []netip.Addr) string {
	words := make([]string, len(all))
	for n, a := range all {
		words[n] = a.String()
	}
	return strings.Join(words, ",")
}

func (o adoptOptions) runAdopt(c *cobra.Command) error {
	request := control.AdoptionRequest{Selection: o.which}
	if rules := o.rules(); len(rules) > 0 {
		text, err := json.Marshal(rules)
		if err != nil {
			return err
		}
		request.Rules = text
	}
	one, err := newClient(c).Adopt(c.Context(), request)
	if err != nil {
		return byKeys(err, "")
	}
	return o.print(c, one, "adopted")
}

func (o adoptOptions) runStop(c *cobra.Command) error {
	one, err := newClient(c).StopAdoption(c.Context(), o.stop)
	if err != nil {
		return err
	}
	return o.print(c, one, "let go of; what is joined stays joined")
}

// print says what has become of an adoption.
func (o adoptOptions) print(c *cobra.Command, one control.Adoption, what string) error {
	return output(c, func(w io.Writer) error {
		if o.asJSON {
			return printJSON(w, one)
		}
		if _, err := fmt.Fprintf(w, "adoption %s: %s: %s\n", one.ID, printable(adopt.Selection(one.Selection).String()), what); err != nil {
			return err
		}
		return printAdopted(w, one)
	})
}

// printAdopted writes a line for each membership, and each thing that is left
// out.
func printAdopted(w io.Writer, one control.Adoption) error {
	var lines []string
	for _, p := range one.Processes {
		if p.Error != "" {
			lines = append(lines, "  not seen: "+p.Error)
		}
	}
	for _, name := range one.Memberships {
		lines = append(lines, "  kept: "+name)
	}
	for _, what := range one.LeftOut {
		lines = append(lines, "  left out: "+what)
	}
	if len(lines) == 0 {
		lines = []string{"  nothing is joined yet"}
	}
	for _, line := range lines {
		if _, err := fmt.Fprintln(w, printable(line)); err != nil {
			return err
		}
	}
	return nil
}

func (o adoptOptions) runShow(c *cobra.Command) error {
	all, err := newClient(c).Adoptions(c.Context())
	if err != nil {
		return err
	}
	return output(c, func(w io.Writer) error {
		if o.asJSON {
			return printJSON(w, all)
		}
		if len(all) == 0 {
			_, err := fmt.Fprintln(w, "Nothing is adopted.")
			return err
		}
		for _, one := range all {
			what := fmt.Sprintf("for %s, %s", age(time.Since(one.Since)), processes(len(one.Processes)))
			if _, err := fmt.Fprintf(w, "adoption %s: %s: %s\n", one.ID, printable(adopt.Selection(one.Selection).String()), what); err != nil {
				return err
			}
			if err := printAdopted(w, one); err != nil {
				return err
			}
		}
		return nil
	})
}

func processes(n int) string {
	if n == 1 {
		return "1 process"
	}
	return fmt.Sprintf("%d processes", n)
}
