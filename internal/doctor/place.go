package doctor

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// Place is the network namespace of some subjects, as a function that runs
// another one in there, on a thread of its own.
type Place func(func() error) error

// Here is the caller's own network namespace.
func Here(f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return f()
}

// FindPlace returns the network namespace that the daemon calls by a name or a
// path; empty is the daemon's own, which is found by its process. Where pid is
// zero, or that process cannot be looked at, as from another PID namespace or
// by another user, its own counts as the caller's: Examine says so where the
// interface is another one here.
func FindPlace(netns string, pid int) (Place, error) {
	if netns == "" {
		return ofProcess(pid)
	}
	n, err := ifwatch.FindNamespace(ifwatch.NamespacePath(netns))
	if err != nil {
		return nil, fmt.Errorf("find the network namespace: %w", err)
	}
	return enter(n), nil
}

func enter(n ifwatch.Namespace) Place {
	return func(f func() error) error {
		return n.Do(func() error {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			return f()
		})
	}
}

func ofProcess(pid int) (Place, error) {
	if pid == 0 {
		return Here, nil
	}
	path := fmt.Sprintf("/proc/%d/ns/net", pid)
	theirs, err := os.Readlink(path)
	if err != nil {
		return Here, nil
	}
	ours, err := os.Readlink("/proc/thread-self/ns/net")
	if err == nil && ours == theirs {
		return Here, nil
	}
	n, err := ifwatch.FindNamespace(path)
	if err != nil {
		return nil, fmt.Errorf("find the daemon's network namespace: %w", err)
	}
	place := enter(n)
	if err := place(func() error { return nil }); err != nil {
		return nil, errors.Join(fmt.Errorf("enter the daemon's network namespace: %w", err))
	}
	return place, nil
}
