package service_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ssmd-project/ssmd/internal/service"
	"github.com/ssmd-project/ssmd/internal/service/servicetest"
)

// startVariable makes the test program tell what it was passed.
const startVariable = "SSMD_TEST_START"

func TestMain(m *testing.M) {
	if os.Getenv(startVariable) != "" {
		passed := service.Start("kept", "other")
		for _, name := range []string{"kept", "other"} {
			for _, fd := range passed.Stored[name] {
				f := os.NewFile(uintptr(fd), name)
				if _, err := f.WriteString(name); err != nil {
					os.Exit(1)
				}
			}
		}
		if os.Getenv("LISTEN_FDS") != "" || len(passed.Sockets) != 0 {
			os.Exit(2)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func newManager(t *testing.T, most int) (*servicetest.Manager, *service.Notifier) {
	t.Helper()
	m, err := servicetest.New(t.TempDir(), most)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	for _, e := range m.Command("true").Env {
		if name, value, _ := strings.Cut(e, "="); name == "NOTIFY_SOCKET" {
			t.Setenv(name, value)
		}
	}
	n, err := service.NewNotifier()
	if err != nil || n == nil {
		t.Fatalf("%v, %v", n, err)
	}
	t.Cleanup(func() { _ = n.Close() })
	if os.Getenv("NOTIFY_SOCKET") != "" {
		t.Error("children would notify too")
	}
	return m, n
}

func patience(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestNotify(t *testing.T) {
	m, n := newManager(t, 0)
	for _, err := range []error{n.Ready("2 of 2 joined"), n.Status("1 of 2 joined"), n.Alive(), n.Reloading(), n.Stopping(), n.Barrier(patience(t))} {
		if err != nil {
			t.Error(err)
		}
	}
	got := m.Messages()
	got[3], _, _ = strings.Cut(got[3], "MONOTONIC_USEC=")
	want := []string{"READY=1\nSTATUS=2 of 2 joined", "STATUS=1 of 2 joined", "WATCHDOG=1", "RELOADING=1\n", "STOPPING=1", "BARRIER=1"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// What is stored is passed to the next start, by name, until it is removed.
func TestStore(t *testing.T) {
	m, n := newManager(t, 600)
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	var many []int
	for range 400 { // more than go with one message
		many = append(many, int(write.Fd()))
	}
	ctx := patience(t)
	if err := errors.Join(n.Store("kept", many...), n.Store("other", int(write.Fd())), n.Store("kept"), n.Barrier(ctx), write.Close()); err != nil {
		t.Fatal(err)
	}
	if got := len(m.Stored()); got != 401 {
		t.Errorf("%d are stored", got)
	}
	cmd := m.Command("/proc/self/exe")
	cmd.Args[3] = os.Args[0]
	cmd.Env = append(cmd.Env, startVariable+"=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	servicetest.Release(cmd)
	if err := errors.Join(n.Remove("kept"), n.Remove("other"), n.Barrier(ctx)); err != nil {
		t.Fatal(err)
	}
	if got := m.Stored(); got != nil {
		t.Errorf("%v are stored", got)
	}
	content := make([]byte, 1<<16)
	size, err := read.Read(content)
	if got := string(content[:size]); err != nil || got != strings.Repeat("kept", 400)+"other" {
		t.Errorf("was told %d bytes, %v", size, err)
	}
	if _, err := read.Read(content); err == nil {
		t.Error("something is stored still")
	}
}

func TestStoreThatIsFull(t *testing.T) {
	m, n := newManager(t, 1)
	if err := errors.Join(n.Store("kept", 1, 2), n.Barrier(patience(t))); err != nil {
		t.Fatal(err)
	}
	if got := len(m.Stored()); got != 1 {
		t.Errorf("%d are stored", got)
	}
}

func TestNobodyToNotify(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	n, err := service.NewNotifier()
	if n != nil || err != nil {
		t.Errorf("%v, %v", n, err)
	}
	if err := errors.Join(n.Ready(""), n.Store("kept", 1), n.Barrier(t.Context()), n.Close()); err != nil {
		t.Error(err)
	}
	t.Setenv("NOTIFY_SOCKET", t.TempDir()+"/nowhere")
	if _, err := service.NewNotifier(); err == nil {
		t.Error("no error")
	}
}

// A service manager that does not answer holds nobody up for longer than is said.
func TestBarrierThatStays(t *testing.T) {
	m, n := newManager(t, 0)
	_ = m
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	// Whether it was read already is for chance to say.
	if err := n.Barrier(ctx); err != nil && !strings.Contains(err.Error(), "enough") {
		t.Error(err)
	}
}

// A service manager that does not read holds nobody up for ever.
func TestNobodyReads(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	n, err := service.NewNotifier()
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	n.SetPatience(20 * time.Millisecond)
	for err == nil {
		err = n.Alive()
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) || strings.Contains(err.Error(), "\n") {
		t.Errorf("said %q", err)
	}
	if _, err := l.Read(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	if err := n.Alive(); err != nil {
		t.Errorf("now that there is room: %v", err)
	}
}
