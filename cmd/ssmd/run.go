package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/ssmd-project/ssmd/config"
	"github.com/ssmd-project/ssmd/control"
	"github.com/ssmd-project/ssmd/membership"
)

type runOptions struct {
	config   config.Options
	joins    []string
	anyRange bool // of joins
	takeover bool
}

func newRunCommand() *cobra.Command {
	var o runOptions
	c := &cobra.Command{
		Use:   "run",
		Short: "Run the daemon",
		Long: `Run the daemon: join what the configuration file and --join wish for, until
SIGTERM or SIGINT; then leave every group. A second signal ends it at once. A
file that changes is read anew, as it is at SIGHUP.

With --join and without --config no file is read. It runs as any user who may
make the control socket.`,
		Example: "  ssmd run -c /etc/ssmd/ssmd.yaml\n  ssmd run --join 10.1.0.1@232.1.1.1%eth0 --control-socket /tmp/ssmd.sock",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			from, err := sourceForRun(c, o)
			if err != nil {
				return err
			}
			early := hangups()
			loaded, err := from.read()
			if o.config.Path == "" && errors.Is(err, config.ErrNoFile) {
				return wrongWords(c, "nothing to do: want a file with -c FILE, or --join SOURCE@GROUP%%INTERFACE: %w", err)
			}
			if err != nil {
				return err
			}
			return run(c.Context(), daemon{config: loaded.Settings, first: &loaded, source: from, early: early, takeover: o.takeover}, os.Stderr)
		},
	}
	configFlags(c, &o.config)
	c.Flags().StringArrayVar(&o.joins, "join", nil, "join a channel on an interface, `SOURCE@GROUP%INTERFACE`; may be given again")
	c.Flags().BoolVar(&o.anyRange, "allow-any-range", false, "take groups of --join that are not source-specific too")
	c.Flags().BoolVar(&o.takeover, "takeover", false, "take over from the daemon that has the control socket: nothing is left or joined anew, and it ends")
	return c
}

const configFlag = "config"

// configFlags adds --config and the flags of the daemon's own settings.
func configFlags(c *cobra.Command, o *config.Options) {
	c.Flags().StringVarP(&o.Path, configFlag, "c", "", "the configuration `file`, - for standard input (default: ~/.config/ssmd/ssmd.yaml, else /etc/ssmd/ssmd.yaml)")
	config.AddFlags(c.Flags())
	o.Flags = c.Flags()
}

// sourceForRun returns where the configuration comes from.
func sourceForRun(c *cobra.Command, o runOptions) (*source, error) {
	joins, err := parseJoins(o.joins, membership.AnyRange(o.anyRange))
	if err != nil {
		return nil, wrongWords(c, "%w", err)
	}
	return &source{options: o.config, joins: joins}, nil
}

// run completes the daemon and runs it, from the control socket to the last
// leave. Logging never makes it wait: neither a full pipe nor a closed one at
// standard error.
func run(ctx context.Context, d daemon, stderr *os.File) error {
	// Whoever reads standard error may go: that ends no membership. It is not
	// ignored, since hooks would inherit that.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	d.logs = newLogSettings(d.config.Log)
	queue := newLogQueue()
	go queue.writeTo(stderr, d.logs)
	defer queue.stop(time.Second)
	d.log = newLogger(d.logs, queue)
	hangups := make(chan struct{}, 1)
	d.hangups = hangups
	reload := func() {
		select {
		case hangups <- struct{}{}:
		default: // one waits to be served already
		}
	}
	ctx, stop := onSignals(ctx, d.log, reload, func(code int) {
		queue.stop(time.Second)
		os.Exit(code)
	})
	defer stop()
	signal.Stop(d.early)
	select {
	case <-d.early: // the file may be another since it was read
		reload()
	default:
	}

	var err error
	c := d.config.Control
	if d.access, err = control.NewAccess(c.Mode, c.Group, c.Readers); err != nil {
		return err
	}
	if d.handoffAccess, err = control.NewHandoffAccess(d.config.Handoff.Mode, d.config.Handoff.Group); err != nil {
		return err
	}
	d.attach()
	defer d.notifier.Close()
	if d.takeover {
		err = d.takeOver(ctx)
	} else {
		err = d.listen(ctx)
	}
	if err != nil && ctx.Err() != nil {
		return nil // it was to end before it had begun
	}
	if err != nil {
		return err
	}
	d.state, d.started = openState(ctx, d.config.StateDir, d.log), time.Now()
	d.restore(ctx)
	return d.run(ctx)
}
