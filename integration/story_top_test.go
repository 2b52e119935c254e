package integration

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/membership"
	"golang.org/x/sys/unix"
)

// onTerminal is a program on a terminal, of which only the last picture counts.
type onTerminal struct {
	t      *testing.T
	master *os.File
	cmd    *exec.Cmd
	read   chan struct{} // closed once nobody writes any more

	mu  sync.Mutex
	all string
}

// startOnTerminal starts a program on a terminal of so many columns and rows.
func startOnTerminal(t *testing.T, where *testnet.Namespace, columns, rows uint16, cmd *exec.Cmd) *onTerminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	needs(t, "pseudo-terminals", err)
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	ok(t, err)
	ok(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	needs(t, "pseudo-terminals", err)
	o := &onTerminal{t: t, master: master, cmd: cmd, read: make(chan struct{})}
	o.resize(columns, rows)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	cmd.Env = append(os.Environ(), "TERM=xterm")
	ok(t, where.Start(cmd))
	ok(t, slave.Close())
	go func() {
		defer close(o.read)
		buffer := make([]byte, 1<<16)
		for {
			n, err := master.Read(buffer)
			o.mu.Lock()
			o.all += string(buffer[:n])
			o.mu.Unlock()
			if err != nil {
				return // EIO: the other end is closed
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		<-o.read
		_ = master.Close()
	})
	return o
}

func (o *onTerminal) resize(columns, rows uint16) {
	o.t.Helper()
	ok(o.t, unix.IoctlSetWinsize(int(o.master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns}))
}

func (o *onTerminal) press(keys string) {
	o.t.Helper()
	_, err := o.master.WriteString(keys)
	ok(o.t, err)
}

func (o *onTerminal) output() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all
}

// picture is the last that was drawn whole.
func (o *onTerminal) picture() string {
	pictures := strings.Split(o.output(), "\x1b[H")
	for i := len(pictures) - 1; i > 0; i-- {
		if whole, _, found := strings.Cut(pictures[i], "\x1b[J"); found {
			return whole
		}
	}
	return ""
}

// until waits for a picture.
func (o *onTerminal) until(what string, shown func(picture string) bool) {
	o.t.Helper()
	eventually(o.t, func() error {
		if p := o.picture(); !shown(p) {
			return fmt.Errorf("%s is not shown:\n%s", what, p)
		}
		return nil
	})
}

func (o *onTerminal) shows(words ...string) {
	o.t.Helper()
	o.until(strings.Join(words, ", "), func(p string) bool {
		for _, w := range words {
			if !strings.Contains(p, w) {
				return false
			}
		}
		return true
	})
}

// What happens is seen on a terminal as it happens, also when the daemon is
// another one; and the terminal is as it was afterwards.
func storyTop(t *testing.T, program string) {
	t.Parallel()
	l := newLab(t, v4)
	dir := openDir(t)
	ok(t, os.WriteFile(filepath.Join(dir, "ssmd.yaml"), []byte("memberships:\n  - {name: feed, channels: 10.1.0.1@232.1.1.1, interface: eth0}\n  - {name: other, channels: 10.1.0.1@232.1.1.2, interface: eth7}\n"), 0o644))
	d := startDaemon(l, program, dir, nil)
	d.await(inState(membership.StateJoined))
	socket := filepath.Join(dir, "control.sock")
	o := startOnTerminal(t, l.Near, 80, 24, exec.Command(program, "top", "--socket", socket))
	o.shows("2 memberships: 1 waiting, 1 joined", "joined    feed ", "waiting   other", "q quits")
	ok(t, d.Cut("eth0"))
	o.shows("1 detached, 1 waiting", "detached  feed", "ago  detached feed on eth0")
	ok(t, d.Connect(testnet.Veth{}))
	o.shows("1 waiting, 1 joined", "ago  reattached feed on eth0")
	o.press("/oth")
	o.shows("filter: oth_", "1 shown")
	o.until("other alone", func(p string) bool { return !strings.Contains(p, "joined    feed") })
	o.press("\x1b")
	o.press("ss\x1b[B")
	o.shows("sorted by last change")
	o.resize(100, 12)
	o.until("12 lines", func(p string) bool { return strings.Count(p, "\r\n") == 11 })

	d.signal(os.Kill)
	d.ended()
	o.shows("STALE for")
	d = startDaemon(l, program, dir, nil)
	d.await(inState(membership.StateJoined))
	o.until("the new daemon", func(p string) bool { return strings.Contains(p, "1 joined") && !strings.Contains(p, "STALE") })
	o.press("q")
	if err := o.cmd.Wait(); err != nil {
		t.Error(err)
	}
	<-o.read
	if all := o.output(); !strings.HasPrefix(all, "\x1b[?1049h\x1b[?25l") || !strings.HasSuffix(all, "\x1b[?25h\x1b[?1049l") {
		t.Errorf("the terminal is not as it was: %q ... %q", all[:min(20, len(all))], all[max(0, len(all)-20):])
	}

	out, err := exec.Command(program, "top", "--socket", socket).Output()
	if err != nil || !strings.Contains(string(out), "NAME") || strings.Contains(string(out), "\x1b") {
		t.Errorf("without a terminal: %v: %q", err, out)
	}
	var exit *exec.ExitError
	if _, err = exec.Command(program, "top", "--socket", socket+"x").Output(); !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.HasPrefix(string(exit.Stderr), "ssmd: ") {
		t.Errorf("without a daemon: %v", err)
	}
}
