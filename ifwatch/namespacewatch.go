package ifwatch

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// NamespaceWatch tells when files may lead to other network namespaces than
// before. A namespace gets its name by a mount and loses it by another, of
// which only the list of mounts tells; a name comes and goes as a file in a
// directory, of which only inotify tells.
type NamespaceWatch struct {
	mu   sync.Mutex
	dirs map[string]struct{}
	wake int // an eventfd; -1 while Run does not run
}

// NewNamespaceWatch returns a watch that Run starts.
func NewNamespaceWatch() *NamespaceWatch {
	return &NamespaceWatch{dirs: make(map[string]struct{}), wake: -1}
}

// Watch adds the file of a namespace. Neither it nor its directory has to be
// there.
func (w *NamespaceWatch) Watch(path string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		w.dirs[dir] = struct{}{} // the directories above tell when it comes
		if dir == filepath.Dir(dir) {
			break
		}
	}
	w.wakeUp()
}

func (w *NamespaceWatch) wakeUp() {
	if w.wake >= 0 {
		_, _ = unix.Write(w.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	}
}

// Run calls changed once it watches, and whenever something may have changed,
// until ctx is cancelled. Then it returns nil.
func (w *NamespaceWatch) Run(ctx context.Context, changed func()) error {
	// No os.File: the runtime's poller would take the news of a mount away.
	mounts, err := unix.Open("/proc/self/mountinfo", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("watch mounts: %w", err)
	}
	defer unix.Close(mounts)
	files, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return fmt.Errorf("watch files: %w", err)
	}
	defer unix.Close(files)
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return fmt.Errorf("watch files: %w", err)
	}
	w.setWake(wake)
	defer func() {
		w.setWake(-1)
		_ = unix.Close(wake)
	}()
	defer context.AfterFunc(ctx, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.wakeUp()
	})()
	on := []unix.PollFd{
		{Fd: int32(mounts), Events: unix.POLLPRI | unix.POLLERR},
		{Fd: int32(files), Events: unix.POLLIN},
		{Fd: int32(wake), Events: unix.POLLIN},
	}
	buffer := make([]byte, 1<<16)
	for ctx.Err() == nil {
		w.addDirs(files)
		changed()
		if _, err := unix.Poll(on, -1); err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("watch mounts and files: %w", err)
		}
		for _, fd := range []int{files, wake} {
			for n := 1; n > 0; {
				n, _ = unix.Read(fd, buffer) // only that there was something counts
			}
		}
	}
	return nil
}

func (w *NamespaceWatch) setWake(fd int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wake = fd
}

// addDirs watches the directories that are there. To watch one again changes
// nothing.
func (w *NamespaceWatch) addDirs(files int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for dir := range w.dirs {
		_, _ = unix.InotifyAddWatch(files, dir, unix.IN_CREATE|unix.IN_DELETE|unix.IN_MOVE|unix.IN_DELETE_SELF|unix.IN_MOVE_SELF|unix.IN_ONLYDIR)
	}
}
