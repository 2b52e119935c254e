package main

import (
	"context"

	"github.com/ssmd-project/ssmd/config"
	"github.com/ssmd-project/ssmd/internal/filewatch"
)

// follow reloads at SIGHUP and, where the configuration can be read again,
// whenever its files change, until ctx ends.
func (r *reloader) follow(ctx context.Context) {
	if r.source.once() != nil {
		for r.next(ctx, nil) {
		}
		return
	}
	told := ""
	if r.turn.Acquire(ctx, 1) != nil {
		return
	}
	sources := r.sources
	r.turn.Release(1)
	for ctx.Err() == nil {
		set := setOf(sources)
		watcher, trouble := watch(set)
		if trouble != told && trouble != "" {
			r.log.Warn("changed files are not all noticed: SIGHUP and ssmd reload work", "error", trouble)
		}
		told = trouble
		r.noteWatched(ctx, trouble == "")
		// What changed until it was watched is taken now. Where that names
		// other files, those are watched before anything is waited for.
		if sources = r.reread(ctx); setOf(sources).Equal(set) {
			r.next(ctx, watcher)
		}
		if watcher != nil {
			watcher.Close()
		}
	}
}

func setOf(s config.Sources) filewatch.Set {
	return filewatch.Set{Files: s.Files, Patterns: s.Patterns}
}

// watch also says what it cannot watch.
func watch(set filewatch.Set) (w *filewatch.Watcher, trouble string) {
	w, err := filewatch.Open(set)
	if err == nil {
		err = w.Blind()
	}
	if err != nil {
		trouble = err.Error()
	}
	return w, trouble
}

func (r *reloader) noteWatched(ctx context.Context, watched bool) {
	if r.turn.Acquire(ctx, 1) != nil {
		return
	}
	defer r.turn.Release(1)
	s := r.LastReload()
	s.Watched = watched
	r.last.Store(&s)
}

// next waits for a change of the files, or for SIGHUP and reloads. It returns
// false where ctx ended.
func (r *reloader) next(ctx context.Context, w *filewatch.Watcher) bool {
	waiting, stop := context.WithCancel(ctx)
	defer stop()
	var changed chan error
	if w != nil {
		changed = make(chan error, 1)
		go func() { changed <- w.Wait(waiting) }()
		defer func() {
			stop()
			if changed != nil {
				<-changed
			}
		}()
	}
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-r.hangups:
			_, _ = r.reload(ctx, "SIGHUP") // it is in the log
			return true
		case <-r.looked:
			return true
		case err := <-changed:
			changed = nil
			if err == nil {
				return true
			}
			if ctx.Err() == nil {
				r.log.Warn("changed files are not noticed any more: SIGHUP and ssmd reload work", "error", err)
				r.noteWatched(ctx, false)
			}
		}
	}
	return false
}
