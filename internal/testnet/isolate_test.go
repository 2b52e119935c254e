package testnet

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// roleVariable makes the test program play one of the roles below instead of
// running tests.
const roleVariable = "SSMD_TESTNET_ROLE"

// play isolates a program once more and reports on what it finds.
func play(role string) int {
	if role == "wait" {
		signal.Ignore(unix.SIGHUP)
	}
	if err := Isolate(); err != nil {
		fmt.Println(err)
		return 1
	}
	netns, _ := netnsID()
	interfaces, _ := net.Interfaces()
	fmt.Println(netns, len(interfaces), interfaces[0].Flags&net.FlagUp != 0, os.Getenv(guard) == "", os.Getuid())
	switch role {
	case "exit":
		return 7
	case "die":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "wait":
		c := make(chan os.Signal, 1)
		signal.Notify(c, unix.SIGTERM)
		fmt.Println(os.Getpid())
		<-c
		return 9
	}
	return 0
}

func actor(t *testing.T, role string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	return cmd
}

func exitCode(err error) int {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	return 0
}

func TestIsolateNestedAndExitCode(t *testing.T) {
	t.Parallel()
	self, err := netnsID()
	ok(t, err)
	for role, code := range map[string]int{"end": 0, "exit": 7, "die": 128 + int(unix.SIGKILL)} {
		cmd := actor(t, role)
		out, err := cmd.Output()
		if got := exitCode(err); got != code {
			t.Errorf("role %q: exit code %d, want %d", role, got, code)
		}
		netns, rest, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
		if netns == self || rest != "1 true true 0" {
			t.Errorf("role %q: in %s (ours is %s) with %q", role, netns, self, rest)
		}
	}
}

func TestIsolateUnprivileged(t *testing.T) {
	t.Parallel()
	cmd := actor(t, "exit")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	// nobody may not open the program's path, but can inherit it.
	program, err := os.Open("/proc/self/exe")
	ok(t, err)
	defer program.Close()
	cmd.ExtraFiles = []*os.File{program}
	cmd.Path = "/proc/self/fd/3"
	out, err := cmd.Output()
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EINVAL) {
		t.Skip("this is unprivileged already, as every other test shows then: ", err)
	}
	if exitCode(err) != 7 || !strings.HasSuffix(string(out), "1 true true 0\n") {
		t.Errorf("as nobody: %v, %q", err, out)
	}
}

// The guard of another process means nothing.
func TestIsolateForgedGuard(t *testing.T) {
	t.Parallel()
	self, err := netnsID()
	ok(t, err)
	for _, value := range []string{"1", "1:net:[1]", fmt.Sprintf("%d:%s", os.Getpid(), self)} {
		cmd := actor(t, "exit")
		cmd.Env = append(cmd.Env, guard+"="+value)
		out, err := cmd.Output()
		if exitCode(err) != 7 || strings.HasPrefix(string(out), self+" ") {
			t.Errorf("guard %q: %v, %q", value, err, out)
		}
	}
}

// startWaiting starts a program that waits inside for SIGTERM, and returns
// its own process id, which isn't that of the command.
func startWaiting(t *testing.T) (*exec.Cmd, int) {
	t.Helper()
	cmd := actor(t, "wait")
	out, err := cmd.StdoutPipe()
	ok(t, err)
	ok(t, cmd.Start())
	var netns, rest string
	var inner int
	_, err = fmt.Fscan(out, &netns, &rest, &rest, &rest, &rest, &inner)
	ok(t, err)
	go func() { _, _ = io.Copy(io.Discard, out) }()
	return cmd, inner
}

func TestIsolateForwardsSignals(t *testing.T) {
	t.Parallel()
	cmd, _ := startWaiting(t)
	ok(t, cmd.Process.Signal(unix.SIGTERM))
	if code := exitCode(cmd.Wait()); code != 9 {
		t.Errorf("exit code %d, want 9", code)
	}
}

func TestIsolateDiesWithItsParent(t *testing.T) {
	t.Parallel()
	cmd, inner := startWaiting(t)
	pidfd, err := unix.PidfdOpen(inner, 0)
	ok(t, err)
	defer unix.Close(pidfd)
	ok(t, cmd.Process.Kill())
	_ = cmd.Wait()
	fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds, 20_000)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if n != 1 || err != nil {
			t.Errorf("the isolated program outlived its parent: %d, %v", n, err)
		}
		return
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	err := explain(fmt.Errorf("fork/exec /proc/self/exe: %w", unix.EPERM))
	if !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "run as root, or allow it with: ") {
		t.Error(err)
	}
	if err := explain(unix.ENOENT); err != unix.ENOENT {
		t.Error(err)
	}
}

func TestProgramIsIsolated(t *testing.T) {
	t.Parallel()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	ok(t, err)
	if bytes.Contains(mounts, []byte(" shared:")) {
		t.Error("a mount is shared with the host")
	}
}
