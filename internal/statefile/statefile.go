// Package statefile keeps one value in a file of a directory, so that whatever
// happens at whatever instant the file holds the old value or the new one,
// whole. What it did not write itself it never overwrites.
package statefile

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"
)

const (
	fileName = "state.json"
	lockName = "lock"
	format   = "ssmd state"
	version  = 1
	maxSize  = 256 << 20
)

// ErrInUse is wrapped where another process has the directory.
var ErrInUse = errors.New("in use by another process")

var errNoFile = errors.New("no regular file")

// Store is a directory with its file, locked for this process.
type Store struct {
	dir   string
	lock  *os.File
	own   fs.FileInfo // the file as it was loaded or saved last, nil before
	saved string      // checksum of what is in it, empty before
}

// document is the content of the file.
type document struct {
	Format  string          `json:"format"`
	Version int             `json:"version"`
	SHA256  string          `json:"sha256"` // of the state, as it stands in the file
	State   json.RawMessage `json:"state"`
}

// SetAsideError tells that what stood in the place of the file was no state of
// ours, and under which name it stands now.
type SetAsideError struct {
	Path, Aside string
	Err         error
}

func (e *SetAsideError) Error() string {
	return fmt.Sprintf("%s: %v; it was set aside as %s", e.Path, e.Err, e.Aside)
}

func (e *SetAsideError) Unwrap() error { return e.Err }

// Open locks a directory, which it makes where it is missing. It removes what
// a process that was killed left half written.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDONLY|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, err
	}
	if info, err := lock.Stat(); err != nil || !info.Mode().IsRegular() {
		_ = lock.Close()
		return nil, fmt.Errorf("lock %s: %w", lock.Name(), cmp.Or(err, errNoFile))
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = lock.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrInUse
		}
		return nil, fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	s := &Store{dir: dir, lock: lock}
	s.removeHalfWritten()
	return s, nil
}

// removeHalfWritten removes the temporary files: they are named after the file.
func (s *Store) removeHalfWritten() {
	left, _ := filepath.Glob(filepath.Join(s.dir, "."+fileName+"*")) // fails only for a bad pattern
	for _, path := range left {
		_ = os.Remove(path) // in nobody's way
	}
}

// Close gives the directory free, also where a child process that is about to
// begin has the descriptor yet.
func (s *Store) Close() error {
	return errors.Join(unix.Flock(int(s.lock.Fd()), unix.LOCK_UN), s.lock.Close())
}

// Path returns the path of the file.
func (s *Store) Path() string { return filepath.Join(s.dir, fileName) }

// Load reads the value, and reports whether there is one. What is damaged, not
// ours, or of a version that this program does not know, is set aside: the
// error is a SetAsideError then. Where it could not be set aside, nothing can
// be saved either.
func (s *Store) Load(into any) (found bool, err error) {
	info, err := os.Lstat(s.Path())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	state, err := s.read(info)
	if err == nil {
		err = json.Unmarshal(state, into)
	}
	if err != nil {
		return false, s.setAside(err)
	}
	s.own, s.saved = info, sum(state)
	return true, nil
}

// read returns the state in the file, checked but for what it means.
func (s *Store) read(info fs.FileInfo) (json.RawMessage, error) {
	if !info.Mode().IsRegular() {
		return nil, errNoFile
	}
	f, err := os.OpenFile(s.Path(), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	switch {
	case err != nil:
		return nil, err
	case len(data) > maxSize:
		return nil, fmt.Errorf("more than %d MiB", maxSize>>20)
	}
	var d document
	if err := json.Unmarshal(data, &d); err != nil {
		return nil, fmt.Errorf("damaged: %w", err)
	}
	switch {
	case d.Format != format:
		return nil, fmt.Errorf("not written by ssmd: format %q, want %q", d.Format, format)
	case d.Version != version:
		return nil, fmt.Errorf("written by another version of ssmd: version %d, want %d", d.Version, version)
	case d.SHA256 != sum(d.State):
		return nil, errors.New("damaged: the checksum is not that of the state")
	}
	return d.State, nil
}

func sum(state []byte) string {
	s := sha256.Sum256(state)
	return hex.EncodeToString(s[:])
}

// setAside renames whatever has the file's name to a name that nothing has.
func (s *Store) setAside(why error) error {
	for n := 0; ; n++ {
		aside := fmt.Sprintf("%s.aside-%s", s.Path(), time.Now().UTC().Format("20060102T150405"))
		if n > 0 {
			aside += fmt.Sprintf("-%d", n)
		}
		err := unix.Renameat2(unix.AT_FDCWD, s.Path(), unix.AT_FDCWD, aside, unix.RENAME_NOREPLACE)
		switch {
		case err == nil:
			return &SetAsideError{Path: s.Path(), Aside: aside, Err: why}
		case !errors.Is(err, unix.EEXIST):
			return fmt.Errorf("%s: %w; it could not be set aside: %w", s.Path(), why, err)
		}
	}
}

// Save writes the value where it differs from what is in the file. An error
// leaves the old one, whole; but a SetAsideError only says that somebody else's
// file was in the place: the value is saved. A value that is a JSONWriter is
// never in memory as a whole.
func (s *Store) Save(value any) error {
	strange, err := s.strange()
	if err != nil {
		return err
	}
	if !strange && s.saved != "" {
		if sum, err := checksum(value); err != nil || sum == s.saved {
			return err
		}
	}
	next, sum, err := s.prepare(value)
	if err != nil {
		return err
	}
	defer next.Cleanup() // nothing where it has replaced the file
	var aside *SetAsideError
	if strange {
		if err := s.setAside(errors.New("somebody else put it there")); !errors.As(err, &aside) {
			return err
		}
	}
	err = s.replace(next, sum)
	switch {
	case aside == nil:
		return err
	case err != nil:
		return fmt.Errorf("%w; before, %v", err, aside) // not wrapped: nothing is saved
	}
	return aside
}

// strange reports whether there is a file that we neither loaded nor saved, and
// forgets our own where it is gone.
func (s *Store) strange() (bool, error) {
	info, err := os.Lstat(s.Path())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.own, s.saved = nil, ""
		return false, nil
	case err != nil:
		return false, err
	}
	return s.own == nil || !os.SameFile(info, s.own) || !info.ModTime().Equal(s.own.ModTime()), nil
}

// replace replaces the file by a rename, with its content on the disk before and
// its name after.
func (s *Store) replace(next *renameio.PendingFile, sum string) error {
	if err := next.CloseAtomicallyReplace(); err != nil {
		return err
	}
	var err error
	if s.own, err = os.Lstat(s.Path()); err != nil {
		return err
	}
	s.saved = sum
	dir, err := os.Open(s.dir)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
