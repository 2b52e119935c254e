package membership

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/reattach"
)

// ErrNoInterface is wrapped by errors that name an unknown interface.
var ErrNoInterface = errors.New("no such interface")

// ErrNotApproved is wrapped by the error of an approval that does not say what
// to approve, or for which nothing waits.
var ErrNotApproved = errors.New("not approved")

// reportTime is how long the kernel takes to send what a leave leads to: one
// report at once, and another within a second, RFC 9776, section 8.11, and
// RFC 9777, section 9.11.
const reportTime = 1100 * time.Millisecond

// Drain leaves an interface instance ahead of its planned removal: every
// membership that is attached there leaves, newest first, and none is attached
// again until Undrain, or until the instance is gone; a later one of the same
// name is not drained. Drain returns once the kernel had the time to send the
// reports of the leaves, each twice: about 1.1 seconds, or at once where nothing
// was joined. Where ctx ends before, the interface is drained and the error
// says that the reports may not be out.
//
// netns is the namespace of the interface, as memberships name it; empty for the
// manager's own. The error wraps ErrNoInterface where there is no interface
// of that name.
func (m *Manager) Drain(ctx context.Context, netns, interfaceName string) error {
	engines, err := m.enginesNamed(netns, interfaceName)
	if err != nil {
		return err
	}
	var quiet time.Time
	for _, e := range engines {
		var drainErr error
		err := e.do(ctx, func() {
			var i *instance
			if i, drainErr = e.keeper.drain(interfaceName, time.Now()); drainErr == nil {
				quiet = later(quiet, i.quietFrom(time.Now()))
			}
		})
		if err := cmp.Or(err, drainErr); err != nil {
			return err
		}
	}
	return m.waitUntil(ctx, quiet, "interface "+interfaceName+" is drained, and its last reports may not be out yet")
}

// waitUntil waits without holding up the owner of the manager's state.
func (m *Manager) waitUntil(ctx context.Context, t time.Time, otherwise string) error {
	wait := time.Until(t)
	if wait <= 0 {
		return nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-m.stopped:
		return fmt.Errorf("%s: %w", otherwise, ErrStopped)
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", otherwise, ctx.Err())
	}
}

// Undrain ends what Drain began: the interface is judged as any other. It is no
// error where it was not drained. It returns as Apply does. For netns and the error
// see Drain.
func (m *Manager) Undrain(ctx context.Context, netns, interfaceName string) error {
	engines, err := m.enginesNamed(netns, interfaceName)
	if err != nil {
		return err
	}
	var all begun
	for _, e := range engines {
		var undrainErr error
		made, err := e.change(ctx, func() { undrainErr = e.keeper.undrain(interfaceName, time.Now()) })
		if err := cmp.Or(err, undrainErr); err != nil {
			return err
		}
		all = append(all, made...)
	}
	return m.await(ctx, all)
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// enginesNamed returns the engines of a namespace in which there are memberships:
// one for those that name it, and one for sockets that are of it.
func (m *Manager) enginesNamed(netns, interfaceName string) ([]*engine, error) {
	if netns == "" {
		return []*engine{m.engine}, nil
	}
	var named []*engine
	for _, e := range m.all()[1:] {
		if e.label == netns || e.path == ifwatch.NamespacePath(netns) {
			named = append(named, e)
		}
	}
	if len(named) > 0 {
		return named, nil
	}
	return nil, fmt.Errorf("interface %q: %w: no membership is in the network namespace %q", interfaceName, ErrNoInterface, netns)
}

// Approve lets an instance take the place of a lost one in a membership of the
// policy approve. The instance is one that awaits it, as the status says; zero
// stands for the only one that does. The approval ends with the instance's
// life. The error wraps ErrNotFound where there is no membership of that name,
// and ErrNotApproved where the instance awaits no approval, or, with zero, none
// or several do. To approve again what is approved changes nothing. It returns as
// Apply does.
func (m *Manager) Approve(ctx context.Context, name string, id ifwatch.ID) error {
	var approveErr error
	e := m.home(name)
	made, err := e.change(ctx, func() { approveErr = e.keeper.approve(name, id, time.Now()) })
	if err := cmp.Or(err, approveErr); err != nil {
		return err
	}
	return m.await(ctx, made)
}

func (k *keeper) drain(name string, now time.Time) (*instance, error) {
	i := k.instanceNamed(name)
	if i == nil {
		return nil, fmt.Errorf("interface %q: %w", name, ErrNoInterface)
	}
	if i.drained {
		return i, nil
	}
	k.beginRequest(now)
	i.drained = true
	k.noteMemory()
	reason := i.now.String() + " is drained"
	// Those who lose their place here may get another: after the leaves.
	for _, a := range slices.SortedFunc(maps.Keys(i.attachments), newestFirst) {
		i.leaving = i.leaving || a.count().joined > 0
		k.leave(a, CauseDrain, reason, now)
	}
	k.flushPools(now)
	k.judgeNear(i, now)
	k.endRequest(now)
	return i, nil
}

func newestFirst(a, b *attachment) int {
	return cmp.Or(b.since.Compare(a.since), strings.Compare(a.member.wish.name, b.member.wish.name))
}

// quietFrom returns from when on the reports of a drain are out, whose leaves
// were made by now.
func (i *instance) quietFrom(now time.Time) time.Time {
	if i.leaving {
		i.leaving, i.quiet = false, now.Add(reportTime)
	}
	return i.quiet
}

func (k *keeper) undrain(name string, now time.Time) error {
	i := k.instanceNamed(name)
	if i == nil {
		return fmt.Errorf("interface %q: %w", name, ErrNoInterface)
	}
	if !i.drained {
		return nil
	}
	k.beginRequest(now)
	i.drained = false
	k.noteMemory()
	k.judgeNear(i, now)
	k.endRequest(now)
	return nil
}

// judgeNear judges the members that want an instance, or were affected by what
// happened to it.
func (k *keeper) judgeNear(i *instance, now time.Time) {
	maps.Copy(k.affected, i.near)
	for r := range k.affected {
		k.settle(r, now)
	}
}

func (k *keeper) approve(name string, id ifwatch.ID, now time.Time) error {
	m := k.members[name]
	if m == nil {
		return orNotFound(nil, false, name)
	}
	m.approved = slices.DeleteFunc(m.approved, func(id ifwatch.ID) bool { return k.instances[id] == nil })
	if slices.Contains(m.approved, id) {
		return nil
	}
	awaiting := k.awaiting(m, now)
	if id == 0 && len(awaiting) == 1 {
		id = awaiting[0].ID
	}
	if !slices.ContainsFunc(awaiting, func(i ifwatch.Interface) bool { return i.ID == id }) {
		return fmt.Errorf("membership %q: %w", name, k.notAwaited(m, id, awaiting))
	}
	k.beginRequest(now)
	m.approved = append(m.approved, id)
	k.instances[id].known = true
	k.noteMemory()
	k.settleOne(m, now)
	k.touch(m)
	k.endRequest(now)
	return nil
}

// awaiting returns the instances that await a member's approval.
func (k *keeper) awaiting(m *member, now time.Time) []ifwatch.Interface {
	k.endWindow(m, now)
	var all []ifwatch.Interface
	for _, c := range k.decide(m, now).candidates {
		if c.Verdict.HeldBy(reattach.ApprovalRule) {
			all = append(all, c.Interface)
		}
	}
	return all
}

// notAwaited says why an approval is refused, and what could be approved.
func (k *keeper) notAwaited(m *member, id ifwatch.ID, awaiting []ifwatch.Interface) error {
	names := make([]string, len(awaiting))
	for n, i := range awaiting {
		names[n] = i.String()
	}
	list := strings.Join(names, ", ")
	switch {
	case id == 0 && len(awaiting) > 1:
		return fmt.Errorf("%w: several instances await it, want one of %s", ErrNotApproved, list)
	case len(awaiting) > 0:
		return fmt.Errorf("%w: instance %d does not await it, want %s", ErrNotApproved, id, list)
	}
	return fmt.Errorf("%w: nothing awaits it, the membership is %s: %s", ErrNotApproved, m.state, m.reason)
}
