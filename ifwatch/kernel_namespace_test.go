package ifwatch_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// strangerVariable makes the test program be a stranger.
const strangerVariable = "SSMD_TEST_STRANGER"

// Whoever is root in a user namespace alone may enter a network namespace of his
// own, and not go back to the one he came from. No thread that lasts stays inside.
func TestNamespaceOfAStranger(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), strangerVariable+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSPC) {
		t.Skipf("no user namespace: %v", err)
	}
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// stranger enters a namespace so often that the main thread has its turn.
func stranger() error {
	home, err := os.Readlink("/proc/self/ns/net") // of the main thread
	if err != nil {
		return err
	}
	inside, err := ownNamespace()
	if err != nil {
		return err
	}
	defer inside.Close()
	n, err := ifwatch.FindNamespace(fmt.Sprintf("/proc/self/fd/%d", inside.Fd()))
	if err != nil {
		return err
	}
	var entering errgroup.Group
	for range 100 {
		entering.Go(func() error { return n.Do(func() error { return nil }) })
	}
	if err := entering.Wait(); err != nil {
		return err
	}
	if at, err := os.Readlink("/proc/self/ns/net"); err != nil || at != home {
		return errors.Join(err, fmt.Errorf("the main thread was in %s and is in %q", home, at))
	}
	return nil
}

// ownNamespace makes a network namespace, while the main thread, on which the
// program has just begun, is kept out of it.
func ownNamespace() (inside *os.File, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var making sync.WaitGroup
	making.Go(func() {
		runtime.LockOSThread() // the thread ends with the goroutine
		if err = unix.Unshare(unix.CLONE_NEWNET); err == nil {
			inside, err = os.Open("/proc/thread-self/ns/net")
		}
	})
	making.Wait()
	return inside, err
}
