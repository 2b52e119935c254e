package integration

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/ssmd-project/ssmd/control"
	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/membership"
	"golang.org/x/sys/unix"
)

// TestDaemon tells the stories of the program itself, which it builds once.
func TestDaemon(t *testing.T) {
	if testing.Short() {
		t.Skip("-short, as for the race detector, with which the program is not built")
	}
	t.Parallel()
	program := buildProgram(t)
	stories := map[string]func(*testing.T, string){
		"activated":              storyActivated,
		"adopted by the next":    storyAdoptedByTheNextDaemon,
		"adopted few rights":     storyAdoptedWithFewRights,
		"adopted holds nothing":  storyAdoptedHoldsNothing,
		"adopted killed anytime": storyAdoptedKilledAnytime,
		"adopted rules remember": storyAdoptedRulesRemember,
		"bad file":               storyBadFile,
		"doctor":                 storyDoctor,
		"doctor descriptors":     storyDoctorDescriptors,
		"doctor elsewhere":       storyDoctorNetns,
		"doctor joins":           storyDoctorJoins,
		"doctor reannounces":     storyDoctorReannounce,
		"doctor refused":         storyDoctorRefused,
		"doctor runs":            storyDoctorRuns,
		"doctor runs elsewhere":  storyDoctorRunsElsewhere,
		"doctor monitored":       storyDoctorMonitored,
		"monitor exported":       storyMonitorExported,
		"doctor dead protocol":   storyDoctorDeadProtocol,
		"doctor settling":        storyDoctorSettling,
		"doctor unprivileged":    storyDoctorUnprivileged,
		"document":               storyDocument,
		"handed over":            storyHandedOver,
		"handoff abroad":         storyHandoffAbroad,
		"handoff activated":      storyHandoffActivated,
		"handoff apps":           storyHandoffApps,
		"handoff bound":          storyHandoffBound,
		"handoff bound address":  storyHandoffBoundToAddress,
		"handoff busy":           storyHandoffBusy,
		"handoff changed":        storyHandoffChanged,
		"handoff connected":      storyHandoffConnected,
		"handoff hostile":        storyHandoffHostile,
		"handoff owner dies":     storyHandoffOwnerDies,
		"handoff peers":          storyHandoffPeers,
		"handoff reused port":    storyHandoffReusedPort,
		"handoff daemon dies":    storyHandoffDaemonDies,
		"handoff dual stack":     storyHandoffDualStack,
		"handoff ended":          storyHandoffEnded,
		"handoff shared socket":  storyHandoffSharedSocket,
		"handoff taken over":     storyHandoffTakenOver,
		"hooks":                  storyHooks,
		"hooks of another user":  storyHooksOfAnotherUser,
		"hooks that do wrong":    storyHooksThatDoWrong,
		"hooks that hang":        storyHooksThatHang,
		"killed":                 storyKilled,
		"killed at a restart":    storyRestartKilled,
		"metrics":                storyMetrics,
		"paced":                  storyPaced,
		"page":                   storyPage,
		"page of many":           storyPageMany,
		"page between frames":    storyPageBetweenFrames,
		"page taken over":        storyPageTakenOver,
		"page with keys":         storyPageKeys,
		"page of hostile names":  storyPageHostile,
		"port in use":            storyPortInUse,
		"readme":                 storyReadme,
		"reloaded":               storyReloaded,
		"config map":             storyReloadedConfigMap,
		"many":                   storyReloadedMany,
		"restarted":              storyRestarted,
		"restarted later":        storyRestartedLater,
		"service":                storyService,
		"stopped":                storyStopped,
		"taken over":             storyTakenOver,
		"takeover killed":        storyTakeoverKilled,
		"takeover terminated":    storyTakeoverTerminated,
		"takeover refused":       storyTakeoverRefused,
		"takeover refused group": storyTakeoverRefusedGroup,
		"takeover refused often": storyTakeoverRefusedOften,
		"terminated":             storyTerminated,
		"watchdog at takeover":   storyWatchdogAtTakeover,
		"top":                    storyTop,
		"unprivileged":           storyUnprivileged,
	}
	for name, story := range stories {
		t.Run(name, func(t *testing.T) { story(t, program) })
	}
}

// buildProgram returns the path of the built daemon.
func buildProgram(t testing.TB) string {
	t.Helper()
	program := filepath.Join(openDir(t), "ssmd")
	build := exec.Command("go", "build", "-o", program, "github.com/ssmd-project/ssmd/cmd/ssmd")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build ssmd: %v\n%s", err, out)
	}
	return program
}

// openDir makes a temporary directory that every user can enter.
func openDir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	ok(t, os.Chmod(filepath.Dir(dir), 0o755))
	return dir
}

// daemon is a running ssmd in a lab's near side.
type daemon struct {
	*lab
	cmd    *exec.Cmd
	client *control.Client
	stderr *bytes.Buffer // to be read once done is closed
	done   chan struct{}
	err    error // of Wait, likewise
}

// daemonDir makes a directory with a file that wishes for the family's channel
// on eth0.
func (l *lab) daemonDir() string {
	l.t.Helper()
	dir := openDir(l.t)
	config := fmt.Sprintf("memberships:\n  - name: feed\n    channels: %s\n    interface: eth0\n", l.channel)
	ok(l.t, os.WriteFile(filepath.Join(dir, "ssmd.yaml"), []byte(config), 0o644))
	return dir
}

// startDaemon starts the program on the file in a directory, in which its
// control socket is made too.
func startDaemon(l *lab, program, dir string, as *syscall.Credential) *daemon {
	l.t.Helper()
	return startAs(l, dir, exec.Command(program, runArgs(dir)...), as)
}

func runArgs(dir string) []string {
	return []string{"run", "-c", filepath.Join(dir, "ssmd.yaml"), "--control-socket", filepath.Join(dir, "control.sock"), "--state-dir", filepath.Join(dir, "state")}
}

// startAs starts a command that runs the daemon of a directory.
func startAs(l *lab, dir string, cmd *exec.Cmd, as *syscall.Credential) *daemon {
	l.t.Helper()
	d := &daemon{lab: l, client: control.NewClient(filepath.Join(dir, "control.sock")), stderr: &bytes.Buffer{}, done: make(chan struct{}), cmd: cmd}
	d.cmd.Stderr = d.stderr
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	err := l.Near.Start(d.cmd)
	if as != nil && (errors.Is(err, unix.EPERM) || errors.Is(err, unix.EINVAL)) {
		needs(l.t, "second user in this user namespace", err)
	}
	ok(l.t, err)
	go func() {
		defer close(d.done)
		d.err = d.cmd.Wait()
	}()
	l.t.Cleanup(func() {
		_ = d.cmd.Process.Kill()
		<-d.done
		if l.t.Failed() && d.stderr.Len() > 0 {
			l.t.Logf("the daemon said:\n%s", d.stderr)
		}
	})
	return d
}

// await asks the daemon for the feed until it passes a check.
func (d *daemon) await(check func(membership.Status) error) membership.Status {
	d.t.Helper()
	return awaitStatus(d.t, d.ctx, check, func() (membership.Status, error) {
		select {
		case <-d.done:
			d.t.Fatalf("the daemon ended: %v", d.err)
		default:
		}
		return d.membership("feed")
	})
}

// membership is how one stands.
func (d *daemon) membership(name string) (membership.Status, error) {
	s, err := d.client.Membership(d.ctx, name)
	return s.Status, err
}

func (d *daemon) signal(s os.Signal) {
	d.t.Helper()
	ok(d.t, d.cmd.Process.Signal(s))
}

// ended waits for the daemon's end and returns its exit code.
func (d *daemon) ended() int {
	d.t.Helper()
	select {
	case <-d.done:
	case <-d.ctx.Done():
		d.t.Fatal("the daemon does not end")
	}
	return d.cmd.ProcessState.ExitCode()
}

// stop has the kernel not run the daemon any more, until cont.
func (d *daemon) stop() {
	d.t.Helper()
	d.signal(unix.SIGSTOP)
	ok(d.t, testnet.Eventually(d.ctx, func() error {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", d.cmd.Process.Pid))
		if err != nil || len(threads) == 0 {
			return fmt.Errorf("no threads: %w", err)
		}
		for _, thread := range threads {
			stat, err := os.ReadFile(thread)
			if err != nil {
				return err
			}
			if _, state, _ := strings.Cut(string(stat), ") "); state[0] != 'T' {
				return fmt.Errorf("a thread is in state %c", state[0])
			}
		}
		return nil
	}))
}

func (d *daemon) cont() {
	d.t.Helper()
	d.signal(unix.SIGCONT)
}
