package integration

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ssmd-project/ssmd/membership"
	"golang.org/x/sys/unix"
)

// open counts the daemon's descriptors.
func (d *daemon) open() int {
	d.t.Helper()
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", d.cmd.Process.Pid))
	ok(d.t, err)
	return len(all)
}

// Again and again somebody wants to take over who cannot: that costs the daemon
// nothing, and it ends as ever.
func storyTakeoverRefusedOften(t *testing.T, program string) {
	t.Parallel()
	l := newLab(t, v4)
	dir := l.daemonDir()
	d := startDaemon(l, program, dir, nil)
	d.await(inState(membership.StateJoined))
	var taken net.Listener
	ok(t, l.Near.Do(func() (err error) {
		taken, err = net.Listen("tcp", "127.0.0.1:0")
		return err
	}))
	defer taken.Close()
	refused := func() {
		next := successor(l, program, dir, "--http-listen", taken.Addr().String())
		if code := next.ended(); code != 1 || !strings.Contains(next.stderr.String(), "nothing was taken over: http.listen ") {
			t.Errorf("exit code %d", code)
		}
	}
	refused()
	before := d.open()
	for range 20 {
		refused()
	}
	eventually(t, func() error {
		if now := d.open(); now > before {
			return fmt.Errorf("%d descriptors, before it was %d", now, before)
		}
		return nil
	})
	d.signal(unix.SIGTERM)
	if code := d.ended(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	l.wantUsers(0)
}

// Whoever may not give the control socket to its group is refused, as at any start,
// before the other one has let go.
func storyTakeoverRefusedGroup(t *testing.T, program string) {
	t.Parallel()
	const nobody = 65534
	l := newLab(t, v4)
	dir := l.daemonDir()
	own(t, dir, nobody)
	as := &syscall.Credential{Uid: nobody, Gid: nobody}
	d := startDaemon(l, program, dir, as)
	d.await(inState(membership.StateJoined))
	args := append(runArgs(dir), "--takeover", "--control-group", "0", "--control-mode", "0600")
	next := startAs(l, dir, exec.Command(program, args...), as)
	if code := next.ended(); code != 1 || !strings.Contains(next.stderr.String(), "nothing was taken over: ") {
		t.Errorf("exit code %d: %s", code, next.stderr)
	}
	d.await(inState(membership.StateJoined))
	info, err := os.Stat(filepath.Join(dir, "control.sock"))
	ok(t, err)
	if mode := info.Mode().Perm(); mode != 0o660 {
		t.Errorf("the socket has the mode %o", mode)
	}
}

// The daemon that is to be taken over is told to end, at any moment: whoever comes
// after it runs, with its groups or with its own, and with its state.
func storyTakeoverTerminated(t *testing.T, program string) {
	t.Parallel()
	l := newLab(t, v4)
	dir := l.daemonDir()
	d := startDaemon(l, program, dir, nil)
	for range 10 {
		d.await(inState(membership.StateJoined))
		next := successor(l, program, dir)
		select {
		case <-time.After(rand.N(80 * time.Millisecond)):
		case <-d.done:
		}
		_ = d.cmd.Process.Signal(unix.SIGTERM) // it may have ended
		if code := d.ended(); code != 0 || strings.Contains(d.stderr.String(), "cannot keep state") {
			t.Errorf("exit code %d, %s", code, d.stderr)
		}
		next.holds()
		d = next
	}
	d.signal(unix.SIGTERM)
	if code := d.ended(); code != 0 || strings.Contains(d.stderr.String(), "cannot keep state") {
		t.Errorf("exit code %d", code)
	}
	l.wantUsers(0)
}
