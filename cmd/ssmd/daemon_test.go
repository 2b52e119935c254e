package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/ssmd-project/ssmd/config"
	"github.com/ssmd-project/ssmd/control"
	"github.com/ssmd-project/ssmd/membership"
	"github.com/ssmd-project/ssmd/reattach"
)

func TestParseJoins(t *testing.T) {
	got, err := parseJoins([]string{"10.1.0.1@232.1.1.1%eth0", "2001:db8::1@ff3e::8000:1%a%b*"}, membership.SourceSpecificOnly)
	if err != nil {
		t.Fatal(err)
	}
	want := []membership.Membership{
		{Name: "join-1", Channels: []membership.Channel{channel("10.1.0.1@232.1.1.1")}, Rules: reattach.Rules{Selector: reattach.ByName("eth0")}},
		{Name: "join-2", Channels: []membership.Channel{channel("2001:db8::1@ff3e::8000:1")}, Rules: reattach.Rules{Selector: reattach.ByName("a%b*")}},
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b membership.Channel) bool { return a == b })); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, m := range got {
		if err := m.Validate(); err != nil {
			t.Errorf("%s: %v", m.Name, err)
		}
	}
	const wide = "10.1.0.1@239.1.1.1%eth0"
	if all, err := parseJoins([]string{wide}, membership.AnyMulticastRange); err != nil || all[0].Validate() != nil {
		t.Errorf("%s: %v, %+v", wide, err, all)
	}
	for _, bad := range []string{wide, "", "%", "10.1.0.1@232.1.1.1%", "10.1.0.1@232.1.1.1%..", "10.1.0.1@232.1.1.1%a b", "10.1.0.1@232.1.1.1%a:1",
		"x@232.1.1.1%eth0", "10.1.0.1@ff3e::1%eth0", "224.0.0.1@232.1.1.1%eth0", "10.1.0.1@232.1.1.1%" + strings.Repeat("x", 128)} {
		if _, err := parseJoins([]string{bad}, membership.SourceSpecificOnly); err == nil || !strings.HasPrefix(err.Error(), "--join "+bad+": ") {
			t.Errorf("%q: %v, want an error", bad, err)
		}
	}
}

func FuzzParseJoin(f *testing.F) {
	f.Add("10.1.0.1@232.1.1.1%eth0")
	f.Fuzz(func(t *testing.T, text string) {
		one, err := parseJoin(text, membership.SourceSpecificOnly)
		if err != nil {
			return
		}
		one.Name = "x"
		if err := one.Validate(); err != nil {
			t.Errorf("%q was taken, but is not valid: %v", text, err)
		}
	})
}

func TestSignals(t *testing.T) {
	var log bytes.Buffer
	signals := make(chan os.Signal, 4)
	ended, reloads, codes := 0, 0, []int{}
	for _, s := range []os.Signal{syscall.SIGHUP, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT} {
		signals <- s
	}
	close(signals)
	handleSignals(signals, func() { ended++ }, func() { reloads++ }, slog.New(slog.NewTextHandler(&log, nil)), func(code int) { codes = append(codes, code) })
	if ended != 1 || len(codes) != 1 || codes[0] != exitFailed {
		t.Errorf("ended %d times, exit codes %v, want once and [1]", ended, codes)
	}
	if reloads != 2 {
		t.Errorf("reloaded %d times, want 2", reloads)
	}
	if !strings.Contains(log.String(), "ended at once") {
		t.Errorf("the log does not say how it ended:\n%s", &log)
	}
}

// gate is a writer that blocks until it is opened.
type gate struct {
	open chan struct{}
	mu   sync.Mutex
	bytes.Buffer
}

func (g *gate) Write(b []byte) (int, error) {
	<-g.open
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.Buffer.Write(b)
}

func TestLogQueueNeverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{open: make(chan struct{})}
		q := newLogQueue()
		go q.writeTo(g, newLogSettings(config.Log{Format: "json"}))
		log := newLogger(newLogSettings(config.Log{Format: "json"}), q)
		const extra = 10
		log.Info("0")
		synctest.Wait() // the writer is stuck in line 0
		for n := range logLines + extra {
			log.Info(fmt.Sprint(n + 1)) // a deadlock here fails the test
		}
		before := time.Now()
		q.stop(time.Second)
		if waited := time.Since(before); waited != time.Second {
			t.Errorf("stop waited %s for a stuck reader, want 1s", waited)
		}
		close(g.open)
		<-q.written
		lines := strings.Split(strings.TrimSpace(g.String()), "\n")
		if len(lines) != logLines+2 {
			t.Fatalf("%d lines, want %d and a note", len(lines), logLines+1)
		}
		var note struct{ Lines int }
		if err := json.Unmarshal([]byte(lines[1]), &note); err != nil || note.Lines != extra {
			t.Errorf("note %s, want %d lines dropped", lines[1], extra)
		}
	})
}

func TestLogQueueWritesAllAtTheEnd(t *testing.T) {
	var out bytes.Buffer
	q := newLogQueue()
	log := newLogger(newLogSettings(config.Log{Level: slog.LevelInfo, Format: "text"}), q)
	for range 100 {
		log.Info("line")
	}
	log.Debug("too little to tell")
	go q.writeTo(&out, newLogSettings(config.Log{}))
	q.stop(10 * time.Second)
	if n := strings.Count(out.String(), "msg=line\n"); n != 100 || strings.Contains(out.String(), "little") {
		t.Errorf("%d lines, want 100:\n%s", n, &out)
	}
}

func TestDaemonLeavesNoGoroutine(t *testing.T) {
	if errNotIsolated != nil {
		t.Skip(errNotIsolated)
	}
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	socket := filepath.Join(t.TempDir(), "s")
	listener, err := control.Listen(socket, 0o600, "")
	if err != nil {
		t.Fatal(err)
	}
	joins, err := parseJoins([]string{"127.0.0.1@232.1.1.1%lo"}, membership.SourceSpecificOnly)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	first := config.Packed{}.With(joins)
	d := daemon{first: &first, source: new(source), listener: listener, state: openState(t.Context(), t.TempDir(), slog.New(slog.DiscardHandler)), log: slog.New(slog.DiscardHandler), started: then}
	ended := make(chan error, 1)
	go func() { ended <- d.run(ctx) }()
	o := waitOptions{client: control.NewClient(socket), name: "join-1", state: membership.StateWaiting, timeout: 10 * time.Second}
	if err := runWait(ctx, o); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("run: %v, want nil", err)
	}
	if left, _ := os.ReadDir(filepath.Dir(socket)); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestDaemonEndsBeforeItBegan(t *testing.T) {
	if errNotIsolated != nil {
		t.Skip(errNotIsolated)
	}
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	listener, err := control.Listen(filepath.Join(t.TempDir(), "s"), 0o600, "")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d := daemon{first: new(config.Packed), source: new(source), listener: listener, state: openState(t.Context(), "", nil), log: slog.New(slog.DiscardHandler)}
	if err := d.run(ctx); err != nil {
		t.Errorf("run: %v, want nil", err)
	}
}

// queued is a subscription with some events and then the end.
type queued []membership.Event

func (q *queued) Next(ctx context.Context) (membership.Event, error) {
	if ctx.Err() != nil {
		return membership.Event{}, ctx.Err()
	}
	if len(*q) == 0 {
		return membership.Event{}, io.EOF
	}
	e := (*q)[0]
	*q = (*q)[1:]
	return e, nil
}

func TestEventsAreLoggedToTheLast(t *testing.T) {
	var out bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // the manager's last events come after
	events := queued{
		{Time: then, Type: membership.EventAttached, Membership: "a", Interface: "eth0", Instance: 7, Cause: membership.CauseAppeared, Reason: "why \x1b"},
		{Time: then, Type: membership.EventState, Membership: "a", State: membership.StateDegraded},
		{Time: then, Type: membership.EventState, Membership: "a", State: membership.StateJoined},
		{Time: then, Type: membership.EventState, Membership: "b", State: membership.StateDetached, Reason: "no interface matches"},
		{Time: then, Type: membership.EventState, Membership: "b", State: membership.StateDetached, Reason: "same mac: wanted 1, found 2"},
		{Time: then, Type: membership.EventMissed, Missed: 3},
		{Time: then, Type: membership.EventError, Reason: "no buffer space available"},
	}
	if err := logEvents(ctx, &events, slog.New(slog.NewTextHandler(&out, nil))); err != nil {
		t.Fatal(err)
	}
	compare(t, `time=2026-11-23T10:00:00.000Z level=INFO msg=attached membership=a interface=eth0 instance=7 cause=appeared reason="why \x1b"
time=2026-11-23T10:00:00.000Z level=WARN msg=state membership=a state=degraded
time=2026-11-23T10:00:00.000Z level=INFO msg=state membership=a state=joined
time=2026-11-23T10:00:00.000Z level=INFO msg=state membership=b state=detached reason="no interface matches"
time=2026-11-23T10:00:00.000Z level=INFO msg=state membership=b state=detached reason="same mac: wanted 1, found 2"
time=2026-11-23T10:00:00.000Z level=WARN msg=missed missed=3
time=2026-11-23T10:00:00.000Z level=WARN msg=error reason="no buffer space available"
`, out.String())
	events = queued{{Type: membership.EventAttached}}
	out.Reset()
	_ = logEvents(ctx, &events, slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelWarn})))
	compare(t, "", out.String())
}

// A directory that takes nothing is told of once, and that it does again.
func TestStateThatCannotBeSaved(t *testing.T) {
	var log bytes.Buffer
	dir := filepath.Join(t.TempDir(), "state")
	s := openState(t.Context(), dir, slog.New(slog.NewTextHandler(&log, nil)))
	manager := membership.New(membership.Options{Memory: membership.Memory{Memberships: map[string]membership.Remembered{"a": {}}}})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := manager.Run(ended); err != nil {
		t.Fatal(err)
	}
	s.memory = manager.Memory
	if err := errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if s.save(t.Context()) {
			t.Error("saved where nothing can be")
		}
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if !s.save(t.Context()) {
		t.Error("not saved, and the directory is not made again")
	}
	if other := openState(t.Context(), dir, slog.New(slog.DiscardHandler)); other.isOpen() {
		t.Error("another one has the directory that was made again too")
	}
	s.end()
	again := openState(t.Context(), dir, slog.New(slog.DiscardHandler))
	if _, known := again.load().Memberships["a"]; !known {
		t.Error("nothing was saved")
	}
	_ = again.store.Close()
	if n := strings.Count(log.String(), "cannot save state"); n != 1 || strings.Count(log.String(), "state saved again") != 1 {
		t.Errorf("%d times:\n%s", n, &log)
	}
}

// A directory that cannot be used at first is used once it can, with what it has.
func TestStateThatCannotBeOpened(t *testing.T) {
	dir := t.TempDir()
	before := openState(t.Context(), filepath.Join(dir, "state"), slog.New(slog.DiscardHandler))
	remember := func(context.Context) (membership.Memory, error) {
		return membership.Memory{Memberships: map[string]membership.Remembered{"a": {}}}, nil
	}
	before.memory = remember
	if err := before.add("kept", "interface: eth0"); err != nil {
		t.Fatal(err)
	}
	before.end()
	if err := os.Rename(filepath.Join(dir, "state"), filepath.Join(dir, "away")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "state"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		s := openState(t.Context(), filepath.Join(dir, "state"), slog.New(slog.DiscardHandler))
		s.memory = remember
		ctx, cancel := context.WithCancel(t.Context())
		var keeping sync.WaitGroup
		keeping.Go(func() { s.keep(ctx, nil, nil) })
		time.Sleep(10 * time.Second)
		if err := s.add("b", "interface: eth0"); err == nil {
			t.Error("kept where nothing can be")
		}
		if err := errors.Join(os.Remove(s.dir), os.Rename(filepath.Join(dir, "away"), s.dir)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(lastStateRetry)
		if kept := s.kept(); len(kept) != 1 || s.add("b", "interface: eth0") != nil {
			t.Errorf("kept: %v", kept)
		}
		cancel()
		keeping.Wait()
		s.end()
	})
	last := openState(t.Context(), filepath.Join(dir, "state"), slog.New(slog.DiscardHandler))
	if l := last.load(); len(l.Added) != 2 || len(l.Memberships) != 1 {
		t.Errorf("%+v", l)
	}
	_ = last.store.Close()
}
