package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/ssmd-project/ssmd/control"
	"github.com/ssmd-project/ssmd/membership"
)

// errNameInUse is wrapped where a name is another membership's, and errLeaseEnded
// where a lease is over.
var (
	errNameInUse  = errors.New("name in use")
	errLeaseEnded = errors.New("the membership is not kept any more")
)

// lease is a membership that a part of the program has in the manager for as
// long as it wants: what came with a socket. It outlives reloads, and is not kept
// over a restart. Its name is its own, until the configuration has it or somebody
// removes it. Its methods are safe for concurrent use.
type lease struct {
	editor *editor
	name   string
	why    string                         // of what others cannot do to it, as "was handed over by process 12"
	since  uint64                         // number of the last event before it began
	lost   func(note string, last uint64) // nil for nobody who wants to know
}

// lend adds a membership under a name that nobody has; otherwise the error wraps
// errNameInUse. why says whose it is, to whoever wants to replace it. Where it
// ends by somebody else, lost is told what happened, once, and the number of the
// last event that is surely its own: it must not wait, nor call the editor. It is
// not called after end has returned.
func (e *editor) lend(ctx context.Context, m membership.Membership, why string, lost func(note string, last uint64)) (*lease, error) {
	if err := e.turn.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer e.turn.Release(1)
	if _, known := e.added[m.Name]; known || e.fixed[m.Name] {
		return nil, fmt.Errorf("membership %q: %w", m.Name, errNameInUse)
	}
	since := e.manager.LastEvent()
	if err := accepted(e.manager.Put(ctx, m)); err != nil {
		return nil, err
	}
	l := &lease{editor: e, name: m.Name, why: why, since: since, lost: lost}
	e.added[m.Name] = addition{Membership: m, lease: l}
	return l, nil
}

// put replaces the membership by another one of the same name. The error wraps
// errLeaseEnded where it has ended.
func (l *lease) put(ctx context.Context, m membership.Membership) error {
	e := l.editor
	if err := e.turn.Acquire(ctx, 1); err != nil {
		return err
	}
	defer e.turn.Release(1)
	if e.added[l.name].lease != l {
		return fmt.Errorf("membership %q: %w", l.name, errLeaseEnded)
	}
	if m.Name != l.name {
		return fmt.Errorf("name: %q, want %q as before", m.Name, l.name)
	}
	if err := accepted(e.manager.Put(ctx, m)); err != nil {
		return err
	}
	e.added[l.name] = addition{Membership: m, lease: l}
	return nil
}

// end removes the membership. Where it has ended already that is no error. After
// an error, as where ctx ended first, it is still there, and may be ended again.
func (l *lease) end(ctx context.Context) error {
	e := l.editor
	if err := e.turn.Acquire(ctx, 1); err != nil {
		return err
	}
	defer e.turn.Release(1)
	if e.added[l.name].lease != l {
		return nil
	}
	err := accepted(e.manager.Delete(ctx, l.name))
	if err == nil || errors.Is(err, membership.ErrNotFound) || errors.Is(err, membership.ErrStopped) {
		delete(e.added, l.name)
		return nil
	}
	return err
}

// lose tells whoever has the lease that it is over, and the last event of those
// until then. The editor's turn is held.
func (l *lease) lose(note string, last uint64) {
	if l != nil && l.lost != nil {
		l.lost(note, last)
	}
}

// refuse is the error of whoever wants to put something else in its place.
func (l *lease) refuse() error { return &control.FixedError{Name: l.name, Why: l.why} }
