package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/membership"
)

func TestClientReadsWhatTheManagerSays(t *testing.T) {
	dots := membership.Status{Name: "..", State: membership.StateWaiting, Attachments: []membership.Attachment{}}
	m := &fakeManager{statuses: []membership.Status{dots, joined}, interfaces: []membership.InterfaceStatus{{Interface: ifwatch.Interface{ID: 1, Index: 1, Name: "lo", VLANID: -1}, Drained: true}}}
	h := serve(t, m, nil)
	ctx := t.Context()

	statuses, err := h.client.Memberships(ctx)
	if diff := cmp.Diff([]Status{{Status: dots}, {Status: joined}}, statuses); err != nil || diff != "" {
		t.Errorf("Memberships: %v (-want +got):\n%s", err, diff)
	}
	for _, want := range m.statuses {
		got, err := h.client.Membership(ctx, want.Name)
		if diff := cmp.Diff(Status{Status: want}, got); err != nil || diff != "" {
			t.Errorf("Membership(%q): %v (-want +got):\n%s", want.Name, err, diff)
		}
		explanation, err := h.client.Explain(ctx, want.Name)
		if diff := cmp.Diff(Status{Status: want}, explanation.Status); err != nil || diff != "" {
			t.Errorf("Explain(%q): %v (-want +got):\n%s", want.Name, err, diff)
		}
	}
	interfaces, err := h.client.Interfaces(ctx)
	if diff := cmp.Diff(m.interfaces, interfaces); err != nil || diff != "" {
		t.Errorf("Interfaces: %v (-want +got):\n%s", err, diff)
	}
	daemon, err := h.client.Daemon(ctx)
	if err != nil || daemon.PID != 42 || daemon.Memberships[membership.StateJoined] != 1 {
		t.Errorf("Daemon: %v %+v", err, daemon)
	}
}

func TestClientKnowsTheManagersErrors(t *testing.T) {
	h := serve(t, &fakeManager{}, nil)
	for _, name := range []string{"x", "", "a/b", "a%2Fb", "\x1b[31m", "?q#f"} {
		_, err := h.client.Membership(t.Context(), name)
		problem, ok := errors.AsType[*Problem](err)
		if !ok || problem.Status != 404 || errors.Is(err, membership.ErrNotFound) != (name != "") {
			t.Errorf("Membership(%q): %v, want ErrNotFound", name, err)
		}
	}
	stopped := serve(t, &fakeManager{err: membership.ErrStopped}, nil)
	if _, err := stopped.client.Memberships(t.Context()); !errors.Is(err, membership.ErrStopped) || errors.Is(err, membership.ErrNotFound) {
		t.Errorf("got %v, want ErrStopped", err)
	}
}

func TestClientSaysThatThereIsNoDaemon(t *testing.T) {
	stale := socketPath(t)
	killed(t, stale)
	for _, socket := range []string{socketPath(t), stale, "/etc/passwd/s", "/no/such/dir/s"} {
		_, err := NewClient(socket).Memberships(t.Context())
		want := "no daemon at " + socket + ": is ssmd running? (--socket, SSMD_CONTROL_SOCKET)"
		if !errors.Is(err, ErrNoDaemon) || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	_, err := NewClient("/no/such/dir/s").Events(t.Context())
	if !errors.Is(err, ErrNoDaemon) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Events: %v, want ErrNoDaemon and its cause", err)
	}
}

func TestClientSaysWhoMayConnect(t *testing.T) {
	const variable = "SSMD_TEST_SOCKET"
	if path := os.Getenv(variable); path != "" {
		_, err := NewClient(path).Memberships(context.Background())
		fmt.Println(err, errors.Is(err, ErrNoDaemon))
		return
	}
	if os.Getuid() != 0 {
		t.Skip("needs root to become another user")
	}
	h := serve(t, &fakeManager{}, nil)
	if err := os.Chmod(strings.TrimSuffix(h.socket, "/s"), 0o755); err != nil {
		t.Fatal(err)
	}
	out, err := asNobody(t, "TestClientSaysWhoMayConnect", variable+"="+h.socket)
	want := "connect to " + h.socket + ": permission denied: want root, or what the daemon's control.mode, control.group and control.readers allow false"
	if err != nil || !strings.Contains(out, want) {
		t.Errorf("%v: got %s, want %s", err, out, want)
	}
}

func TestClientKnowsAStranger(t *testing.T) {
	socket := socketPath(t)
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	stranger := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/elsewhere", http.StatusFound)
	})}
	go func() { _ = stranger.Serve(l) }()
	defer stranger.Close()
	_, err = NewClient(socket).Daemon(t.Context())
	if err == nil || !strings.Contains(err.Error(), "answered 302 Found, which is no answer of ssmd") {
		t.Errorf("got %v", err)
	}
}

func TestClientGivesUpWithItsContext(t *testing.T) {
	h := serve(t, &fakeManager{hang: true}, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := h.client.Daemon(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want DeadlineExceeded", err)
	}
}

func TestDialErrorGivesTheCause(t *testing.T) {
	err := error(&DialError{Socket: "/s", Err: &net.OpError{Op: "dial", Net: "unix", Err: os.NewSyscallError("connect", syscall.EACCES)}})
	if !errors.Is(err, fs.ErrPermission) || errors.Is(err, ErrNoDaemon) || errors.Is(err, io.EOF) {
		t.Error(err)
	}
}
