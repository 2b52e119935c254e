package adopt

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ssmd-project/ssmd/internal/pause"
	"github.com/ssmd-project/ssmd/membership"
)

// Adopter keeps the memberships of adopted processes alive. Its methods are safe
// for concurrent use. What is adopted is followed while Run runs.
type Adopter struct {
	keeper Keeper
	log    *slog.Logger
	wake   chan struct{} // receives when there may be something to see

	mu        sync.Mutex // held over a whole look
	waits     bool       // for Restore
	ended     bool       // Run has
	adoptions map[string]*adoption
	last      int // ID
	watchers  sync.WaitGroup

	names   atomic.Pointer[map[string]bool] // of the memberships, after the last look
	kept    atomic.Pointer[[]Kept]          // likewise
	changed chan struct{}                   // receives when kept did

	begun chan struct{} // closed with the first adoption
	begin func()
}

// Begun returns a channel that is closed with the first adoption: before it Hint
// has nothing to say.
func (a *Adopter) Begun() <-chan struct{} { return a.begun }

// Concerns reports whether a membership is one of an adopted process. It does not
// wait.
func (a *Adopter) Concerns(name string) bool {
	names := a.names.Load()
	return names != nil && (*names)[name]
}

// New returns an Adopter. It starts nothing. What an earlier one kept is for
// Restore.
func New(k Keeper, log *slog.Logger, earlier []Kept) *Adopter {
	a := &Adopter{
		keeper: k, log: log, wake: make(chan struct{}, 1), changed: make(chan struct{}, 1), begun: make(chan struct{}),
		adoptions: make(map[string]*adoption), waits: len(earlier) > 0,
	}
	a.begin = sync.OnceFunc(func() { close(a.begun) })
	a.kept.Store(&earlier)
	return a
}

// Hint says that something may have changed. It does not wait.
func (a *Adopter) Hint() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// Run follows what is adopted until ctx is cancelled, and returns nil then. What
// processes have joined stays joined. While nothing is adopted it sleeps.
func (a *Adopter) Run(ctx context.Context) error {
	defer a.letGo()
	timer := time.NewTimer(leastPause)
	timer.Stop()
	defer timer.Stop()
	var took time.Duration
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.wake:
			if !pause.For(ctx, max(hintPause, hintShare*took)) { // others come with it
				return nil
			}
		case <-timer.C:
		}
		began := time.Now()
		some := a.lookAtAll(ctx)
		took = time.Since(began)
		if timer.Stop(); some {
			timer.Reset(max(leastPause, lookShare*took))
		}
	}
}

// letGo lets go of every process.
func (a *Adopter) letGo() {
	a.mu.Lock()
	a.ended = true
	for id, one := range a.adoptions {
		a.log.Warn("nobody looks after what was adopted any more: what is joined stays joined", "adoption", id, "selection", one.String())
		for _, f := range one.followed {
			f.process.Close()
		}
	}
	clear(a.adoptions)
	a.mu.Unlock()
	a.watchers.Wait()
}

// lookAtAll reports whether anything is adopted yet.
func (a *Adopter) lookAtAll(ctx context.Context) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	defer a.note()
	for _, id := range a.ids() {
		one := a.adoptions[id]
		if err := one.look(ctx); one.PID != 0 && errors.Is(err, ErrEnded) {
			a.log.Info("an adopted process has ended", "adoption", id, "pid", one.PID)
			a.end(ctx, one)
		}
	}
	return len(a.adoptions) > 0
}

// adds has an adoption followed. The lock is held.
func (a *Adopter) adds(one *adoption) {
	a.adoptions[one.id] = one
	a.begin()
	a.Hint() // Run may sleep
}

// ids returns those of the adoptions, oldest first. The lock is held.
func (a *Adopter) ids() []string {
	return slices.SortedFunc(maps.Keys(a.adoptions), func(x, y string) int {
		return cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(x, y))
	})
}

// Adopt begins to keep the memberships of the processes that are meant, with the
// rules of an entry of the file, in JSON, without name and channels. Where they
// name no interface, each is kept on the one of the name that it is joined on now.
// Where one process is given by its number and cannot be looked into, and where
// there are several and none can, it returns an error. No process is none: the
// next one of that unit or name is adopted. Once Run has ended the error is
// membership.ErrStopped.
func (a *Adopter) Adopt(ctx context.Context, s Selection, rules []byte) (Adoption, error) {
	if err := s.Validate(); err != nil {
		return Adoption{}, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended {
		return Adoption{}, membership.ErrStopped
	}
	if len(a.adoptions) >= mostAdoptions {
		return Adoption{}, ErrTooMany
	}
	for id, one := range a.adoptions {
		if one.Selection == s {
			return Adoption{}, fmt.Errorf("%s: adopted already, as %s: let go of that to change its rules", s, id)
		}
	}
	if s.PID == os.Getpid() {
		return Adoption{}, fmt.Errorf("%s is ssmd itself", s)
	}
	one := a.newAdoption(strconv.Itoa(a.last+1), s, rules)
	ctx = context.WithoutCancel(ctx)
	if err := one.look(ctx); err != nil {
		a.end(ctx, one)
		return Adoption{}, err
	}
	a.last++
	a.adds(one)
	a.note()
	a.log.Info("adopted", "adoption", one.id, "selection", s.String(), "memberships", len(one.names()))
	return one.status(), nil
}

func (a *Adopter) newAdoption(id string, s Selection, rules []byte) *adoption {
	return &adoption{
		Selection: s, adopter: a, id: id, rules: rules, since: time.Now(), anywhere: hasInterface(rules),
		followed: make(map[int]*follower), sockets: make(map[uint64]*adopted),
	}
}

// hasInterface reports whether rules say which interface.
func hasInterface(rules []byte) bool {
	var keys map[string]json.RawMessage
	return json.Unmarshal(rules, &keys) == nil && keys["interface"] != nil
}

// Stop lets go of an adoption, and returns how it was. What the processes have
// joined stays joined.
func (a *Adopter) Stop(ctx context.Context, id string) (Adoption, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	one := a.adoptions[id]
	if one == nil {
		return Adoption{}, fmt.Errorf("adoption %q: %w", id, ErrNotFound)
	}
	last := one.status()
	a.end(context.WithoutCancel(ctx), one)
	a.note()
	a.log.Info("adopted no more", "adoption", id)
	return last, nil
}

// end removes the memberships of an adoption, and lets go of its processes. The
// lock is held.
func (a *Adopter) end(ctx context.Context, one *adoption) {
	for _, socket := range one.sockets {
		for _, w := range socket.wishes {
			w.end(ctx)
		}
	}
	for _, f := range one.followed {
		f.process.Close()
	}
	delete(a.adoptions, one.id)
}

// Adoptions returns all, oldest first.
func (a *Adopter) Adoptions() []Adoption {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := []Adoption{}
	for _, id := range a.ids() {
		all = append(all, a.adoptions[id].status())
	}
	return all
}
