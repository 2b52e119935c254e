package hooks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

var errTimeout = errors.New("it took longer than its timeout")

// searchPath is all of the daemon's environment that a command gets.
const searchPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// environment returns what a command knows of an event. What does not apply is
// there too, and empty.
func environment(j job) []string {
	e := j.event
	instance := ""
	if e.Instance > 0 {
		instance = strconv.FormatUint(uint64(e.Instance), 10)
	}
	return []string{
		searchPath,
		"SSMD_EVENT=" + j.word,
		"SSMD_TYPE=" + string(e.Type),
		"SSMD_SEQ=" + strconv.FormatUint(e.Seq, 10),
		"SSMD_TIME=" + e.Time.UTC().Format(time.RFC3339Nano),
		"SSMD_MEMBERSHIP=" + e.Membership,
		"SSMD_INTERFACE=" + e.Interface,
		"SSMD_INSTANCE=" + instance,
		"SSMD_NETNS=" + e.Netns,
		"SSMD_STATE=" + string(e.State),
		"SSMD_CAUSE=" + string(e.Cause),
		"SSMD_REASON=" + shortened(e.Reason),
	}
}

// longestReason is in bytes. The kernel takes 128 KiB of one variable
// (MAX_ARG_STRLEN, execve(2)); a reason may name thousands of patterns.
const longestReason = 32 << 10

func shortened(reason string) string {
	if len(reason) <= longestReason {
		return reason
	}
	return strings.ToValidUTF8(reason[:longestReason], "") + "..."
}

// execute runs a command until it ends, or ctx does. Then all of its process
// group is killed, also what it left in the background.
func execute(ctx context.Context, command, env []string, log *slog.Logger) error {
	if err := Check(command[0]); err != nil {
		return fmt.Errorf("check hook: %w", err)
	}
	read, write, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("run hook: %w", err)
	}
	defer read.Close()
	c := exec.Command(command[0], command[1:]...)
	c.Env, c.Dir = env, "/"
	c.Stdout, c.Stderr = write, write
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	// Go's own descriptors stay here by themselves; whoever started the daemon may
	// have left it others. From Linux 5.11 on.
	_ = unix.CloseRange(3, math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC)
	err = c.Start()
	_ = write.Close() // the command has its own
	if err != nil {
		return fmt.Errorf("run hook: %w", err)
	}
	logged := make(chan struct{})
	go func() {
		defer close(logged)
		logOutput(read, log)
	}()
	failure := waitAndKill(ctx, c)
	// What left the process group may have the pipe open for ever.
	_ = read.SetReadDeadline(time.Now().Add(time.Second))
	<-logged
	return failure
}

// waitAndKill reaps the command last, so that nobody else can have its number
// while its process group is killed.
func waitAndKill(ctx context.Context, c *exec.Cmd) error {
	pid := c.Process.Pid
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		for unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
		}
	}()
	var killed error
	select {
	case <-exited:
	case <-ctx.Done():
		killed = context.Cause(ctx)
	}
	killErr := syscall.Kill(-pid, syscall.SIGKILL) // a zombie alone is fine
	var enough <-chan time.Time
	if killed != nil {
		enough = time.After(patience)
	}
	select {
	case <-exited:
	case <-enough:
		go func() {
			<-exited
			_ = c.Wait() // nobody asks any more
		}()
		return fmt.Errorf("%w, and process %d could not be killed: %w", killed, pid, cmp.Or(killErr, errStuck))
	}
	if err := c.Wait(); killed == nil && err != nil {
		return err
	}
	return killed
}

// patience is for a command that was killed. It may have become another user's, or
// wait in the kernel for what does not come.
const patience = 2 * time.Second

var errStuck = errors.New("it is stuck in the kernel")
