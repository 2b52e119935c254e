package membershiptest

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// watcher tells one manager what a host has.
type watcher struct {
	host *Host
	told map[int]ifwatch.Interface // what the manager knows
	wake chan struct{}
}

func (w *watcher) notify() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *watcher) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

func (w *watcher) Changed() <-chan struct{}   { return w.wake }
func (w *watcher) Expire(ifwatch.ID)          { w.notify() } // no removal is ever lost
func (w *watcher) Counters() ifwatch.Counters { return ifwatch.Counters{} }

// Take merges what happened to at most a removal and an arrival at each index.
func (w *watcher) Take() ifwatch.Changes {
	w.host.mu.Lock()
	defer w.host.mu.Unlock()
	select {
	case <-w.wake: // it is for what is taken now
	default:
	}
	indexes := slices.AppendSeq(slices.Collect(maps.Keys(w.told)), maps.Keys(w.host.interfaces))
	slices.Sort(indexes)
	var changes ifwatch.Changes
	for _, index := range slices.Compact(indexes) {
		was, known := w.told[index]
		is := w.host.interfaces[index]
		c := ifwatch.Change{Index: index, Read: time.Now()}
		if known && (is == nil || is.now.ID != was.ID) {
			c.Removed = &was
			delete(w.told, index)
		}
		if is != nil && !is.now.Equal(was) {
			now := is.now
			c.Now = &now
			w.told[index] = now
		}
		if c.Removed != nil || c.Now != nil {
			changes.Changes = append(changes.Changes, c)
		}
	}
	return changes
}
