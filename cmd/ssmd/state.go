package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"sync"
	"syscall"
	"time"

	"github.com/ssmd-project/ssmd/control"
	"github.com/ssmd-project/ssmd/internal/adopt"
	"github.com/ssmd-project/ssmd/internal/pause"
	"github.com/ssmd-project/ssmd/internal/statefile"
	"github.com/ssmd-project/ssmd/membership"
)

// state keeps what must survive a restart. Whatever goes wrong with it is
// told, and nothing else stops for it.
type state struct {
	dir     string // empty: nothing is kept
	log     *slog.Logger
	memory  func(context.Context) (membership.Memory, error) // the manager's
	adopted func() []adopt.Kept                              // the adopter's; it does not wait

	mu    sync.Mutex
	store *statefile.Store  // nil while the directory cannot be used
	added map[string]string // as in the file
	told  error             // the last failure to save what the manager remembers
}

// stateTakes bounds how long a daemon that ends saves its state, after it has
// given its control socket up.
const stateTakes = 2 * time.Second

// openState opens the directory; an empty name means that nothing is kept. It
// waits for a daemon that is about to end. One that cannot be used yet keep opens.
func openState(ctx context.Context, dir string, log *slog.Logger) *state {
	s := &state{dir: dir, log: log, adopted: func() []adopt.Kept { return nil }}
	if dir == "" {
		return s
	}
	store, err := statefile.Open(dir)
	for until := time.Now().Add(stateTakes); errors.Is(err, statefile.ErrInUse) && time.Now().Before(until) && pause.For(ctx, statePace); {
		store, err = statefile.Open(dir)
	}
	if err != nil {
		log.Warn("cannot keep state: a restart will not know of lost interfaces", "state_dir", dir, "error", err)
		return s
	}
	s.store = store
	return s
}

// reopen opens a directory that could not be used before, and reports whether it
// can be now. What a daemon before was told to keep stays kept.
func (s *state) reopen() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	store, err := statefile.Open(s.dir)
	if err != nil {
		return false
	}
	s.store = store
	s.read()
	s.log.Info("state is kept now", "state_dir", s.dir)
	return true
}

// load reads what the daemon before left, nothing where there was none.
func (s *state) load() stored {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.store == nil {
		return stored{}
	}
	return s.read()
}

// read is load, with the lock held.
func (s *state) read() stored {
	var last stored
	if _, err := s.store.Load(&last); err != nil {
		s.log.Warn("cannot use the state of the last run: beginning anew", "error", err)
		return stored{}
	}
	s.added = last.Added
	return last
}

// kept returns the entries of memberships that are kept, by name.
func (s *state) kept() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.added)
}

var errNothingKept = errors.New("persist: nothing can be kept: state_dir is empty, or cannot be used, as the log says")

// add keeps an entry. Once it returns nil the entry is on the disk.
func (s *state) add(name, entry string) error {
	return s.change(func(added map[string]string) { added[name] = entry })
}

// drop keeps an entry no more.
func (s *state) drop(name string) error {
	if _, kept := s.kept()[name]; !kept {
		return nil
	}
	return s.change(func(added map[string]string) { delete(added, name) })
}

// forget keeps none of these entries any more.
func (s *state) forget(names map[string]bool) error {
	for name := range s.kept() {
		if names[name] {
			return s.change(func(added map[string]string) {
				maps.DeleteFunc(added, func(name, _ string) bool { return names[name] })
			})
		}
	}
	return nil
}

func (s *state) change(how func(map[string]string)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.store == nil {
		return &control.InvalidError{Err: errNothingKept}
	}
	memory, err := s.memory(context.Background())
	if err != nil {
		return err
	}
	added := maps.Clone(s.added)
	if added == nil {
		added = make(map[string]string)
	}
	how(added)
	return s.write(stored{memory, added, s.adopted()})
}

// write saves, with the lock held.
func (s *state) write(next stored) error {
	err := s.store.Save(next)
	if errors.Is(err, fs.ErrNotExist) { // somebody removed the directory
		err = s.saveAnew(next)
	}
	if _, aside := errors.AsType[*statefile.SetAsideError](err); aside {
		s.log.Warn("the state file was somebody else's", "error", err)
		err = nil
	}
	if err == nil {
		s.added = next.Added
	}
	return err
}

// saveAnew makes the directory again. Without it there is no lock either.
func (s *state) saveAnew(next stored) error {
	store, err := statefile.Open(s.dir)
	if err != nil {
		return err
	}
	_ = s.store.Close() // of what is gone
	s.store = store
	return store.Save(next)
}

// The waits between two writes, and after one that failed.
const (
	statePace       = 100 * time.Millisecond
	firstStateRetry = time.Second
	lastStateRetry  = time.Minute
)

// keep saves what the manager remembers, and what is adopted, as often as one of
// them changes, until ctx ends.
func (s *state) keep(ctx context.Context, changed, adopted <-chan struct{}) {
	if s.dir == "" {
		return
	}
	retry := pause.Doubling{First: firstStateRetry, Most: lastStateRetry}
	if !s.isOpen() {
		for !s.reopen() {
			if !retry.Next(ctx) {
				return
			}
		}
		retry.Reset()
		if !s.saveAtLast(ctx, &retry) { // what changed until then
			return
		}
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-adopted:
		}
		if !s.saveAtLast(ctx, &retry) {
			return
		}
		giveBack()
		if !pause.For(ctx, statePace) {
			return
		}
	}
}

// saveAtLast saves, however often it takes, and returns false where ctx ended before.
func (s *state) saveAtLast(ctx context.Context, retry *pause.Doubling) bool {
	for !s.save(ctx) {
		if !retry.Next(ctx) {
			return false
		}
	}
	retry.Reset()
	return true
}

func (s *state) isOpen() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.store != nil
}

// save reports whether there is nothing left to save.
func (s *state) save(ctx context.Context) bool {
	memory, err := s.memory(ctx)
	if err != nil {
		return false // ctx ended
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	err = s.write(stored{memory, s.added, s.adopted()})
	if err != nil {
		s.tellOnce(err)
		return false
	}
	if s.told != nil {
		s.log.Info("state saved again")
		s.told = nil
	}
	return true
}

// saveNow saves, where anything is kept. Where that fails it is told, and tried
// again with the next change.
func (s *state) saveNow(ctx context.Context) {
	if s.isOpen() {
		s.save(ctx)
	}
}

// tellOnce tells of a failure, not of the same again: with another temporary
// file in its words.
func (s *state) tellOnce(err error) {
	cause := err
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		cause = errno
	}
	if !errors.Is(cause, s.told) {
		s.log.Warn("cannot save state: a restart would not know of changes", "error", err)
	}
	s.told = cause
}

// end saves once more, after the manager's end, and gives the directory free.
func (s *state) end() {
	if !s.isOpen() {
		return
	}
	s.save(context.Background())
	_ = s.store.Close() // only a lock
}
