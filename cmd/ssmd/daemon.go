package main

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ssmd-project/ssmd/config"
	"github.com/ssmd-project/ssmd/control"
	"github.com/ssmd-project/ssmd/internal/web"
	"github.com/ssmd-project/ssmd/membership"
)

// onlyHints is what the manager takes for the file's zero.
const onlyHints time.Duration = -1

// daemon is what the parts are wired into.
type daemon struct {
	config   config.Config
	source   *source        // of the configuration
	sources  config.Sources // that it was read from
	hangups  <-chan struct{}
	logs     *logSettings
	listener *control.Listener
	access   control.Access
	http     *web.Listener // nil: neither metrics nor health are told
	state    *state
	log      *slog.Logger
	started  time.Time
}

// run keeps the memberships until ctx is cancelled, and returns nil then. The
// manager ends first: readers of events hear of every leave.
func (d daemon) run(ctx context.Context) error {
	defer d.listener.Close() // Serve closed it, unless it did not begin
	manager := membership.New(membership.Options{Memory: d.state.load(), Audit: auditEvery(d.config)})
	editor := newEditor(manager, d.state, d.config.File)
	reloader := newReloader(&reloader{
		source: d.source, editor: editor, setAudit: manager.SetAudit, logs: d.logs, log: d.log, hangups: d.hangups,
		running: d.config, sources: d.sources,
	})
	server := control.NewServer(control.ServerOptions{
		Manager:   manager,
		Editor:    editor,
		Access:    d.access,
		Reloader:  reloader,
		Subscribe: subscribeTo(manager),
		Info:      control.Info{Version: buildVersion().Version, PID: os.Getpid(), Started: d.started, ConfigFile: d.config.File},
		Logger:    d.log,
	})
	serving, endServing := context.WithCancel(context.WithoutCancel(ctx))
	defer endServing()
	events := manager.Subscribe()
	defer events.Close()

	var joined atomic.Bool
	parts, ctx := errgroup.WithContext(ctx)
	if d.http != nil { // from before the first joins: it says that they are not made yet
		parts.Go(func() error { return d.newWebServer(ctx, manager, reloader.LastReload, &joined).Serve(serving, d.http) })
	}
	parts.Go(func() error {
		defer endServing()
		return manager.Run(ctx)
	})
	parts.Go(func() error {
		// Clients that come before the memberships are there wait in the
		// socket's queue: they never see a daemon without.
		editor.restore()
		taken, err := editor.replace(ctx, d.config.Memberships)
		if ctx.Err() != nil || errors.Is(err, membership.ErrStopped) {
			return nil // Run tells why
		}
		if err != nil {
			return err
		}
		joined.Store(true)
		d.tellRunning(taken)
		parts.Go(func() error {
			reloader.follow(ctx)
			return nil
		})
		return server.Serve(serving, d.listener)
	})
	parts.Go(func() error { return logEvents(serving, events, d.log) })
	parts.Go(func() error {
		d.state.keep(serving, manager)
		return nil
	})
	err := parts.Wait()
	d.state.end(manager)
	if err == nil {
		d.log.Info("ended: every group is left")
	}
	return err
}

// subscribeTo returns how the server subscribes to the manager's events.
func subscribeTo(manager *membership.Manager) func(*membership.Since) (control.Subscription, error) {
	return func(since *membership.Since) (control.Subscription, error) {
		if since == nil {
			return manager.Subscribe(), nil
		}
		return manager.SubscribeSince(*since)
	}
}

// auditEvery is the file's setting as the manager takes it.
func auditEvery(c config.Config) time.Duration { return cmp.Or(c.Audit, onlyHints) }

// tellRunning tells what runs, and which names the configuration has taken over.
func (d daemon) tellRunning(taken []string) {
	for _, name := range taken {
		d.log.Warn("a membership that was added with --persist is the configuration's now", "membership", name)
	}
	running := d.log
	if d.config.File != "" {
		running = running.With("config", d.config.File)
	}
	if d.http != nil {
		running = running.With("http", d.http.Addr().String())
	}
	running.Info("running", "memberships", len(d.config.Memberships), "control", d.config.Control.Socket)
	if len(d.config.Memberships) == 0 {
		d.log.Warn("nothing to do: there are no memberships")
	}
}
