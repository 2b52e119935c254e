package ifwatch

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// namespaceDir is where ip-netns(8) gives network namespaces names.
const namespaceDir = "/run/netns"

// ErrNoNamespace is wrapped where a file is no network namespace, or another
// one by now.
var ErrNoNamespace = errors.New("no such network namespace")

// NamespacePath returns the file of a network namespace that is given by its
// name, or by its path, which begins with a slash.
func NamespacePath(nameOrPath string) string {
	if strings.HasPrefix(nameOrPath, "/") {
		return filepath.Clean(nameOrPath)
	}
	return filepath.Join(namespaceDir, nameOrPath)
}

// ValidateNamespace returns an error where a network namespace cannot be given
// so.
func ValidateNamespace(nameOrPath string) error {
	const want = "want a name as ip netns shows it, or the path of a file that a namespace is mounted on"
	switch {
	case nameOrPath == "" || nameOrPath == "." || nameOrPath == "..":
		return fmt.Errorf("%q is no network namespace, %s", nameOrPath, want)
	case strings.HasPrefix(filepath.Clean(nameOrPath), "/proc/"):
		return fmt.Errorf("%q: nothing tells of the end of what is in /proc, %s", nameOrPath, want)
	case !strings.HasPrefix(nameOrPath, "/") && strings.Contains(nameOrPath, "/"):
		return fmt.Errorf("%q is no absolute path, %s", nameOrPath, want)
	case strings.ContainsRune(nameOrPath, 0):
		return fmt.Errorf("%q has a zero byte, %s", nameOrPath, want)
	}
	return nil
}

// Namespace is a network namespace as a file led to it once. It holds nothing
// open: an open file would keep the namespace, and its interfaces, alive.
type Namespace struct {
	path     string
	dev, ino uint64
}

// FindNamespace returns the network namespace that a file leads to. The error
// wraps ErrNoNamespace where it leads to none.
func FindNamespace(path string) (Namespace, error) {
	n := Namespace{path: path}
	fd, err := n.open()
	if err != nil {
		return Namespace{}, err
	}
	return n, unix.Close(fd)
}

// open opens the file, and notes what it leads to, or checks that it still
// does.
func (n *Namespace) open() (fd int, err error) {
	fd, err = unix.Open(n.path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = ErrNoNamespace
		}
		return -1, fmt.Errorf("%s: %w", n.path, err)
	}
	if err := n.check(fd); err != nil {
		_ = unix.Close(fd)
		return -1, fmt.Errorf("%s: %w", n.path, err)
	}
	return fd, nil
}

func (n *Namespace) check(fd int) error {
	var in unix.Statfs_t
	if err := unix.Fstatfs(fd, &in); err != nil {
		return err
	}
	if uint32(in.Type) != unix.NSFS_MAGIC {
		return fmt.Errorf("%w there", ErrNoNamespace)
	}
	kind, err := unix.IoctlRetInt(fd, unix.NS_GET_NSTYPE)
	if err != nil {
		return err
	}
	if kind != unix.CLONE_NEWNET {
		return fmt.Errorf("%w there: it is one of another kind", ErrNoNamespace)
	}
	var info unix.Stat_t
	if err := unix.Fstat(fd, &info); err != nil {
		return err
	}
	if n.ino != 0 && (n.dev != uint64(info.Dev) || n.ino != info.Ino) {
		return fmt.Errorf("%w any more: another one has its place", ErrNoNamespace)
	}
	n.dev, n.ino = uint64(info.Dev), info.Ino
	return nil
}

// Gone reports whether the file leads to this namespace no more.
func (n Namespace) Gone() bool {
	now, err := FindNamespace(n.path)
	return err != nil || now != n
}

// Do runs a function on a thread in the namespace. The error wraps
// ErrNoNamespace where the file leads there no more. It never runs elsewhere.
func (n Namespace) Do(f func() error) error {
	result := make(chan error, 1)
	go func() { result <- n.enter(f) }()
	return <-result
}

// enter leaves its thread locked, so that it ends with its goroutine, unless
// the thread is back where it came from: somebody who is root in a user namespace
// alone may not go back. The main thread never ends, and would keep the namespace
// alive: another one is taken.
func (n Namespace) enter(f func() error) error {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		defer runtime.UnlockOSThread() // not before: what Do starts may not run here
		return n.Do(f)
	}
	home, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(home)
	fd, err := n.open()
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	err = unix.Setns(fd, unix.CLONE_NEWNET)
	_ = unix.Close(fd) // the thread keeps it for as long as it is there
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter the network namespace %s: %w (needs CAP_SYS_ADMIN)", n.path, err)
	}
	err = f()
	if unix.Setns(home, unix.CLONE_NEWNET) == nil {
		runtime.UnlockOSThread()
	}
	return err
}
