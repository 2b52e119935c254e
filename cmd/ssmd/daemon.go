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
	"github.com/ssmd-project/ssmd/internal/handoffd"
	"github.com/ssmd-project/ssmd/internal/hooks"
	"github.com/ssmd-project/ssmd/internal/monitor"
	"github.com/ssmd-project/ssmd/internal/service"
	"github.com/ssmd-project/ssmd/internal/statuspage"
	"github.com/ssmd-project/ssmd/internal/web"
	"github.com/ssmd-project/ssmd/membership"
)

// onlyHints is what the manager takes for the file's zero.
const onlyHints time.Duration = -1

// daemon is what the parts are wired into.
type daemon struct {
	config   config.Settings
	first    *config.Packed // the whole configuration, until the reloader has it
	source   *source        // of it
	early    chan os.Signal // of SIGHUPs that came before anybody could reload
	hangups  <-chan struct{}
	logs     *logSettings
	listener *control.Listener
	access   control.Access
	handoff  *control.Listener // nil: no application hands anything over
	http     *web.Listener     // nil: neither metrics nor health are told
	state    *state
	log      *slog.Logger
	started  time.Time

	handoffAccess control.Access
	unwanted      *control.Listener // of the daemon that was taken over, which has nothing more to do with it

	takeover  bool
	notifier  *service.Notifier
	passed    service.Passed
	inherited *membership.Handover // from an earlier process, nil where there was none
}

// run keeps the memberships until ctx is cancelled, and returns nil then.
func (d daemon) run(ctx context.Context) error {
	defer d.closeListeners() // Serve closed them, unless it did not begin
	w := d.wire()
	err := w.work(ctx)
	d.state.end()
	if err == nil {
		w.heir.end()
	}
	w.hooks.End() // a successor does not wait for it
	return err
}

// worker is a daemon with its parts.
type worker struct {
	daemon
	manager   *membership.Manager
	monitor   *monitor.Monitor
	editor    *editor
	reloader  *reloader
	attendant *attendant
	adopter   *adopter
	heir      *succession
	hooks     *hooks.Dispatcher
	server    *control.Server
	board     *statuspage.Board // nil: there is no status page
	handoffs  *handoffd.Server

	started chan struct{} // closed once the first joins are made, or cannot be
	joined  atomic.Bool   // they are made
}

func (d daemon) wire() *worker {
	last := d.state.load()
	manager := membership.New(membership.Options{Memory: last.Memory, Audit: auditEvery(d.config), JoinsPerSecond: d.config.Pace.JoinsPerSecond, Handover: d.inherited})
	d.state.memory = manager.Memory
	w := &worker{daemon: d, manager: manager, monitor: monitor.New(manager), editor: newEditor(manager, d.state, d.config.File), started: make(chan struct{})}
	w.editor.monitor = w.monitor.Set
	w.adopter = newAdopter(w.editor, d.log, last.Adopted)
	d.state.adopted = w.adopter.Kept
	w.board = d.newBoard(manager, w.monitor)
	w.heir = &succession{manager: manager, notifier: d.notifier, listener: d.listener, handoff: d.handoff, http: d.http, log: d.log}
	w.hooks = hooks.New(d.log)
	w.hooks.Set(d.config.Hooks)
	w.attendant = &attendant{notifier: d.notifier, watchdog: service.WatchdogInterval(), totals: manager.Totals, still: w.heir.isGiving, log: d.log}
	w.reloader = newReloader(&reloader{
		source: d.source, editor: w.editor, setAudit: manager.SetAudit, setPace: manager.SetPace, setHooks: w.hooks.Set, attendant: w.attendant,
		logs: d.logs, log: d.log, hangups: d.hangups, running: *d.first, sources: d.source.last,
	})
	*d.first = config.Packed{} // which after a reload nobody else is to have
	w.attendant.reloads = w.reloader.LastReload
	w.server = control.NewServer(control.ServerOptions{
		Manager:   manager,
		Monitor:   w.monitor,
		Editor:    w.editor,
		Access:    d.access,
		Reloader:  w.reloader,
		Adopter:   w.adopter,
		Yield:     w.heir.yield,
		Subscribe: subscribeTo(manager),
		Info:      control.Info{Version: buildVersion().Version, PID: os.Getpid(), Started: d.started, ConfigFile: d.config.File},
		Logger:    d.log,
	})
	w.handoffs = w.newHandoffServer()
	return w
}

// work runs the parts until ctx is cancelled, one of them fails, or a successor
// has everything. The manager ends first: readers of events hear of every leave,
// and a successor that is about to have everything finds the control socket.
func (w *worker) work(ctx context.Context) error {
	holding, leave := context.WithCancel(context.WithoutCancel(ctx))
	defer leave()
	serving, endServing := context.WithCancel(context.WithoutCancel(ctx))
	defer endServing()
	ctx, end := context.WithCancel(ctx)
	defer end()
	logged, noticed := w.manager.Subscribe(), w.manager.Subscribe()
	adopted, hooked := w.manager.Subscribe(), w.manager.Subscribe()
	defer hooked.Close()
	defer logged.Close()
	defer noticed.Close()
	defer adopted.Close()

	parts, ctx := errgroup.WithContext(ctx)
	if w.http != nil { // from before the first joins: it says that they are not made yet
		parts.Go(func() error { return w.newWebServer(ctx).Serve(serving, w.http) })
	}
	if w.board != nil {
		parts.Go(func() error { return w.board.Run(serving) })
	}
	parts.Go(func() error {
		defer end()
		defer endServing()
		return w.manager.Run(holding)
	})
	parts.Go(func() error {
		<-ctx.Done()
		w.attendant.ending()
		if !w.bequeath(holding) {
			leave()
		}
		return nil
	})
	parts.Go(func() error {
		if err := w.start(ctx, holding); err != nil || ctx.Err() != nil {
			return err
		}
		parts.Go(func() error {
			w.attendant.ready(ctx) // clients do not wait for the service manager
			w.reloader.follow(ctx)
			return nil
		})
		parts.Go(func() error { return w.serveHandoffs(serving) })
		return w.server.Serve(serving, w.listener)
	})
	parts.Go(func() error { return w.adopter.follow(ctx, adopted) })
	parts.Go(func() error { return w.monitor.Run(serving) })
	parts.Go(func() error { return logEvents(serving, logged, w.log) })
	parts.Go(func() error {
		// The manager ends the subscription: hooks hear of every leave.
		w.hooks.Run(context.WithoutCancel(serving), hooked)
		return nil
	})
	parts.Go(func() error {
		w.attendant.attend(serving, noticed)
		return nil
	})
	parts.Go(func() error {
		w.state.keep(serving, w.manager.MemoryChanged(), w.adopter.Changed())
		return nil
	})
	return parts.Wait()
}

// start makes the first joins, also where ctx ends meanwhile: what was handed over
// can be handed on only then. Clients that come before wait in the socket's
// queue: they never see a daemon without its memberships.
func (w *worker) start(ctx, holding context.Context) error {
	defer close(w.started)
	w.editor.restore()
	w.adopter.Restore(holding) // before the first whole set: what is remembered of memberships that it lacks is forgotten then
	count, taken, err := w.reloader.begin(holding)
	if holding.Err() != nil || errors.Is(err, membership.ErrStopped) {
		return nil // Run tells why
	}
	if err != nil {
		return err
	}
	w.joined.Store(true)
	giveBack()
	w.tellRunning(count, taken)
	return nil
}

// bequeath leaves what is joined to the next start, where the service manager
// keeps it until then.
func (w *worker) bequeath(ctx context.Context) bool {
	if !w.heir.isKept() {
		return false
	}
	<-w.started
	return w.heir.bequeath(ctx)
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
func auditEvery(c config.Settings) time.Duration { return cmp.Or(c.Audit, onlyHints) }

// tellRunning tells what runs, and which names the configuration has taken over.
func (d daemon) tellRunning(memberships int, taken []string) {
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
	if d.handoff != nil {
		running = running.With("handoff", d.config.Handoff.Socket)
	}
	running.Info("running", "memberships", memberships, "control", d.config.Control.Socket)
	if memberships == 0 && d.handoff == nil && len(d.state.adopted()) == 0 {
		d.log.Warn("nothing to do: there are no memberships")
	}
}
