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
)

type runOptions struct {
	config config.Options
	joins  []string
}

func newRunCommand() *cobra.Command {
	var o runOptions
	c := &cobra.Command{
		Use:   "run",
		Short: "Run the daemon",
		Long: `Run the daemon: join what the configuration file and --join wish for, until
SIGTERM or SIGINT; then leave every group. A second signal ends it at once.

With --join and without --config no file is read. It runs as any user who may
make the control socket.`,
		Example: "  ssmd run -c /etc/ssmd/ssmd.yaml\n  ssmd run --join 10.1.0.1@232.1.1.1%eth0 --control-socket /tmp/ssmd.sock",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			loaded, err := loadForRun(c, o)
			if err != nil {
				return err
			}
			return run(c.Context(), loaded, os.Stderr)
		},
	}
	configFlags(c, &o.config)
	c.Flags().StringArrayVar(&o.joins, "join", nil, "join a channel on an interface, `SOURCE@GROUP%INTERFACE`; may be given again")
	return c
}

const configFlag = "config"

// configFlags adds --config and the flags of the daemon's own settings.
func configFlags(c *cobra.Command, o *config.Options) {
	c.Flags().StringVarP(&o.Path, configFlag, "c", "", "the configuration `file`, - for standard input (default: ~/.config/ssmd/ssmd.yaml, else /etc/ssmd/ssmd.yaml)")
	config.AddFlags(c.Flags())
	o.Flags = c.Flags()
}

// loadForRun returns the configuration with what --join asks for.
func loadForRun(c *cobra.Command, o runOptions) (config.Config, error) {
	joins, err := parseJoins(o.joins)
	if err != nil {
		return config.Config{}, wrongWords(c, "%w", err)
	}
	load := config.Load
	if o.config.Path == "" && len(joins) > 0 {
		load = config.LoadWithoutFile
	}
	loaded, err := load(o.config)
	if o.config.Path == "" && errors.Is(err, config.ErrNoFile) {
		return config.Config{}, wrongWords(c, "nothing to do: want a file with -c FILE, or --join SOURCE@GROUP%%INTERFACE: %w", err)
	}
	if err != nil {
		return config.Config{}, err
	}
	if err := checkNames(loaded.Memberships, joins); err != nil {
		return config.Config{}, err
	}
	loaded.Memberships = append(loaded.Memberships, joins...)
	return loaded, nil
}

// run is the daemon from the control socket to the last leave. Logging never
// makes it wait: neither a full pipe nor a closed one at standard error.
func run(ctx context.Context, loaded config.Config, stderr *os.File) error {
	// Whoever reads standard error may go: that ends no membership.
	signal.Ignore(syscall.SIGPIPE)
	queue := newLogQueue()
	go queue.writeTo(stderr, loaded.Log)
	defer queue.stop(time.Second)
	log := newLogger(loaded.Log, queue)
	ctx, stop := onSignals(ctx, log, func(code int) {
		queue.stop(time.Second)
		os.Exit(code)
	})
	defer stop()

	listener, err := control.Listen(loaded.Control.Socket, loaded.Control.Mode, loaded.Control.Group)
	if err != nil {
		return err
	}
	d := daemon{config: loaded, listener: listener, state: openState(loaded.StateDir, log), log: log, started: time.Now()}
	return d.run(ctx)
}
