package main

import (
	"context"
	"errors"
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
	store   *statefile.Store // nil: nothing is kept
	log     *slog.Logger
	memory  func(context.Context) (membership.Memory, error) // the manager's
	adopted func() []adopt.Kept                              // the adopter's; it does not wait

	mu    sync.Mutex
	added map[string]string // as in the file
	told  error             // the last failure to save what the manager remembers
}

// stateTakes bounds how long a daemon that ends saves its state, after it has
// given its control socket up.
const stateTakes = 2 * time.Second

// openState opens the directory; an empty name means that nothing is kept. It
// waits for a daemon that is about to end.
func openState(ctx context.Context, dir string, log *slog.Logger) *state {
	s := &state{log: log, adopted: func() []adopt.Kept { return nil }}
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

// load reads what the daemon before left, nothing where there was none.
func (s *state) load() stored {
	if s.store == nil {
		return stored{}
	}
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
	if s.store == nil {
		return &control.InvalidError{Err: errNothingKept}
	}
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
	if _, aside := errors.AsType[*statefile.SetAsideError](err); aside {
		s.log.Warn("the state file was somebody else's", "error", err)
		err = nil
	}
	if err == nil {
		s.added = next.Added
	}
	return err
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
	if s.store == nil {
		return
	}
	retry := pause.Doubling{First: firstStateRetry, Most: lastStateRetry}
	for {
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-adopted:
		}
		for !s.save(ctx) {
			if !retry.Next(ctx) {
				return
			}
		}
		retry.Reset()
		giveBack()
		if !pause.For(ctx, statePace) {
			return
		}
	}
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
	if s.store != nil {
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
	if s.store == nil {
		return
	}
	s.save(context.Background())
	_ = s.store.Close() // only a lock
}
