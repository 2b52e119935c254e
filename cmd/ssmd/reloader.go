package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/ssmd-project/ssmd/config"
	"github.com/ssmd-project/ssmd/control"
	"github.com/ssmd-project/ssmd/membership"
)

// reloader reads the configuration of a daemon that runs anew: when it is asked,
// at SIGHUP, and when the files change.
type reloader struct {
	source    *source
	editor    *editor
	setAudit  func(context.Context, time.Duration) error
	setPace   func(ctx context.Context, joinsPerSecond int) error
	setHooks  func([]config.Hook)
	attendant *attendant
	logs      *logSettings
	log       *slog.Logger
	hangups   <-chan struct{}

	looked chan struct{} // says that what is to be watched may be something else now
	last   atomic.Pointer[control.ReloadStatus]

	turn     *semaphore.Weighted // held over a whole reload
	running  config.Packed
	sources  config.Sources // of the last reading
	accepted config.Sources // of the last good one
}

// newReloader completes one that knows what was read already.
func newReloader(r *reloader) *reloader {
	r.accepted, r.looked, r.turn = r.sources, make(chan struct{}, 1), semaphore.NewWeighted(1)
	if r.attendant == nil {
		r.attendant = new(attendant)
	}
	now := time.Now()
	r.last.Store(&control.ReloadStatus{Successful: true, Time: now, LastSuccess: now})
	return r
}

// begin applies what was read at the start, and returns how many memberships those
// are, and which of them were added before.
func (r *reloader) begin(ctx context.Context) (memberships int, taken []string, err error) {
	if err := r.turn.Acquire(ctx, 1); err != nil {
		return 0, nil, err
	}
	defer r.turn.Release(1)
	taken, err = r.replace(ctx, r.running)
	return r.running.Len(), taken, err
}

// LastReload implements control.Reloader. It never waits.
func (r *reloader) LastReload() control.ReloadStatus { return *r.last.Load() }

// Reload implements control.Reloader.
func (r *reloader) Reload(ctx context.Context) (control.Reloaded, error) {
	return r.reload(ctx, "request")
}

// reload reads and applies, whether anything has changed or not.
func (r *reloader) reload(ctx context.Context, cause string) (control.Reloaded, error) {
	if err := r.turn.Acquire(ctx, 1); err != nil {
		return control.Reloaded{}, err
	}
	defer r.turn.Release(1)
	r.attendant.reloading()
	defer r.attendant.ready(ctx)
	loaded, sources, err := r.source.again()
	if _, none := errors.AsType[*control.NoReloadError](err); none {
		r.log.Warn(err.Error(), "cause", cause)
		return control.Reloaded{}, err
	}
	reloaded, err := r.take(ctx, loaded, sources, err, cause)
	select {
	case r.looked <- struct{}{}: // watching is tried again, where it failed
	default:
	}
	return reloaded, err
}

// reread reads again, and applies where anything has changed since the last
// reading. It returns what was read.
func (r *reloader) reread(ctx context.Context) config.Sources {
	if err := r.turn.Acquire(ctx, 1); err != nil {
		return config.Sources{}
	}
	defer r.turn.Release(1)
	if r.source.once() != nil || r.sources.Current() {
		return r.sources
	}
	loaded, sources, err := r.source.again()
	if _, none := errors.AsType[*control.NoReloadError](err); none || sources.Digest == r.sources.Digest {
		return r.sources
	}
	if emptied := sources.Emptied(r.accepted); err == nil && emptied != "" {
		err = config.Errors{{File: emptied, Message: "empty, and was not: a full disk leaves such files; to take it as it is, ssmd reload"}}
	}
	r.attendant.reloading()
	defer r.attendant.ready(ctx)
	_, _ = r.take(ctx, loaded, sources, err, "file") // it is in the log
	return sources
}

// take applies what was read, all or nothing, and tells of it. The turn is held.
func (r *reloader) take(ctx context.Context, loaded config.Packed, sources config.Sources, err error, cause string) (control.Reloaded, error) {
	defer giveBack()
	r.sources = sources
	if err != nil {
		return control.Reloaded{}, r.refuse(&control.ConfigError{Errors: flaws(err)}, cause)
	}
	reloaded, err := r.apply(ctx, loaded)
	if err != nil {
		r.sources = config.Sources{} // it is read again
		return control.Reloaded{}, r.refuse(err, cause)
	}
	r.accepted = sources
	now := time.Now()
	r.note(control.ReloadStatus{Successful: true, Time: now, LastSuccess: now})
	r.tell(reloaded, cause)
	return reloaded, nil
}

// refuse notes and tells that everything stays as it is, and returns the error.
func (r *reloader) refuse(err error, cause string) error {
	first := err.Error()
	if wrong, ok := errors.AsType[*control.ConfigError](err); ok {
		first = wrong.Errors[0].Error()
		for _, e := range wrong.Errors {
			r.log.Error("wrong configuration", "error", e.Error())
		}
	}
	if !errors.Is(err, membership.ErrStopped) {
		r.log.Error("not reloaded: everything stays as it is", "cause", cause, "error", first)
	}
	r.note(control.ReloadStatus{Time: time.Now(), LastSuccess: r.LastReload().LastSuccess, Error: first})
	return err
}

// note keeps whether the files are watched, which watch knows.
func (r *reloader) note(s control.ReloadStatus) {
	s.Watched = r.LastReload().Watched
	r.last.Store(&s)
}

// atOnce are the settings that take effect without a restart.
func atOnce() []string {
	return []string{"log.level", "log.format", "pace.joins_per_second", "audit", "hooks"}
}

// apply has the memberships, and the settings that can be changed, follow the
// configuration.
func (r *reloader) apply(ctx context.Context, loaded config.Packed) (control.Reloaded, error) {
	d := config.Compare(r.running, loaded)
	taken, err := r.replace(ctx, loaded)
	if err != nil {
		return control.Reloaded{}, err
	}
	if err := r.setPace(context.WithoutCancel(ctx), loaded.Pace.JoinsPerSecond); err != nil {
		return control.Reloaded{}, err // the daemon is ending
	}
	r.running.Pace = loaded.Pace
	if err := r.setAudit(context.WithoutCancel(ctx), auditEvery(loaded.Settings)); err != nil {
		return control.Reloaded{}, err // the daemon is ending
	}
	r.logs.set(loaded.Log)
	r.setHooks(loaded.Hooks)
	settings := r.running.Settings // with what takes effect after a restart as it was
	settings.Audit, settings.Log, settings.Hooks = loaded.Audit, loaded.Log, loaded.Hooks
	r.running = loaded
	r.running.Settings = settings
	reloaded := control.Reloaded{
		File: loaded.File, Memberships: loaded.Len(),
		Added: d.Added, Changed: d.Changed, Removed: d.Removed, TakenOver: taken,
	}
	for _, s := range d.Settings {
		if slices.Contains(atOnce(), s) {
			reloaded.Settings = append(reloaded.Settings, s)
		} else {
			reloaded.Restart = append(reloaded.Restart, s)
		}
	}
	return reloaded, nil
}

// replace applies the memberships. A slower pace holds from the first new join on,
// and no longer where they could not be applied.
func (r *reloader) replace(ctx context.Context, loaded config.Packed) (taken []string, err error) {
	memberships := loaded.Memberships()
	targets := targetsOf(memberships, loaded.Monitors)
	if !slower(loaded.Pace, r.running.Pace) {
		return r.editor.replace(ctx, memberships, targets)
	}
	lasting := context.WithoutCancel(ctx)
	if err := r.setPace(lasting, loaded.Pace.JoinsPerSecond); err != nil {
		return nil, err
	}
	if taken, err = r.editor.replace(ctx, memberships, targets); err != nil {
		_ = r.setPace(lasting, r.running.Pace.JoinsPerSecond) // else the daemon is ending
	}
	return taken, err
}

// slower reports whether a pace allows fewer joins a second than another.
func slower(a, b config.Pace) bool {
	return a.JoinsPerSecond > 0 && (b.JoinsPerSecond == 0 || a.JoinsPerSecond < b.JoinsPerSecond)
}

// tell logs what the manager's event does not say.
func (r *reloader) tell(d control.Reloaded, cause string) {
	r.log.Info("configuration read anew", "cause", cause, "config", d.File, "memberships", d.Memberships)
	for _, name := range d.TakenOver {
		r.log.Warn("a membership that was added is the configuration's now", "membership", name)
	}
	for _, s := range d.Settings {
		r.log.Info("a changed setting is in effect", "setting", s)
	}
	for _, s := range d.Restart {
		r.log.Warn("a changed setting takes effect after a restart", "setting", s)
	}
}
