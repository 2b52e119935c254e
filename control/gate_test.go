package control

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

func TestQuota(t *testing.T) {
	q := newQuota("things", bounds{all: 6, others: 5, each: 2})
	root, a, b := peer{uid: 0}, peer{uid: 70001}, peer{uid: 70002}
	steps := []struct {
		who  peer
		want share
	}{
		{a, fair}, {a, fair}, {a, over}, {a, over}, {a, none}, // one user has all that it may
		{b, fair}, {b, none}, // others have theirs
		{root, fair}, {root, none}, {a, none},
	}
	for n, step := range steps {
		if got := q.take(step.who); got != step.want {
			t.Errorf("step %d: %s got %d, want %d", n, step.who, got, step.want)
		}
	}
	q.give(a)
	if got := q.take(b); got != fair {
		t.Errorf("%s got %d after another gave", b, got)
	}
	for _, p := range []peer{a, a, a, b, b, root} {
		q.give(p)
	}
	if len(q.by) != 0 || q.others != 0 || len(q.slots) != 0 {
		t.Errorf("left: %v, %d, %d", q.by, q.others, len(q.slots))
	}
	if got := q.take(unknownPeer); got != fair || q.by[nobodyKnown] != 1 {
		t.Errorf("of nobody: %d, %v", got, q.by)
	}
}

// TestOneUserCannotKeepRootOut has another user take all that it can get.
func TestOneUserCannotKeepRootOut(t *testing.T) {
	const variable = "SSMD_TEST_SOCKET"
	if path := os.Getenv(variable); path != "" {
		crowd(path)
		return
	}
	if os.Getuid() != 0 {
		t.Skip("needs root to become another user")
	}
	h := serveAll(t, ServerOptions{Access: Access{mode: 0o666, reads: &group{id: reading}}, Manager: &fakeManager{}}, func(l *limits) {
		l.connections, l.streams = bounds{all: 8, others: 6, each: 4}, bounds{all: 6, others: 4, each: 2}
		l.read = time.Minute
	})
	h.inDirectory(t)
	cmd := asUser(somebody, reading, "TestOneUserCannotKeepRootOut", variable+"="+h.socket)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	for _, want := range []string{
		"events busy user 4001 has to wait: there may be 6 readers of events, of which others than root and the daemon's own user may have 4, and each of them 2\n",
		"read busy user 4001 has to wait: there may be 8 connections, of which others than root and the daemon's own user may have 6, and each of them 4\n",
		"closed\n",
	} {
		if got, err := lines.ReadString('\n'); err != nil || got != want {
			t.Errorf("%v: got  %swant %s", err, got, want)
		}
	}
	// It holds all that others may have; and root reads, and follows.
	for range 3 {
		if _, err := h.client.Daemon(t.Context()); err != nil {
			t.Error(err)
		}
	}
	stream, err := h.client.Events(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stream.Close()
	if err := errors.Join(in.Close(), cmd.Wait()); err != nil {
		t.Error(err)
	}
}

// crowd takes connections until it gets none, and holds them until standard
// input ends.
func crowd(socket string) {
	ctx, c := context.Background(), NewClient(socket)
	tell := func(what string, err error) {
		if problem, ok := errors.AsType[*Problem](err); ok && problem.Type == TypeBusy && problem.Status == 503 {
			what += " busy"
		}
		fmt.Println(what, err)
	}
	for range 2 { // what may be followed
		stream, err := c.Events(ctx)
		if err != nil {
			tell("events", err)
			os.Exit(1)
		}
		defer stream.Close()
	}
	_, err := c.Events(ctx)
	tell("events", err)
	dial := func() net.Conn {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			tell("dial", err)
			os.Exit(1)
		}
		return conn
	}
	dial()
	dial() // four now
	_, err = c.Daemon(ctx)
	tell("read", err)
	dial()
	dial() // six, two of them too many
	if _, err := io.ReadAll(dial()); err == nil {
		fmt.Println("closed")
	}
	_, _ = io.ReadAll(os.Stdin)
}

// A gate that is closed lets go who waits.
func TestGateClosesWhileItIsFull(t *testing.T) {
	socket := socketPath(t)
	l, err := Listen(socket, 0o600, "")
	if err != nil {
		t.Fatal(err)
	}
	g := newGate(l, newQuota("connections", bounds{all: 1}), NewServer(ServerOptions{}).options.Logger)
	mustDial(t, socket)
	first, err := g.Accept()
	if err != nil {
		t.Fatal(err)
	}
	mustDial(t, socket)
	accepted := make(chan error, 1)
	go func() {
		_, err := g.Accept()
		accepted <- err
	}()
	if err := g.Close(); err != nil {
		t.Error(err)
	}
	if err := <-accepted; !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v, want net.ErrClosed", err)
	}
	if err := errors.Join(first.Close(), first.Close()); err != nil && !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	if n := len(g.quota.slots); n != 0 {
		t.Errorf("%d are still taken", n)
	}
}
