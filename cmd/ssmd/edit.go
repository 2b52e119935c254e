package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/ssmd-project/ssmd/config"
	"github.com/ssmd-project/ssmd/control"
	"github.com/ssmd-project/ssmd/membership"
)

// editor changes the memberships that were added to a daemon that runs: those
// of its configuration stay as they are.
type editor struct {
	manager *membership.Manager
	state   *state
	fixed   map[string]string // why memberships of the configuration cannot be changed

	mu sync.Mutex // held over a whole change
}

func newEditor(manager *membership.Manager, s *state, c config.Config) *editor {
	fixed := make(map[string]string, len(c.Memberships))
	why := "was given with --join"
	if c.File != "" {
		why = "is in " + c.File + " or was given with --join: change it there"
	}
	for _, m := range c.Memberships {
		fixed[m.Name] = why
	}
	return &editor{manager: manager, state: s, fixed: fixed}
}

// restored returns the memberships that a daemon before was told to keep. One
// that cannot be used is told of, and stays kept.
func (e *editor) restored() []membership.Membership {
	kept := e.state.kept()
	var all []membership.Membership
	for _, name := range slices.Sorted(maps.Keys(kept)) {
		m, err := parseEntry(name, []byte(kept[name]))
		if why, fixed := e.fixed[name]; fixed {
			err = &control.FixedError{Name: name, Why: why}
		}
		if err != nil {
			e.state.log.Warn("a membership that was added with --persist is left out", "membership", name, "error", err)
			continue
		}
		all = append(all, m)
	}
	return all
}

// parseEntry reads the entry of a membership. The name in it may be missing.
func parseEntry(name string, entry []byte) (membership.Membership, error) {
	if err := membership.ValidateName(name); err != nil {
		return membership.Membership{}, &control.InvalidError{Err: fmt.Errorf("name: %w", err)}
	}
	m, err := config.ParseEntry(name, name, entry)
	if err != nil {
		return m, &control.InvalidError{Err: err}
	}
	if m.Name != name {
		return m, &control.InvalidError{Err: fmt.Errorf("name: %q, want %q as in the path, or none", m.Name, name)}
	}
	return m, nil
}

// Put implements control.Editor. What is to be kept is on the disk before it
// is joined.
func (e *editor) Put(ctx context.Context, name string, entry []byte, keep control.Keep) error {
	m, err := parseEntry(name, entry)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if why, fixed := e.fixed[name]; fixed {
		return &control.FixedError{Name: name, Why: why}
	}
	undo, err := e.keep(name, string(entry), keep)
	if err != nil {
		return err
	}
	if err := e.manager.Put(ctx, m); err != nil {
		return errors.Join(err, undo())
	}
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
	e.mu.Lock()
	defer e.mu.Unlock()
	if why, fixed := e.fixed[name]; fixed {
		return &control.FixedError{Name: name, Why: why}
	}
	undo, err := e.keep(name, "", control.KeepUntilExit)
	if err != nil {
		return err
	}
	if err := e.manager.Delete(ctx, name); err != nil {
		return errors.Join(err, undo())
	}
	return nil
}
