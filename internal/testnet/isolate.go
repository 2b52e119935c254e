package testnet

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// guard names the environment variable by which an isolated process knows
// itself. Its value is the process that started it and the network namespace
// that process was in.
const guard = "SSMD_TESTNET_ISOLATED"

// Isolate moves the program into a network namespace of its own, so that
// nothing it does to interfaces, addresses or sysctls touches the host. Call
// it first thing in main or TestMain, before there is any state to lose.
//
// In the process that was started by hand it does not return on success: it
// executes the program again, with the same arguments, environment and
// standard streams, in a new network and mount namespace, passes SIGINT,
// SIGTERM, SIGQUIT and SIGHUP on to it, and exits with its exit code, or 128
// and the signal that killed it. (Ctrl-C in a terminal reaches both, so the
// program may see SIGINT twice.) In that second process it returns nil, with
// the loopback interface up. A program started from there that calls Isolate
// is isolated once more.
//
// Root needs no user namespace. Anyone else gets one where user and group 0
// are the caller. Where the system does not allow that, the error says which
// setting would.
func Isolate() error {
	self, err := netnsID()
	if err != nil {
		return fmt.Errorf("isolate: %w", err)
	}
	if isolatedFrom, ok := startedByUs(os.Getenv(guard)); ok && isolatedFrom != self {
		if err := settle(); err != nil {
			return fmt.Errorf("isolate: %w", explain(err))
		}
		return nil
	}
	cmd, err := startAgain(fmt.Sprintf("%s=%d:%s", guard, os.Getpid(), self))
	if err != nil {
		return fmt.Errorf("isolate: %w", explain(err))
	}
	os.Exit(attend(cmd))
	panic("unreachable")
}

// netnsID identifies the network namespace of the calling thread.
func netnsID() (string, error) { return os.Readlink("/proc/thread-self/ns/net") }

// startedByUs reads the guard's value: the namespace that we are to be
// isolated from, if our own parent set it. A grandchild that inherited the
// variable has another parent.
func startedByUs(value string) (netns string, ok bool) {
	parent, netns, ok := strings.Cut(value, ":")
	return netns, ok && parent == fmt.Sprint(os.Getppid())
}

// settle makes the new namespaces ready for use.
func settle() error {
	if err := os.Unsetenv(guard); err != nil {
		return err
	}
	if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("look up lo: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("set lo up: %w", err)
	}
	return nil
}

// startAgain starts this program in new namespaces. As root it first tries
// without a user namespace; a container's root may not be allowed that.
//
// The kernel kills the child when the *thread* that started it ends, so the
// calling goroutine stays locked to its thread for good.
func startAgain(env string) (*exec.Cmd, error) {
	runtime.LockOSThread()
	if os.Geteuid() == 0 {
		cmd := again(env)
		err := cmd.Start()
		if !errors.Is(err, unix.EPERM) {
			return cmd, err
		}
	}
	cmd := again(env)
	cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
	cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
	cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	return cmd, cmd.Start()
}

func again(env string) *exec.Cmd {
	return &exec.Cmd{
		Path:   "/proc/self/exe",
		Args:   os.Args,
		Env:    append(os.Environ(), env),
		Stdin:  os.Stdin,
		Stdout: os.Stdout,
		Stderr: os.Stderr,
		SysProcAttr: &syscall.SysProcAttr{
			Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS,
			Pdeathsig:  unix.SIGKILL,
		},
	}
}

// attend passes signals on until the child ends, and returns its exit code.
func attend(cmd *exec.Cmd) int {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGQUIT, unix.SIGHUP)
	go func() {
		for s := range signals {
			_ = cmd.Process.Signal(s) // it may be gone already
		}
	}()
	err := cmd.Wait()
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	switch {
	case ok && status.Signaled():
		return 128 + int(status.Signal())
	case ok:
		return status.ExitStatus()
	}
	fmt.Fprintln(os.Stderr, "isolate:", err)
	return 1
}

// switches are the settings that forbid unprivileged namespaces, each with
// the value that does.
var switches = []struct{ name, forbids, allow string }{
	{"kernel.unprivileged_userns_clone", "0", "1"},
	{"kernel.apparmor_restrict_unprivileged_userns", "1", "0"},
	{"user.max_user_namespaces", "0", "1024"},
	{"user.max_net_namespaces", "0", "1024"},
}

// explain adds to an error from making namespaces what would allow them.
func explain(err error) error {
	if !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EACCES) &&
		!errors.Is(err, unix.ENOSPC) && !errors.Is(err, unix.EUSERS) && !errors.Is(err, unix.EINVAL) {
		return err
	}
	var hints []string
	for _, s := range switches {
		value, _ := os.ReadFile("/proc/sys/" + strings.ReplaceAll(s.name, ".", "/"))
		if strings.TrimSpace(string(value)) == s.forbids {
			hints = append(hints, fmt.Sprintf("sysctl -w %s=%s", s.name, s.allow))
		}
	}
	if hints == nil {
		hints = []string{"a system that lets unprivileged users make user and network namespaces (containers often forbid it: try --privileged)"}
	}
	return fmt.Errorf("this system does not allow private namespaces: %w; run as root, or allow it with: %s",
		err, strings.Join(hints, ", "))
}
