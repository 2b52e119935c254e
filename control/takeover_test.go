package control

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// yielded is what a daemon that hands something over does.
type yielded struct {
	give func(*net.UnixConn)
	done chan struct{}
	ends bool
}

func newYielded(give func(*net.UnixConn)) *yielded {
	return &yielded{give: give, done: make(chan struct{}), ends: true}
}

func (y *yielded) yield(_ context.Context, successor *net.UnixConn) bool {
	defer close(y.done)
	defer successor.Close()
	y.give(successor)
	return y.ends
}

// A successor gets the connection, and descriptors over it from the first byte on.
func TestTakeOver(t *testing.T) {
	y := newYielded(func(successor *net.UnixConn) {
		if _, _, err := successor.WriteMsgUnix([]byte("x"), unix.UnixRights(0), nil); err != nil {
			t.Error(err)
		}
	})
	h := serveAll(t, ServerOptions{Manager: &fakeManager{}, Yield: y.yield}, nil)
	c, err := h.client.TakeOver(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var content, rights [100]byte
	n, size, _, _, err := c.ReadMsgUnix(content[:], rights[:])
	if err != nil || string(content[:n]) != "x" {
		t.Fatalf("%q, %v", content[:n], err)
	}
	messages, err := unix.ParseSocketControlMessage(rights[:size])
	if err != nil || len(messages) != 1 {
		t.Fatalf("%v, %v", messages, err)
	}
	descriptors, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(descriptors) != 1 {
		t.Fatalf("%v, %v", descriptors, err)
	}
	_ = unix.Close(descriptors[0])
	if _, err := c.Read(content[:]); err != io.EOF {
		t.Errorf("after the end: %v", err)
	}
	h.stop()
}

// Whoever comes while something is handed over waits, and is answered where that
// fails.
func TestClientsWaitForTheSuccessor(t *testing.T) {
	on, begun := make(chan struct{}), make(chan struct{})
	y := newYielded(func(*net.UnixConn) {
		close(begun)
		<-on
	})
	y.ends = false
	h := serveAll(t, ServerOptions{Manager: &fakeManager{}, Yield: y.yield}, nil)
	c, err := h.client.TakeOver(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	<-begun
	answered := make(chan error, 1)
	go func() {
		_, err := h.client.Memberships(t.Context())
		answered <- err
	}()
	select {
	case err := <-answered:
		t.Errorf("answered meanwhile: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	close(on)
	if err := <-answered; err != nil {
		t.Error(err)
	}
	h.stop()
}

// The end of the server waits for what is handed over.
func TestServeWaitsForTheSuccessor(t *testing.T) {
	on := make(chan struct{})
	y := newYielded(func(*net.UnixConn) { <-on })
	h := serveAll(t, ServerOptions{Manager: &fakeManager{}, Yield: y.yield}, nil)
	c, err := h.client.TakeOver(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go func() {
		time.Sleep(10 * time.Millisecond) // whichever is first, the other waits
		close(on)
	}()
	h.stop()
	select {
	case <-y.done:
	default:
		t.Error("ended before")
	}
}

// A successor that goes away, or says nothing, is let go, and leaves its place.
func TestSuccessorThatSaysNothing(t *testing.T) {
	y := newYielded(func(*net.UnixConn) { t.Error("yielded") })
	h := serveAll(t, ServerOptions{Manager: &fakeManager{}, Yield: y.yield}, func(l *limits) {
		l.answer = 50 * time.Millisecond
		l.connections = bounds{all: 2, others: 2, each: 2}
	})
	const request = "POST /v1/takeover HTTP/1.1\r\nHost: ssmd\r\nConnection: Upgrade\r\nUpgrade: ssmd-handover/1\r\n\r\n"
	for range 5 {
		c := mustDial(t, h.socket)
		if _, err := io.WriteString(c, request); err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(c)
		if err != nil || !strings.HasPrefix(string(text), "HTTP/1.1 101 ") {
			t.Fatalf("%q, %v", text, err)
		}
		c = mustDial(t, h.socket)
		if _, err := io.WriteString(c, request); err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
	}
}

func TestTakeOverOfNobody(t *testing.T) {
	if _, err := NewClient(socketPath(t)).TakeOver(t.Context()); !errors.Is(err, ErrNoDaemon) {
		t.Errorf("%v, want no daemon", err)
	}
	path := socketPath(t)
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := newClient(path, 20*time.Millisecond).TakeOver(t.Context()); !errors.Is(err, ErrNoAnswer) {
		t.Errorf("%v, want no answer", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := NewClient(path).TakeOver(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want the context's", err)
	}
}

// A listener goes from one daemon to the next: whoever connects meanwhile waits.
func TestListenerIsHandedOver(t *testing.T) {
	path := socketPath(t)
	first, err := Listen(path, 0o600, "")
	if err != nil {
		t.Fatal(err)
	}
	files, err := first.Files()
	if err != nil {
		t.Fatal(err)
	}
	first.Abandon()
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	waiting := mustDial(t, path)
	if _, err := Listen(path, 0o600, ""); !errors.Is(err, ErrInUse) {
		t.Errorf("a third daemon: %v", err)
	}
	second, err := Inherit(path, files, 0o666, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Own(); err != nil {
		t.Error(err)
	}
	c, err := second.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("x")); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadFull(waiting, make([]byte, 1)); err != nil {
		t.Error(err)
	}
	_ = c.Close()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o666 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	for _, left := range []string{path, path + ".lock"} {
		if _, err := os.Lstat(left); err == nil {
			t.Errorf("%s is left", left)
		}
	}
}

// A listener that is inherited, and then not taken over, stays as it was.
func TestListenerIsGivenBack(t *testing.T) {
	path := socketPath(t)
	first, err := Listen(path, 0o600, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range []string{"", "no such group"} {
		files, err := first.Files()
		if err != nil {
			t.Fatal(err)
		}
		second, err := Inherit(path, files, 0o666, group)
		if (err == nil) != (group == "") {
			t.Fatalf("group %q: %v", group, err)
		}
		if second != nil {
			if err := second.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if _, err := Listen(path, 0o600, ""); !errors.Is(err, ErrInUse) {
		t.Errorf("another daemon: %v", err)
	}
	mustDial(t, path)
	c, err := first.Accept()
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); err == nil {
		t.Error("the path is left")
	}
}

// A socket that the service manager made stays.
func TestListenerOfTheServiceManager(t *testing.T) {
	path := socketPath(t)
	made, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l := API.Activated(made)
	mustDial(t, path)
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("removed: %v", err)
	}
}
