package integration

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ssmd-project/ssmd/control"
	"github.com/ssmd-project/ssmd/membership"
	"golang.org/x/sys/unix"
)

// wantTold waits for a message that begins so, behind the first from, and
// returns its place.
func (s *service) wantTold(from int, begins string) int {
	s.t.Helper()
	at := 0
	eventually(s.t, func() error {
		all := s.manager.Messages()
		for at = from; at < len(all); at++ {
			if strings.HasPrefix(all[at], begins) {
				return nil
			}
		}
		return fmt.Errorf("no message %q among %q", begins, all[from:])
	})
	return at
}

// What the service manager hears: ready with the first joins, how things stand,
// reloads, that the manager is alive, and the end.
func storyService(t *testing.T, program string) {
	t.Parallel()
	s := newService(t, v4, program)
	s.env = []string{"WATCHDOG_USEC=200000"}
	d := s.start()
	at := s.wantTold(0, "READY=1\nSTATUS=1 of 1 membership joined, 1 channel")
	at = s.wantTold(at, "WATCHDOG=1")
	at = s.wantTold(at+1, "WATCHDOG=1")
	ok(t, s.Cut("eth0"))
	at = s.wantTold(at, "STATUS=0 of 1 membership joined, 0 channels")

	d.signal(unix.SIGHUP)
	at = s.wantTold(at, "RELOADING=1\nMONOTONIC_USEC=")
	at = s.wantTold(at, "READY=1\nSTATUS=0 of 1 membership joined, 0 channels")
	file := filepath.Join(s.dir, "ssmd.yaml")
	good, err := os.ReadFile(file)
	ok(t, err)
	write(t, file, "membershps: []\n")
	at = s.wantTold(at, "RELOADING=1")
	at = s.wantTold(at, "READY=1\nSTATUS=0 of 1 membership joined, 0 channels; not reloaded: "+file+":1:1: membershps: unknown key")
	write(t, file, string(good))
	at = s.wantTold(at, "RELOADING=1")
	at = s.wantTold(at, "READY=1\nSTATUS=0 of 1 membership joined, 0 channels")

	s.stop(d)
	s.wantTold(at, "STOPPING=1")
}

// The service manager listens on the control socket: clients that come while no
// daemon runs wait for the next.
func storyActivated(t *testing.T, program string) {
	t.Parallel()
	s := newService(t, v4, program)
	path := filepath.Join(s.dir, "control.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	ok(t, err)
	defer l.Close()
	ok(t, s.manager.Listen(l))
	d := s.joinedFirst()
	d.await(inState(membership.StateJoined))
	s.stop(d)
	answered := make(chan error, 1)
	go func() {
		_, err := control.NewClient(path).Daemon(s.ctx)
		answered <- err
	}()
	d = s.start()
	ok(t, <-answered)
	s.stop(d)
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the service manager's socket: %v", err)
	}
}

// While somebody takes his time to take over, the manager stands still, and the
// service manager has no reason to kill the daemon.
func storyWatchdogAtTakeover(t *testing.T, program string) {
	t.Parallel()
	s := newService(t, v4, program)
	s.env = []string{"WATCHDOG_USEC=200000"}
	d := s.start()
	d.await(inState(membership.StateJoined))
	successor, err := d.client.TakeOver(s.ctx)
	ok(t, err)
	_, err = successor.Read(make([]byte, 1)) // it has begun
	ok(t, err)
	at, begun := len(s.manager.Messages()), time.Now()
	for range 5 {
		at = s.wantTold(at, "WATCHDOG=1") + 1
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("told only once it did not stand still any more, after %v", took)
	}
	ok(t, successor.Close())
	d.await(inState(membership.StateJoined))
	s.stop(d)
}
