package doctor

import (
	"fmt"
	"os"
	"runtime"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// Place is the network namespace of some subjects, as a function that runs
// another one in there, on a thread of its own.
type Place func(func() error) error

// ownPlace is the network namespace that the process is in.
func ownPlace(f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return f()
}

// FindPlace returns the network namespace that the daemon calls by a name or a
// path; empty is the daemon's own, which is found by its process. Where pid is
// zero, or that process cannot be looked at, as from another PID namespace or
// by another user, it is the caller's, here: Examine says so where the
// interface is another one there.
func FindPlace(netns string, pid int, here Place) (Place, error) {
	if netns == "" {
		return ofProcess(pid, here)
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

func ofProcess(pid int, here Place) (Place, error) {
	if pid == 0 {
		return here, nil
	}
	path := fmt.Sprintf("/proc/%d/ns/net", pid)
	theirs, err := os.Readlink(path)
	if err != nil {
		return here, nil
	}
	var ours string
	err = here(func() (err error) {
		ours, err = os.Readlink("/proc/thread-self/ns/net")
		return err
	})
	if err == nil && ours == theirs {
		return here, nil
	}
	n, err := ifwatch.FindNamespace(path)
	if err != nil {
		return nil, fmt.Errorf("find the daemon's network namespace: %w", err)
	}
	place := enter(n)
	if err := place(func() error { return nil }); err != nil {
		return nil, fmt.Errorf("enter the daemon's network namespace: %w", err)
	}
	return place, nil
}
