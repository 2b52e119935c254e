package control

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestClientGivesUpOnAStoppedDaemon asks a socket that takes connections and
// never answers, as that of a process that SIGSTOP stopped.
func TestClientGivesUpOnAStoppedDaemon(t *testing.T) {
	socket := socketPath(t)
	mustListen(t, socket)
	c := newClient(socket, 20*time.Millisecond)
	_, err := c.Memberships(t.Context())
	want := "the daemon at " + socket + " does not answer within 20ms: is it stopped, or overloaded?"
	if !errors.Is(err, ErrNoAnswer) || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if _, err = c.Events(t.Context()); !errors.Is(err, ErrNoAnswer) {
		t.Errorf("Events: %v, want ErrNoAnswer", err)
	}
}

// TestClientGivesUpOnHalfARefusal asks a daemon that stops in the midst of saying no.
func TestClientGivesUpOnHalfARefusal(t *testing.T) {
	socket := socketPath(t)
	l := mustListen(t, socket)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = http.ReadRequest(bufio.NewReader(conn))
			_, _ = io.WriteString(conn, "HTTP/1.1 404 Not Found\r\nContent-Type: application/problem+json\r\nContent-Length: 100\r\n\r\n{\"type\":")
		}
	}()
	c := newClient(socket, 20*time.Millisecond)
	if _, err := c.Membership(t.Context(), "a"); !errors.Is(err, ErrNoAnswer) {
		t.Errorf("Membership: %v, want ErrNoAnswer", err)
	}
	if _, err := c.Events(t.Context()); !errors.Is(err, ErrNoAnswer) {
		t.Errorf("Events: %v, want ErrNoAnswer", err)
	}
}

// TestClientGivesUpWhereTheQueueIsFull holds that a stopped daemon is told also
// by those that find its queue of connections full.
func TestClientGivesUpWhereTheQueueIsFull(t *testing.T) {
	socket := socketPath(t)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: socket}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	mustDial(t, socket)
	_, err = newClient(socket, time.Hour).Memberships(t.Context())
	if !errors.Is(err, ErrNoAnswer) {
		t.Errorf("got %v, want ErrNoAnswer", err)
	}
}

// TestEventsMayBeRare holds that a stream is not cut off for saying nothing.
func TestEventsMayBeRare(t *testing.T) {
	h := serve(t, &fakeManager{}, nil)
	stream, err := newClient(h.socket, 20*time.Millisecond).Events(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	events := <-h.events
	time.AfterFunc(100*time.Millisecond, func() { events.publish(event(1)) })
	if _, err := stream.Next(); err != nil {
		t.Error(err)
	}
}

func TestClientSaysWhatIsNoSocket(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for socket, want := range map[string]string{
		dir:                      "connect to " + dir + ": a directory, want the daemon's socket",
		file:                     "connect to " + file + ": a file, want the daemon's socket",
		"@ssmd":                  `connect to @ssmd: "@ssmd" is an abstract socket`,
		strings.Repeat("x", 108): "connect to " + strings.Repeat("x", 108) + ": 108 bytes long, want a path of at most 107",
	} {
		_, err := NewClient(socket).Memberships(t.Context())
		if err == nil || !strings.HasPrefix(err.Error(), want) || errors.Is(err, ErrNoDaemon) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// TestAcceptWithoutDescriptors holds that a daemon whose memberships took every
// descriptor is still heard: it is then that it must say why.
func TestAcceptWithoutDescriptors(t *testing.T) {
	socket := socketPath(t)
	l, err := Listen(socket, 0o600, "")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const rounds = 2
	for range rounds * reserved {
		mustDial(t, socket)
	}
	exhaust(t)
	for range rounds {
		var accepted []net.Conn
		for range reserved {
			c, err := l.Accept()
			if err != nil {
				t.Fatalf("after %d: %v", len(accepted), err)
			}
			accepted = append(accepted, c)
		}
		for _, c := range accepted {
			_ = c.Close()
		}
	}
}

// exhaust takes every descriptor until the test ends.
func exhaust(t *testing.T) {
	t.Helper()
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 128, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	var taken []int
	t.Cleanup(func() {
		for _, fd := range taken {
			_ = unix.Close(fd)
		}
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
			t.Error(err)
		}
	})
	for {
		fd, err := unix.Open("/", unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return
		}
		taken = append(taken, fd)
	}
}
