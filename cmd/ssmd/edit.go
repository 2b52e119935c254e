package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/sync/semaphore"

	"github.com/ssmd-project/ssmd/config"
	"github.com/ssmd-project/ssmd/control"
	"github.com/ssmd-project/ssmd/internal/monitor"
	"github.com/ssmd-project/ssmd/membership"
)

// editor knows which memberships come from the configuration and which were
// added to the daemon that runs, and changes both. A name that the configuration
// has, or comes to have, is the configuration's: what was added under it is
// forgotten.
type editor struct {
	manager *membership.Manager
	state   *state
	monitor func(context.Context, map[string]monitor.Target) error // nil: nothing is monitored
	why     string                                                 // memberships of the configuration cannot be changed here

	turn  *semaphore.Weighted // held over a whole change
	fixed map[string]bool
	added map[string]addition

	configured monitored // of the configuration
}

// monitored are the monitors of memberships, with their channels.
type monitored map[string]monitor.Target

// targetsOf returns those of a configuration's memberships.
func targetsOf(memberships []membership.Membership, monitors map[string]config.Monitor) monitored {
	if len(monitors) == 0 {
		return nil
	}
	all := make(monitored, len(monitors))
	for i := range memberships {
		m := &memberships[i]
		if settings, ok := monitors[m.Name]; ok {
			all[m.Name] = monitor.Target{Settings: settings, Channels: m.Channels}
		}
	}
	return all
}

// watch has monitored what is to be. The turn is held. Where it cannot be, the
// daemon is ending.
func (e *editor) watch(ctx context.Context) {
	if e.monitor == nil {
		return
	}
	all := make(monitored, len(e.configured))
	maps.Copy(all, e.configured)
	for name, a := range e.added {
		if a.monitor.Port != 0 {
			all[name] = monitor.Target{Settings: a.monitor, Channels: a.Channels}
		}
	}
	_ = e.monitor(context.WithoutCancel(ctx), all)
}

// addition is a membership that was added to the daemon that runs.
type addition struct {
	membership.Membership
	monitor config.Monitor // its port is zero where there is none
	lease   *lease         // nil where it was added over the control socket
}

func newEditor(manager *membership.Manager, s *state, file string) *editor {
	why := "was given with --join"
	if file != "" {
		why = "is in " + file + " or was given with --join: change it there"
	}
	return &editor{manager: manager, state: s, why: why, turn: semaphore.NewWeighted(1), added: make(map[string]addition)}
}

// restore adds the memberships that a daemon before was told to keep; replace
// applies them. One that cannot be used is told of, and stays kept.
func (e *editor) restore() {
	for name, entry := range e.state.kept() {
		m, err := parseEntry(name, []byte(entry))
		if err != nil {
			e.state.log.Warn("a membership that was added with --persist is left out", "membership", name, "error", err)
			continue
		}
		e.added[name] = addition{Membership: m.Membership, monitor: m.Monitor}
	}
}

// replace applies another configuration, or changes nothing and returns an
// error. It returns the names of what was added and is the configuration's now.
func (e *editor) replace(ctx context.Context, configured []membership.Membership, watched monitored) (taken []string, err error) {
	if err := e.turn.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer e.turn.Release(1)
	fixed := make(map[string]bool, len(configured))
	for i := range configured {
		fixed[configured[i].Name] = true
	}
	var set []membership.Membership
	for _, name := range slices.Sorted(maps.Keys(e.added)) {
		if fixed[name] {
			taken = append(taken, name)
		} else {
			set = append(set, e.added[name].Membership)
		}
	}
	if len(set) == 0 {
		set = configured // which are many
	} else {
		set = append(set, configured...)
	}
	last := e.manager.LastEvent()
	if err := accepted(e.manager.Apply(ctx, set)); err != nil {
		return nil, err
	}
	e.fixed, e.configured = fixed, watched
	defer e.watch(ctx)
	for _, name := range taken {
		e.added[name].lease.lose("the configuration has a membership of this name now", last)
		delete(e.added, name)
	}
	if err := e.state.forget(fixed); err != nil {
		e.state.log.Warn("cannot forget what was added with --persist under a name that the configuration has", "error", err)
	}
	return taken, nil
}

// accepted drops the error of a change that was taken, where ctx ended before all of
// it was made: the rest is made by itself, and the status says how far it is.
func accepted(err error) error {
	if errors.Is(err, membership.ErrPutOff) {
		return nil
	}
	return err
}

// parseEntry reads the entry of a membership. The name in it may be missing.
func parseEntry(name string, entry []byte) (config.Entry, error) {
	if err := membership.ValidateName(name); err != nil {
		return config.Entry{}, badName(err)
	}
	m, err := parseNamed(name, entry)
	if err == nil && m.Name != name {
		err = badName(fmt.Errorf("%q, want %q as in the path, or none", m.Name, name))
	}
	return m, err
}

// parseNamed reads the entry of a membership. Where it says no name, this is it.
func parseNamed(name string, entry []byte) (config.Entry, error) {
	m, err := config.ParseEntry(name, name, entry)
	if err != nil {
		return m, &control.InvalidError{Err: err, Flaws: flawsOf(err)}
	}
	return m, nil
}

// parseUnmonitored is parseNamed for a membership on another program's socket: that
// program counts what comes in on it.
func parseUnmonitored(name string, entry []byte) (membership.Membership, error) {
	m, err := parseNamed(name, entry)
	if err == nil && m.Monitor.Port != 0 {
		const message = "what another program's socket receives is not monitored, want a membership of ssmd's own for that"
		err = &control.InvalidError{Err: errors.New("monitor: " + message), Flaws: []control.Flaw{{Path: "monitor", Message: message}}}
	}
	return m.Membership, err
}

func badName(err error) error {
	return &control.InvalidError{Err: fmt.Errorf("name: %w", err), Flaws: []control.Flaw{{Path: "name", Message: err.Error()}}}
}

// flawsOf returns the errors of an entry as the control API tells them.
func flawsOf(err error) []control.Flaw {
	var flaws []control.Flaw
	all, _ := errors.AsType[config.Errors](err)
	for _, e := range all {
		flaws = append(flaws, control.Flaw{Path: e.Path, Message: e.Message, Line: e.Line, Column: e.Column})
	}
	return flaws
}

// Put implements control.Editor. What is to be kept is on the disk before it
// is joined.
func (e *editor) Put(ctx context.Context, name string, entry []byte, keep control.Keep) error {
	m, err := parseEntry(name, entry)
	if err != nil {
		return err
	}
	if err := e.turn.Acquire(ctx, 1); err != nil {
		return err
	}
	defer e.turn.Release(1)
	if e.fixed[name] {
		return &control.FixedError{Name: name, Why: e.why}
	}
	if l := e.added[name].lease; l != nil {
		return l.refuse()
	}
	undo, err := e.keep(name, string(entry), keep)
	if err != nil {
		return err
	}
	if err := accepted(e.manager.Put(ctx, m.Membership)); err != nil {
		return errors.Join(err, undo())
	}
	e.added[name] = addition{Membership: m.Membership, monitor: m.Monitor}
	e.watch(ctx)
	return nil
}

// keep notes whether a membership is kept, and returns what takes that back.
func (e *editor) keep(name, entry string, keep control.Keep) (undo func() error, err error) {
	before, was := e.state.kept()[name]
	undo = func() error {
		if was {
			return e.state.add(name, before)
		}
		return e.state.drop(name)
	}
	if keep == control.KeepOver {
		return undo, e.state.add(name, entry)
	}
	return undo, e.state.drop(name)
}

// Delete implements control.Editor.
func (e *editor) Delete(ctx context.Context, name string) error {
	if err := e.turn.Acquire(ctx, 1); err != nil {
		return err
	}
	defer e.turn.Release(1)
	if e.fixed[name] {
		return &control.FixedError{Name: name, Why: e.why}
	}
	undo, err := e.keep(name, "", control.KeepUntilExit)
	if err != nil {
		return err
	}
	if err := accepted(e.manager.Delete(ctx, name)); err != nil {
		return errors.Join(err, undo())
	}
	e.added[name].lease.lose("the membership was removed", e.manager.LastEvent())
	delete(e.added, name)
	e.watch(ctx)
	return nil
}
