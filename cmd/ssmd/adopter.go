package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"

	"github.com/ssmd-project/ssmd/control"
	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/internal/adopt"
	"github.com/ssmd-project/ssmd/membership"
	"github.com/ssmd-project/ssmd/reattach"
)

// adopter keeps what adopted processes have in the manager, and answers the
// control API.
type adopter struct {
	*adopt.Adopter
	editor *editor
}

func newAdopter(e *editor, log *slog.Logger, earlier []adopt.Kept) *adopter {
	return &adopter{adopt.New(adoptionKeeper{e}, log, earlier), e}
}

// follow runs the adopter until ctx is cancelled. It looks at what changes at
// once: at what becomes of its memberships, and at groups that nobody is in any
// more.
func (a *adopter) follow(ctx context.Context, events nexter) error {
	var parts sync.WaitGroup
	defer parts.Wait()
	parts.Go(func() {
		select {
		case <-a.Begun(): // the kernel's notices cost whoever leaves groups
			ifwatch.WatchLosses(ifwatch.Options{}, func([]ifwatch.GroupKey) { a.Hint() })(ctx)
		case <-ctx.Done():
		}
	})
	parts.Go(func() {
		for e, err := events.Next(ctx); err == nil; e, err = events.Next(ctx) {
			if a.Concerns(e.Membership) {
				a.Hint()
			}
		}
	})
	return a.Run(ctx)
}

// Adopt implements control.Adopter. What it adopts is on the disk once it returns,
// where anything is kept.
func (a *adopter) Adopt(ctx context.Context, r control.AdoptionRequest) (control.Adoption, error) {
	selection := adopt.Selection(r.Selection)
	if err := selection.Validate(); err != nil {
		return control.Adoption{}, &control.InvalidError{Err: err}
	}
	if err := checkRules(r.Rules); err != nil {
		return control.Adoption{}, err
	}
	one, err := a.Adopter.Adopt(ctx, selection, r.Rules)
	switch {
	case err == nil:
		a.editor.state.saveNow(ctx)
	case !errors.Is(err, membership.ErrStopped):
		err = &control.NotAdoptedError{Err: err}
	}
	return toldAdoption(one), err
}

// Adoptions implements control.Adopter.
func (a *adopter) Adoptions(context.Context) ([]control.Adoption, error) {
	var all []control.Adoption
	for _, one := range a.Adopter.Adoptions() {
		all = append(all, toldAdoption(one))
	}
	return all, nil
}

// StopAdoption implements control.Adopter.
func (a *adopter) StopAdoption(ctx context.Context, id string) (control.Adoption, error) {
	one, err := a.Stop(ctx, id)
	if errors.Is(err, adopt.ErrNotFound) {
		err = fmt.Errorf("adoption %q: %w", id, control.ErrNoAdoption)
	}
	if err == nil {
		a.editor.state.saveNow(ctx)
	}
	return toldAdoption(one), err
}

func toldAdoption(one adopt.Adoption) control.Adoption {
	told := control.Adoption{
		ID: one.ID, Selection: control.Selection(one.Selection), Since: one.Since,
		Processes: []control.AdoptedProcess{}, Memberships: one.Memberships, LeftOut: one.LeftOut,
	}
	for _, p := range one.Processes {
		told.Processes = append(told.Processes, control.AdoptedProcess(p))
	}
	return told
}

// checkRules makes a membership of them, as each adopted socket will.
func checkRules(rules []byte) error {
	var keys map[string]json.RawMessage
	if len(rules) > 0 {
		if err := json.Unmarshal(rules, &keys); err != nil || keys == nil {
			return &control.InvalidError{Err: errors.New(`rules: want keys of a membership, as {"interface": "eth0"}`)}
		}
	}
	allowed := make(map[string]bool)
	for _, f := range ruleFlags() {
		allowed[topKey(f.path)] = true
	}
	for key := range keys {
		if !allowed[key] {
			err := fmt.Errorf("rules: %s: want none: what is joined, and where, the process says", key)
			return &control.InvalidError{Err: err, Flaws: []control.Flaw{{Path: key, Message: err.Error()}}}
		}
	}
	example := membership.Channel{Source: netip.AddrFrom4([4]byte{10, 0, 0, 1}), Group: netip.AddrFrom4([4]byte{232, 0, 0, 1})}
	_, err := adoptionKeeper{}.Make("rules", rules, "lo", []membership.Channel{example})
	return err
}

// topKey is the first key of a path.
func topKey(path string) string {
	key, _, _ := strings.Cut(path, ".")
	return key
}

// adoptionKeeper keeps memberships in the manager, past reloads.
type adoptionKeeper struct{ editor *editor }

// Make implements adopt.Keeper.
func (adoptionKeeper) Make(name string, rules []byte, iface string, channels []membership.Channel) (membership.Membership, error) {
	entry := make(map[string]any)
	if len(rules) > 0 {
		if err := json.Unmarshal(rules, &entry); err != nil {
			return membership.Membership{}, err
		}
	}
	if entry["interface"] == nil {
		entry["interface"] = map[string]any{"name": reattach.ByName(iface).Name}
	}
	entry["channels"], entry["allow_any_range"] = channels, true
	text, err := json.Marshal(entry)
	if err != nil {
		return membership.Membership{}, err
	}
	return parseUnmonitored(name, text)
}

// Lend implements adopt.Keeper.
func (k adoptionKeeper) Lend(ctx context.Context, m membership.Membership, why string, lost func(string)) (adopt.Lease, error) {
	l, err := k.editor.lend(ctx, m, why, func(note string, _ uint64) { lost(note) })
	if errors.Is(err, errNameInUse) {
		return nil, fmt.Errorf("%w: %s", adopt.ErrNameInUse, m.Name)
	}
	if err != nil {
		return nil, err
	}
	return adoptedLease{l}, nil
}

// AttachedTo implements adopt.Keeper.
func (k adoptionKeeper) AttachedTo(ctx context.Context, name string) (indexes []int) {
	status, err := k.editor.manager.StatusOf(ctx, name)
	if err != nil {
		return nil
	}
	for _, a := range status.Attachments {
		indexes = append(indexes, a.Index)
	}
	return indexes
}

// Pending implements adopt.Keeper.
func (k adoptionKeeper) Pending(ctx context.Context, name string) []membership.Channel {
	explanation, err := k.editor.manager.Explain(ctx, name)
	if err != nil {
		return nil
	}
	return adopt.PendingIn(explanation)
}

// adoptedLease is a lease with the names of adopt.Lease.
type adoptedLease struct{ *lease }

// Put implements adopt.Lease.
func (l adoptedLease) Put(ctx context.Context, m membership.Membership) error { return l.put(ctx, m) }

// End implements adopt.Lease.
func (l adoptedLease) End(ctx context.Context) error { return l.end(ctx) }
