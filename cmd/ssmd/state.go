package main

import (
	"context"
	"errors"
	"log/slog"
	"syscall"
	"time"

	"github.com/ssmd-project/ssmd/internal/statefile"
	"github.com/ssmd-project/ssmd/membership"
)

// state keeps what must survive a restart. Whatever goes wrong with it is
// told, and nothing else stops for it.
type state struct {
	store *statefile.Store // nil: nothing is kept
	log   *slog.Logger
	told  error // the last failure
}

// stored is what is in the file.
type stored struct {
	membership.Memory
}

// openState opens the directory; an empty name means that nothing is kept.
func openState(dir string, log *slog.Logger) *state {
	s := &state{log: log}
	if dir == "" {
		return s
	}
	store, err := statefile.Open(dir)
	if err != nil {
		log.Warn("cannot keep state: a restart will not know of lost interfaces", "state_dir", dir, "error", err)
		return s
	}
	s.store = store
	return s
}

// load returns what the daemon before knew, nothing where there was none.
func (s *state) load() membership.Memory {
	if s.store == nil {
		return membership.Memory{}
	}
	var last stored
	if _, err := s.store.Load(&last); err != nil {
		s.log.Warn("cannot use the state of the last run: beginning anew", "error", err)
		return membership.Memory{}
	}
	return last.Memory
}

// The waits between two writes, and after one that failed.
const (
	statePace       = 100 * time.Millisecond
	firstStateRetry = time.Second
	lastStateRetry  = time.Minute
)

// keep saves what the manager remembers, as often as it changes, until ctx
// ends.
func (s *state) keep(ctx context.Context, manager *membership.Manager) {
	if s.store == nil {
		return
	}
	retry := firstStateRetry
	for {
		select {
		case <-ctx.Done():
			return
		case <-manager.MemoryChanged():
		}
		for !s.save(ctx, manager) {
			if !pause(ctx, retry) {
				return
			}
			retry = min(2*retry, lastStateRetry)
		}
		retry = firstStateRetry
		if !pause(ctx, statePace) {
			return
		}
	}
}

// pause reports whether ctx outlasted it.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// save reports whether there is nothing left to save.
func (s *state) save(ctx context.Context, manager *membership.Manager) bool {
	memory, err := manager.Memory(ctx)
	if err != nil {
		return false // ctx ended
	}
	err = s.store.Save(stored{memory})
	if _, aside := errors.AsType[*statefile.SetAsideError](err); aside {
		s.log.Warn("the state file was somebody else's", "error", err)
		err = nil
	}
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
func (s *state) end(manager *membership.Manager) {
	if s.store == nil {
		return
	}
	s.save(context.Background(), manager)
	_ = s.store.Close() // only a lock
}
