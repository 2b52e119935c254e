package doctor

import (
	"fmt"
	"os"
	"runtime"
	"strings"

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
// path, and a path by which nsenter finds it where that is not here; empty is the daemon's own, which is found by its process. Where pid is
// zero, or that process cannot be looked at, as from another PID namespace or
// by another user, it is the caller's, here: Examine says so where the
// interface is another one there.
func FindPlace(netns string, pid int, here Place) (place Place, path string, err error) {
	if netns == "" {
		return ofProcess(pid, here)
	}
	path = ifwatch.NamespacePath(netns)
	n, err := ifwatch.FindNamespace(path)
	if err != nil {
		return nil, "", fmt.Errorf("find the network namespace: %w", err)
	}
	return enter(n), path, nil
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

func ofProcess(pid int, here Place) (place Place, path string, err error) {
	if pid == 0 {
		return here, "", nil
	}
	path = fmt.Sprintf("/proc/%d/ns/net", pid)
	theirs, err := os.Readlink(path)
	if err != nil {
		return here, "", nil
	}
	var ours string
	err = here(func() (err error) {
		ours, err = os.Readlink("/proc/thread-self/ns/net")
		return err
	})
	if err == nil && ours == theirs {
		return here, "", nil
	}
	n, err := ifwatch.FindNamespace(path)
	if err != nil {
		return nil, "", fmt.Errorf("find the daemon's network namespace: %w", err)
	}
	place = enter(n)
	if err := place(func() error { return nil }); err != nil {
		return nil, "", fmt.Errorf("enter the daemon's network namespace: %w", err)
	}
	return place, path, nil
}

// enterFirst has the commands of findings enter a network namespace, but for those
// of ssmd, which say it themselves where need be, and of systemd. Of no path they
// stay as they are.
func enterFirst(path string, findings []Finding) {
	if path == "" {
		return
	}
	for _, f := range findings {
		for n, command := range f.Mend {
			if !strings.HasPrefix(command, "ssmd ") && !strings.HasPrefix(command, "systemctl ") {
				f.Mend[n] = "nsenter --net=" + quote(path) + " " + command
			}
		}
	}
}
