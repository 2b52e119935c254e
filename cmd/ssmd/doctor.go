package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
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
	socket     string // as the flag has it
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
			o.socket = c.Flag(socketFlag).Value.String()
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
	options := doctor.Options{Wait: o.wait, Socket: o.socket}
	daemon, daemonErr := o.client.Daemon(ctx)
	if daemonErr == nil {
		options.DaemonPID = daemon.PID
	}
	subjects := doctor.SubjectsOf(given)
	var named []doctor.Subject
	var err error
	switch {
	case o.file != "":
		named, err = plannedSubjects(ctx, o.file, names)
	case len(names) > 0 || len(given) == 0:
		if daemonErr != nil {
			return daemonErr
		}
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
		s := &subjects[n]
		s.Port = cmp.Or(o.port, s.Port)
		s.Daemon, s.FileRuns = daemonErr == nil, daemonErr == nil && daemonReads(daemon, s.File)
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

// daemonReads reports whether a file is the daemon's.
func daemonReads(d control.Daemon, file string) bool {
	theirs := d.ConfigFile
	if theirs == "" || file == "" {
		return false
	}
	if !filepath.IsAbs(theirs) {
		theirs = filepath.Join("/proc", strconv.Itoa(d.PID), "cwd", theirs)
	}
	one, err := os.Stat(file)
	if err != nil {
		return false
	}
	other, err := os.Stat(theirs)
	return err == nil && os.SameFile(one, other)
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
