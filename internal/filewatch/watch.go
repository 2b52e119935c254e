package filewatch

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// The events (inotify(7)) of a directory, and of one in which files are read.
const (
	changes = unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF
	content = unix.IN_MODIFY | unix.IN_CLOSE_WRITE | unix.IN_ATTRIB
)

// Watcher waits for one change of what the names of a set lead to, from Open
// on. It is used by one goroutine at a time.
type Watcher struct {
	file  *os.File
	plan  plan
	dirs  map[int32]string // by watch descriptor
	close func()
	blind error
}

// Open begins to watch. It fails where the system has no watch left to give;
// what else cannot be watched Blind tells. The caller closes the watcher.
func Open(s Set) (*Watcher, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("watch files: %w", err)
	}
	w := &Watcher{file: os.NewFile(uintptr(fd), "inotify"), dirs: make(map[int32]string)}
	w.close = sync.OnceFunc(func() { _ = w.file.Close() }) // nothing was written
	// What changed while it was looked at, and before it was watched, is
	// looked at again.
	for range mostLinks {
		next, err := newPlan(s)
		if err != nil {
			w.Close()
			return nil, fmt.Errorf("watch files: %w", err)
		}
		if w.plan != nil && next.equal(w.plan) {
			return w, nil
		}
		w.plan = next
		if err := w.add(fd); err != nil {
			w.Close()
			return nil, err
		}
	}
	return w, nil // whatever changes so fast wakes it
}

// add watches the directories of the plan. That one is not there is no error:
// the one above is watched. Neither is one above that cannot be watched.
func (w *Watcher) add(fd int) error {
	w.blind = nil
	for dir, i := range w.plan {
		mask := uint32(changes | unix.IN_ONLYDIR | unix.IN_EXCL_UNLINK)
		if i.content {
			mask |= content
		}
		wd, err := unix.InotifyAddWatch(fd, dir, mask)
		switch {
		case err == nil:
			w.dirs[int32(wd)] = dir
		case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.ENOMEM):
			return fmt.Errorf("watch %s: %w: see fs.inotify.max_user_watches", dir, err)
		case i.content && !isNothing(err):
			w.blind = errors.Join(w.blind, fmt.Errorf("watch %s: %w", dir, err))
		}
	}
	return nil
}

// Blind returns the errors of directories of files that cannot be watched, nil
// where there are none.
func (w *Watcher) Blind() error { return w.blind }

// Close ends the watcher. It may be called again.
func (w *Watcher) Close() { w.close() }

// Wait blocks until something changed and the change is over: nothing more
// happens, and no file is being written. It returns ctx's error where that ends
// first; the watcher is closed then.
func (w *Watcher) Wait(ctx context.Context) error {
	defer context.AfterFunc(ctx, w.Close)()
	var q quiet
	buffer := make([]byte, 64<<10)
	for {
		if err := w.file.SetReadDeadline(q.over()); err != nil {
			return w.failed(ctx, err)
		}
		n, err := w.file.Read(buffer)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return ctx.Err()
		case err != nil:
			return w.failed(ctx, err)
		}
		w.note(buffer[:n], &q, time.Now())
	}
}

func (w *Watcher) failed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("watch files: %w", err)
}

// note reads events: struct inotify_event of inotify(7), one behind the other.
func (w *Watcher) note(events []byte, q *quiet, now time.Time) {
	for len(events) >= unix.SizeofInotifyEvent {
		wd := int32(binary.NativeEndian.Uint32(events))
		mask := binary.NativeEndian.Uint32(events[4:])
		end := min(unix.SizeofInotifyEvent+int(binary.NativeEndian.Uint32(events[12:])), len(events))
		name, _, _ := bytes.Cut(events[unix.SizeofInotifyEvent:end], []byte{0})
		events = events[end:]
		dir, known := w.dirs[wd]
		switch {
		case mask&unix.IN_Q_OVERFLOW != 0:
			q.happens(now)
		case !known:
		case len(name) == 0:
			if mask&(unix.IN_DELETE_SELF|unix.IN_MOVE_SELF|unix.IN_UNMOUNT) != 0 {
				q.happens(now)
			}
		case w.plan[dir] != nil && w.plan[dir].in(string(name)):
			noteFile(filepath.Join(dir, string(name)), mask, q, now)
		}
	}
}

// noteFile notes what happened to a name that matters. Who makes a file is
// about to write it.
func noteFile(path string, mask uint32, q *quiet, now time.Time) {
	writes := mask&unix.IN_MODIFY != 0
	if mask&unix.IN_CREATE != 0 && mask&unix.IN_ISDIR == 0 {
		info, err := os.Lstat(path)
		writes = err == nil && info.Mode().IsRegular()
	}
	switch {
	case writes:
		q.writes(path, now)
	case mask&unix.IN_ATTRIB != 0:
		q.happens(now)
	default:
		q.settles(path, now)
	}
}
