package control

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// maxPID is longer than any process ID with its newline.
const maxPID = 24

// lock is a locked file with the owner's process ID in it.
type lock struct {
	file *os.File
}

// acquire locks the file at path. Whoever releases a lock removes its file, so
// that one that was waited for may be gone from the path when it is got: then
// it is tried again.
func acquire(path string) (*lock, error) {
	const attempts = 100
	for range attempts {
		file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600)
		if errors.Is(err, syscall.EISDIR) || errors.Is(err, syscall.ELOOP) {
			return nil, noLock(path)
		}
		if err != nil {
			return nil, err
		}
		l := &lock{file: file}
		current, err := l.take()
		if err == nil && current {
			return l, nil
		}
		_ = file.Close() // nothing was written
		if err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("lock %s: replaced again and again", path)
}

// take locks the file and writes the process ID to it. It reports false where
// the file is no longer the one at its path.
func (l *lock) take() (current bool, err error) {
	err = syscall.Flock(int(l.file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, l.inUse()
	}
	if err != nil {
		return false, fmt.Errorf("lock %s: %w", l.file.Name(), err)
	}
	if !l.current() {
		return false, nil
	}
	if _, err := l.owner(); err != nil {
		return false, err
	}
	if err := l.file.Truncate(0); err != nil {
		return false, err
	}
	_, err = l.file.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
	return true, err
}

// current reports whether the file is still the one at its path.
func (l *lock) current() bool {
	ours, err := l.file.Stat()
	if err != nil {
		return false
	}
	there, err := os.Lstat(l.file.Name())
	return err == nil && os.SameFile(ours, there)
}

// owner returns the process ID in the file, 0 for none yet. A file with
// anything else in it is not a lock of ours.
func (l *lock) owner() (int, error) {
	content, err := io.ReadAll(io.NewSectionReader(l.file, 0, maxPID))
	if errors.Is(err, syscall.ESPIPE) {
		return 0, noLock(l.file.Name())
	}
	if err != nil {
		return 0, err
	}
	if len(content) == 0 {
		return 0, nil
	}
	pid, err := strconv.Atoi(strings.TrimSuffix(string(content), "\n"))
	if err != nil || pid <= 0 {
		return 0, noLock(l.file.Name())
	}
	return pid, nil
}

func noLock(path string) error {
	return fmt.Errorf("%s is there already, and is no lock of ssmd: %w", path, errNotOurs)
}

func (l *lock) inUse() error {
	pid, err := l.owner()
	if err != nil || pid == 0 {
		return fmt.Errorf("%w by another ssmd", ErrInUse)
	}
	return fmt.Errorf("%w by another ssmd, process %d", ErrInUse, pid)
}

// release removes the file and gives the lock back.
func (l *lock) release() {
	if l.current() {
		_ = os.Remove(l.file.Name()) // a file left over is no obstacle
	}
	_ = l.file.Close()
}
