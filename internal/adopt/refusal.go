package adopt

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// RefusedError says what is missing to look into a process.
type RefusedError struct {
	PID  int
	Want string
	Err  error
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("process %d: %v: %s", e.PID, unwrapped(e.Err), e.Want)
}

// Unwrap returns what the kernel said.
func (e *RefusedError) Unwrap() error { return e.Err }

// unwrapped leaves the path out, which says nothing more.
func unwrapped(err error) error {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		return path.Err
	}
	return err
}

// refusal says what a refusal of the kernel is about. Other errors are as they
// were, about this process.
func (p *Process) refusal(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist) && p.ended():
		return fmt.Errorf("process %d: %w", p.PID, ErrEnded)
	case errors.Is(err, fs.ErrNotExist):
		return &RefusedError{p.PID, "/proc does not show it: mounted with hidepid, or the unit of ssmd has ProtectProc=invisible", err}
	case errors.Is(err, fs.ErrPermission):
		return &RefusedError{p.PID, missing(p.rights()), err}
	}
	return fmt.Errorf("process %d: %w", p.PID, err)
}

// rights are what decides over a ptrace access (ptrace(2), "Ptrace access mode
// checking").
type rights struct {
	capable   bool // we have CAP_SYS_PTRACE
	reads     bool // we have CAP_DAC_READ_SEARCH: /proc/PID/fd is its owner's
	sameUser  bool // the process has our user and group in all places
	owner     string
	yamaScope int // kernel.yama.ptrace_scope, 0 where there is none
}

func (p *Process) rights() rights {
	own, other := statusOf("/proc/thread-self/status"), statusOf(p.path("status"))
	capabilities, _ := strconv.ParseUint(own["CapEff"], 16, 64)
	r := rights{
		reads:    capabilities&(1<<unix.CAP_DAC_READ_SEARCH) != 0,
		capable:  capabilities&(1<<unix.CAP_SYS_PTRACE) != 0,
		sameUser: allAre(other["Uid"], os.Getuid()) && allAre(other["Gid"], os.Getgid()),
		owner:    firstWord(other["Uid"]),
	}
	if scope, err := os.ReadFile("/proc/sys/kernel/yama/ptrace_scope"); err == nil {
		r.yamaScope, _ = strconv.Atoi(string(bytes.TrimSpace(scope)))
	}
	return r
}

// statusOf reads a file as /proc/PID/status.
func statusOf(path string) map[string]string {
	text, _ := os.ReadFile(path) // without it nothing is known
	values := make(map[string]string)
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok {
			values[key] = strings.TrimSpace(value)
		}
	}
	return values
}

func allAre(numbers string, want int) bool {
	for _, number := range strings.Fields(numbers) {
		if number != strconv.Itoa(want) {
			return false
		}
	}
	return numbers != ""
}

func firstWord(words string) string {
	word, _, _ := strings.Cut(words, "\t")
	return word
}

// missing says what would be enough.
func missing(r rights) string {
	switch {
	case r.yamaScope >= 3:
		return "kernel.yama.ptrace_scope is 3: nobody may, until the next boot"
	case r.capable && !r.sameUser && !r.reads:
		return fmt.Sprintf("it belongs to user %s: want CAP_DAC_READ_SEARCH too", r.owner)
	case r.capable:
		return "CAP_SYS_PTRACE is there, but not in the process's user namespace, or a security module refuses"
	case !r.sameUser && r.owner != "":
		return fmt.Sprintf("it belongs to user %s: want CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH", r.owner)
	case r.yamaScope > 0:
		return fmt.Sprintf("kernel.yama.ptrace_scope is %d: want CAP_SYS_PTRACE, or 0 there", r.yamaScope)
	}
	return "it has more capabilities, or may not be dumped, or a filter of system calls refuses pidfd_getfd: want CAP_SYS_PTRACE"
}
