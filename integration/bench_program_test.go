package integration

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/internal/testnet"
)

// program is a process that a benchmark started. The kernel kills it when this
// process ends, however that comes about.
type program struct {
	b     *testing.B
	cmd   *exec.Cmd
	said  string // the file of its standard error
	ended chan struct{}
	end   func() // kills it, and waits for that
}

// launches is a thread that never ends, as the kernel takes the end of the
// thread that started a process for that of its parent.
var launches = sync.OnceValue(func() chan<- func() {
	c := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range c {
			f()
		}
	}()
	return c
})

// launch starts a command in a namespace.
func launch(b *testing.B, n *testnet.Namespace, cmd *exec.Cmd) *program {
	b.Helper()
	said, err := os.Create(filepath.Join(newBenchDir(b), "stderr"))
	ok(b, err)
	defer said.Close()
	p := &program{b: b, cmd: cmd, said: said.Name(), ended: make(chan struct{})}
	cmd.Stderr = said
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	started := make(chan error)
	launches() <- func() { started <- n.Start(cmd) }
	if err := <-started; err != nil {
		b.Fatalf("start %s: %v", cmd.Path, err)
	}
	go func() {
		defer close(p.ended)
		_ = cmd.Wait()
	}()
	p.end = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		<-p.ended
	})
	b.Cleanup(p.end)
	return p
}

func (p *program) signal(s os.Signal) {
	p.b.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.fail("signal it", err)
	}
}

// fail ends the benchmark, with what the program had to say.
func (p *program) fail(what string, err error) {
	p.b.Helper()
	p.end()
	said, _ := os.ReadFile(p.said)
	const most = 2000 // bytes
	p.b.Fatalf("%s: %s: %v; %v, and its last words were:\n%s", strings.Join(p.cmd.Args, " "), what, err, p.cmd.ProcessState, said[max(0, len(said)-most):])
}

// longest is more than any step of a benchmark takes.
const longest = time.Minute

// exited waits for the program's own end.
func (p *program) exited() {
	p.b.Helper()
	select {
	case <-p.ended:
	case <-time.After(longest):
		p.fail("wait for its end", os.ErrDeadlineExceeded)
	}
	if !p.cmd.ProcessState.Success() {
		p.fail("wait for its end", errors.New("it ended badly"))
	}
}

// cpu is what the process has used of all processors so far, in all its
// threads, to the nanosecond: clock_getcpuclockid(3).
func (p *program) cpu() time.Duration {
	p.b.Helper()
	const scheduler = 2
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^p.cmd.Process.Pid<<3|scheduler), &t); err != nil {
		p.fail("ask for its processor time", err)
	}
	return time.Duration(t.Nano())
}

// memory is what the process has in memory, and what of it is in no file, in
// bytes.
func (p *program) memory() (resident, anonymous float64) {
	p.b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	ok(p.b, err)
	return 1024 * field(p.b, text, "VmRSS:"), 1024 * field(p.b, text, "RssAnon:")
}

// wakeups is how often the program's threads have gone to sleep so far.
func (p *program) wakeups() (total float64) {
	p.b.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", p.cmd.Process.Pid))
	ok(p.b, err)
	if len(tasks) == 0 {
		p.fail("count its wake-ups", os.ErrProcessDone)
	}
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		ok(p.b, err)
		total += field(p.b, text, "voluntary_ctxt_switches:")
	}
	return total
}

// field reads a number after a word at a line's beginning.
func field(b *testing.B, text []byte, word string) float64 {
	b.Helper()
	for line := range strings.Lines(string(text)) {
		if value, found := strings.CutPrefix(line, word); found {
			n, err := strconv.ParseFloat(strings.Fields(value)[0], 64)
			ok(b, err)
			return n
		}
	}
	b.Fatalf("no %s in:\n%s", word, text)
	return 0
}

// benchDir is a directory for all that the benchmarks build and write, which
// ends with this process. Nobody else changes anything there or above it, which
// would wake the daemons: they watch for their files.
var benchDir = sync.OnceValues(func() (string, error) {
	const dir = "/mnt" // as this process and its children see it
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
		return "", fmt.Errorf("mount %s: %w", dir, err)
	}
	return dir, nil
})

// buildOnce makes something once for all benchmarks, by a command that is told
// where to.
func buildOnce(name string, command func(path string) *exec.Cmd) func() (string, error) {
	return sync.OnceValues(func() (string, error) {
		dir, err := benchDir()
		if err != nil {
			return "", err
		}
		path := filepath.Join(dir, name)
		if out, err := command(path).CombinedOutput(); err != nil {
			return "", fmt.Errorf("build %s: %w\n%s", name, err, out)
		}
		return path, nil
	})
}

// newBenchDir makes a directory for one daemon.
func newBenchDir(b *testing.B) string {
	b.Helper()
	all, err := benchDir()
	ok(b, err)
	dir, err := os.MkdirTemp(all, "")
	ok(b, err)
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
