package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ssmd-project/ssmd/config"
	"github.com/ssmd-project/ssmd/control"
	"github.com/ssmd-project/ssmd/internal/doctor"
	"github.com/ssmd-project/ssmd/membership"
)

type doctorOptions struct {
	client     *control.Client
	file       string // whose memberships are looked at, without a daemon
	json       bool
	wait       time.Duration
	port       uint16
	reannounce bool
	quiet      bool
	print      func(func(io.Writer) error) error
}

const doctorLong = `Look at the whole way of channels, from the wire to the receivers' sockets: of
the daemon's memberships, of all or by name; of those of a configuration file; or
of SOURCE@GROUP%INTERFACE. For these two no daemon has to run. Each check says what it found, why that matters,
and the command that mends it.

It changes nothing, and puts nothing on the wire but with --reannounce. What it
may not look at, it says; root may look at everything.
With anything wrong the exit code is 3.`

func newDoctorCommand() *cobra.Command {
	var o doctorOptions
	c := client(&cobra.Command{
		Use:               "doctor [NAME... | SOURCE@GROUP%INTERFACE...]",
		Short:             "Find out why datagrams do not arrive, and what mends it",
		Long:              doctorLong,
		Example:           "  ssmd doctor\n  ssmd doctor feed-a --reannounce\n  ssmd doctor 10.1.0.1@232.1.1.1%eth0 --port 5001 --wait 130s",
		ValidArgsFunction: completeNames,
		RunE: func(c *cobra.Command, args []string) error {
			names, given, err := parsePatients(c, args)
			if err != nil {
				return err
			}
			if o.wait < 0 {
				return wrongWords(c, "--wait %s: want no negative time", o.wait)
			}
			o.client = newClient(c)
			o.print = func(print func(io.Writer) error) error { return output(c, print) }
			return runDoctor(c.Context(), o, names, given)
		},
	})
	jsonFlag(c, &o.json)
	c.Flags().Lookup("json").Usage = "print JSON"
	c.Flags().StringVarP(&o.file, configFlag, "c", "", "look at the memberships of a `file`, and ask no daemon for them")
	c.Flags().DurationVar(&o.wait, "wait", 2*time.Second, "listen to each interface for a `time`; 0: not at all. 130s hears whether there is a querier")
	c.Flags().Uint16Var(&o.port, "port", 0, "the UDP `port` that the sources send to, where no datagram tells it")
	c.Flags().BoolVar(&o.reannounce, "reannounce", false, "have the daemon tell the network of the memberships anew, and look whether reports go out")
	c.Flags().BoolVarP(&o.quiet, "quiet", "q", false, "print only what is wrong")
	return c
}

// parsePatients tells names of memberships from channels.
func parsePatients(c *cobra.Command, args []string) (names []string, given []doctor.Given, err error) {
	for _, arg := range args {
		if !strings.Contains(arg, "@") {
			if err := membership.ValidateName(arg); err != nil {
				return nil, nil, wrongWords(c, "name of a membership: %w", err)
			}
			names = append(names, arg)
			continue
		}
		channel, name, err := splitJoin(arg)
		if err != nil {
			return nil, nil, wrongWords(c, "%s: %w", arg, err)
		}
		g := doctor.Given{Interface: name}
		if g.Channel, err = membership.ParseChannel(channel); err == nil {
			err = g.Channel.Validate(membership.AnyMulticastRange)
		}
		if err != nil {
			return nil, nil, wrongWords(c, "%w", err)
		}
		given = append(given, g)
	}
	return names, given, nil
}

func runDoctor(ctx context.Context, o doctorOptions, names []string, given []doctor.Given) error {
	options := doctor.Options{Wait: o.wait}
	daemon, daemonErr := o.client.Daemon(ctx)
	subjects := doctor.SubjectsOf(given)
	for n := range subjects {
		subjects[n].Daemon = daemonErr == nil
	}
	var named []doctor.Subject
	var err error
	switch {
	case o.file != "":
		named, err = plannedSubjects(ctx, o.file, names)
	case len(names) > 0 || len(given) == 0:
		if daemonErr != nil {
			return daemonErr
		}
		options.DaemonPID = daemon.PID
		if o.reannounce {
			options.Announce = func(ctx context.Context, name string) error {
				_, err := o.client.Reannounce(ctx, name)
				return err
			}
		}
		named, err = doctor.Subjects(ctx, o.client, names)
	}
	if err != nil {
		return err
	}
	subjects = append(named, subjects...)
	for n := range subjects {
		subjects[n].Port = o.port
	}
	report, err := doctor.Run(ctx, subjects, options)
	if err != nil {
		return err
	}
	err = o.print(func(w io.Writer) error {
		if o.json {
			return printJSON(w, report)
		}
		return printDoctor(w, report, o.quiet)
	})
	if err == nil && report.Outcome.Wrong() {
		return &exitError{Code: exitNotJoined}
	}
	return err
}

// plannedSubjects reads a configuration file. Without names all of its
// memberships are meant.
func plannedSubjects(ctx context.Context, file string, names []string) ([]doctor.Subject, error) {
	c, err := config.Load(config.Options{Path: file})
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if !slices.ContainsFunc(c.Memberships, func(m membership.Membership) bool { return m.Name == name }) {
			return nil, fmt.Errorf("membership %q: not in %s", name, fileName(c.File))
		}
	}
	chosen := slices.DeleteFunc(slices.Clone(c.Memberships), func(m membership.Membership) bool {
		return len(names) > 0 && !slices.Contains(names, m.Name)
	})
	return doctor.Planned(ctx, c.File, chosen, nil)
}

// printDoctor writes a paragraph a subject, and a line a check.
func printDoctor(w io.Writer, report doctor.Report, quiet bool) error {
	if len(report.Subjects) == 0 {
		_, err := fmt.Fprintln(w, "There is no membership.")
		return err
	}
	for n, e := range report.Subjects {
		if n > 0 {
			if _, err := fmt.Fprintln(w); err != nil {
				return err
			}
		}
		if err := printExamination(w, e, quiet); err != nil {
			return err
		}
	}
	return nil
}

func printExamination(w io.Writer, e doctor.Examination, quiet bool) error {
	if _, err := fmt.Fprintf(w, "%s: %s\n", patient(e), summary(e)); err != nil {
		return err
	}
	for _, f := range e.Findings {
		if quiet && !f.Outcome.Wrong() {
			continue
		}
		if _, err := fmt.Fprintf(w, "  %-7s  %-22s  %s\n", f.Outcome, f.Check, printable(f.Found)); err != nil {
			return err
		}
		if f.Outcome == doctor.OK {
			continue
		}
		lines := []string{f.Why}
		for _, command := range f.Mend {
			lines = append(lines, "$ "+command)
		}
		for _, line := range append(lines, f.Advice) {
			if line == "" {
				continue
			}
			if _, err := fmt.Fprintf(w, "%s%s\n", strings.Repeat(" ", 11), printable(line)); err != nil {
				return err
			}
		}
	}
	return nil
}

// patient names what was looked at.
func patient(e doctor.Examination) string {
	name := e.Membership
	if name == "" {
		name = plural(len(e.Channels), "channel")
		if len(e.Channels) == 1 {
			name = e.Channels[0].String()
		}
	}
	if e.Interface != "" {
		name += " on " + printable(e.Interface)
	}
	if e.Netns != "" {
		name += " in namespace " + printable(e.Netns)
	}
	return name
}

func summary(e doctor.Examination) string {
	count := map[doctor.Outcome]int{}
	for _, f := range e.Findings {
		count[f.Outcome]++
	}
	parts := []string{}
	if n := count[doctor.Fault]; n > 0 {
		parts = append(parts, plural(n, "fault"))
	}
	if n := count[doctor.Warning]; n > 0 {
		parts = append(parts, plural(n, "warning"))
	}
	if len(parts) == 0 {
		parts = append(parts, "nothing wrong")
	}
	if n := count[doctor.Unknown]; n > 0 {
		parts = append(parts, fmt.Sprintf("%d not looked at", n))
	}
	return strings.Join(parts, ", ")
}
