package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/ssmd-project/ssmd/control"
	"github.com/ssmd-project/ssmd/membership"
	"github.com/ssmd-project/ssmd/reattach"
)

// newLender returns an editor with a manager that runs.
func newLender(t *testing.T) *editor {
	t.Helper()
	if errNotIsolated != nil {
		t.Skip(errNotIsolated)
	}
	manager := membership.New(membership.Options{})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- manager.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	log := slog.New(slog.DiscardHandler)
	s := openState(t.Context(), t.TempDir(), log)
	s.memory = manager.Memory
	t.Cleanup(s.end)
	return newEditor(manager, s, "")
}

func wishFor(name string, channels ...string) membership.Membership {
	m := membership.Membership{Name: name, Rules: reattach.Rules{Selector: reattach.ByName("no-such-interface")}}
	for _, c := range channels {
		m.Channels = append(m.Channels, channel(c))
	}
	return m
}

func (e *editor) names(t *testing.T) (names []string) {
	t.Helper()
	all, err := e.manager.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		names = append(names, s.Name)
	}
	return names
}

// What was lent stays where the configuration changes, until that has its name.
func TestLeaseOutlivesReloads(t *testing.T) {
	e := newLender(t)
	var notes []string
	l, err := e.lend(t.Context(), wishFor("lent", "10.1.0.1@232.1.1.1"), "was lent", func(note string, _ uint64) { notes = append(notes, note) })
	if err != nil {
		t.Fatal(err)
	}
	for _, set := range [][]membership.Membership{nil, {wishFor("a", "10.1.0.1@232.1.1.2")}, nil} {
		if taken, err := e.replace(t.Context(), set); err != nil || len(taken) > 0 {
			t.Fatalf("took %v, %v", taken, err)
		}
		if names := e.names(t); !slices.Contains(names, "lent") || len(names) != len(set)+1 {
			t.Errorf("there are %v, want lent and %d more", names, len(set))
		}
	}
	if err := l.put(t.Context(), wishFor("lent", "10.1.0.1@232.1.1.1", "10.1.0.1@232.1.1.9")); err != nil {
		t.Error(err)
	}
	if _, err := e.replace(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if s, err := e.manager.StatusOf(t.Context(), "lent"); err != nil || s.Channels != 2 {
		t.Errorf("%d channels, %v, want those of the last put", s.Channels, err)
	}
	taken, err := e.replace(t.Context(), []membership.Membership{wishFor("lent", "10.1.0.1@232.1.1.3")})
	if err != nil || !slices.Equal(taken, []string{"lent"}) {
		t.Errorf("took %v, %v, want lent", taken, err)
	}
	if len(notes) != 1 || !strings.Contains(notes[0], "configuration") {
		t.Errorf("told %q, want one note of the configuration", notes)
	}
	if err := l.put(t.Context(), wishFor("lent", "10.1.0.1@232.1.1.1")); !errors.Is(err, errLeaseEnded) {
		t.Errorf("put said %v, want that it has ended", err)
	}
	if err := l.end(t.Context()); err != nil {
		t.Error(err)
	}
	if s, err := e.manager.StatusOf(t.Context(), "lent"); err != nil || s.Channels != 1 {
		t.Errorf("%d channels, %v: the configuration's was touched", s.Channels, err)
	}
	if _, err := e.lend(t.Context(), wishFor("lent", "10.1.0.1@232.1.1.1"), "", nil); !errors.Is(err, errNameInUse) {
		t.Errorf("lend said %v, want that the name is in use", err)
	}
}

// Nobody replaces what was lent over the control socket, and whoever may can
// remove it.
func TestLeaseOverTheControlSocket(t *testing.T) {
	e := newLender(t)
	var notes []string
	var last uint64
	note := func(n string, seq uint64) { notes, last = append(notes, n), seq }
	l, err := e.lend(t.Context(), wishFor("lent", "10.1.0.1@232.1.1.1"), "was lent to a test", note)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.lend(t.Context(), wishFor("lent", "10.1.0.1@232.1.1.2"), "", nil); !errors.Is(err, errNameInUse) {
		t.Errorf("lent twice: %v", err)
	}
	entry := []byte(`{"channels": "10.1.0.1@232.1.1.7", "interface": "no-such-interface"}`)
	for _, keep := range []control.Keep{control.KeepUntilExit, control.KeepOver} {
		err := e.Put(t.Context(), "lent", entry, keep)
		if fixed, ok := errors.AsType[*control.FixedError](err); !ok || fixed.Error() != `membership "lent" was lent to a test` {
			t.Errorf("Put said %v, want whose it is", err)
		}
	}
	if len(e.state.kept()) > 0 || len(notes) > 0 {
		t.Errorf("kept %v, told %q, want neither", e.state.kept(), notes)
	}
	if err := e.Delete(t.Context(), "lent"); err != nil {
		t.Fatal(err)
	}
	if len(notes) != 1 || !strings.Contains(notes[0], "removed") {
		t.Errorf("told %q, want one note", notes)
	}
	if now := e.manager.LastEvent(); last != now || l.Since() > last {
		t.Errorf("its events are those after %d up to %d, want up to %d", l.Since(), last, now)
	}
	if err := e.Put(t.Context(), "lent", entry, control.KeepUntilExit); err != nil {
		t.Errorf("the name is not free: %v", err)
	}
	if err := l.end(t.Context()); err != nil {
		t.Error(err)
	}
	if names := e.names(t); !slices.Equal(names, []string{"lent"}) {
		t.Errorf("there are %v: somebody else's was removed", names)
	}
}

// What ends a lease leaves nothing, and is not told of.
func TestLeaseEnds(t *testing.T) {
	e := newLender(t)
	note := func(n string, _ uint64) { t.Errorf("told %q", n) }
	for range 2 {
		l, err := e.lend(t.Context(), wishFor("lent", "10.1.0.1@232.1.1.1"), "", note)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.put(t.Context(), wishFor("other", "10.1.0.1@232.1.1.1")); err == nil {
			t.Error("it took another name")
		}
		for range 2 {
			if err := l.end(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if names := e.names(t); len(names) != 0 {
			t.Errorf("there are %v, want none", names)
		}
	}
	if _, err := e.lend(t.Context(), wishFor("lent"), "", note); err == nil {
		t.Error("lent without a channel")
	}
	if _, err := e.replace(t.Context(), nil); err != nil {
		t.Error(err)
	}
}
