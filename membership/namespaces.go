package membership

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// Apply makes set the whole set of wished memberships. Only what differs from
// before is touched. An invalid set changes nothing and returns every error.
// It returns once the joins and leaves that are possible now were made; with a
// pace, those that it allows now. Many take their time, IPv6's in the tens of
// thousands many seconds: everything else is served meanwhile. Where ctx ends by
// then, the error wraps ErrPutOff too: the set was taken, and is made by itself.
func (m *Manager) Apply(ctx context.Context, set []Membership) error {
	wishes, err := checkSet(set, m.lastSet())
	if err != nil {
		return err
	}
	return m.change(ctx, func(ctx context.Context) (begun, error) { return m.applyAll(ctx, wishes) })
}

func (m *Manager) applyAll(ctx context.Context, wishes []*wish) (begun, error) {
	if err := m.startForSockets(wishes); err != nil {
		return nil, err
	}
	if err := m.leaveHomes(ctx, wishes); err != nil {
		return nil, err
	}
	byPath := make(map[string][]*wish)
	for path := range m.others() {
		byPath[path] = nil
	}
	var own []*wish
	for _, w := range wishes {
		if w.path == "" {
			own = append(own, w)
		} else {
			byPath[w.path] = append(byPath[w.path], w)
		}
	}
	var sum applied
	var all begun
	for _, path := range slices.Sorted(maps.Keys(byPath)) {
		e, err := m.engineOf(path, byPath[path])
		if err != nil {
			return nil, err
		}
		made, err := e.change(ctx, func() { sum.add(e.keeper.applyQuietly(byPath[path], time.Now())) })
		if err != nil {
			return nil, err
		}
		all = append(all, made...)
		m.endIdle(e, len(byPath[path]))
	}
	made, err := m.engine.change(ctx, func() { m.keeper.applyAfter(own, sum, time.Now()) })
	if err != nil {
		return nil, err
	}
	m.options.Memory = Memory{} // each membership has what it takes of it
	m.keepSet(wishes)
	left, err := m.endInheritance(ctx)
	return slices.Concat(all, made, left), err
}

// lastSet returns the wishes of the last Apply.
func (m *Manager) lastSet() []*wish {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.set
}

func (m *Manager) keepSet(wishes []*wish) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.set = wishes
}

// Put adds one membership, or replaces the one of its name. It returns as Apply
// does.
func (m *Manager) Put(ctx context.Context, one Membership) error {
	wishes, err := checkSet([]Membership{one}, nil)
	if err != nil {
		return err
	}
	return m.change(ctx, func(ctx context.Context) (begun, error) { return m.putOne(ctx, wishes[0]) })
}

// putNew is Put, but that there must be no membership of that name.
func (m *Manager) putNew(ctx context.Context, one Membership) error {
	wishes, err := checkSet([]Membership{one}, nil)
	if err != nil {
		return err
	}
	return m.change(ctx, func(ctx context.Context) (begun, error) {
		if _, err := m.StatusOf(ctx, one.Name); !isNotFound(err) {
			return nil, cmp.Or(err, fmt.Errorf("the manager has a membership %q already", one.Name))
		}
		return m.putOne(ctx, wishes[0])
	})
}

// putOne puts a wish, in its turn.
func (m *Manager) putOne(ctx context.Context, w *wish) (begun, error) {
	wishes := []*wish{w}
	if err := m.startForSockets(wishes); err != nil {
		return nil, err
	}
	if err := m.leaveHomes(ctx, wishes); err != nil {
		return nil, err
	}
	e, err := m.engineOf(w.path, wishes)
	if err != nil {
		return nil, err
	}
	return e.change(ctx, func() { e.keeper.put(w, time.Now()) })
}

// Delete removes one membership and leaves what nobody else wants. It returns as
// Apply does. The error wraps ErrNotFound where there is none of that name.
func (m *Manager) Delete(ctx context.Context, name string) error {
	return m.change(ctx, func(ctx context.Context) (begun, error) { return m.deleteAt(ctx, m.home(name), name) })
}

func (m *Manager) deleteAt(ctx context.Context, e *engine, name string) (begun, error) {
	found, left := false, 0
	made, err := e.change(ctx, func() {
		found = e.keeper.delete(name, time.Now())
		left = len(e.keeper.members)
	})
	if err == nil {
		m.mu.Lock()
		delete(m.homes, name)
		m.mu.Unlock()
		m.endIdle(e, left)
	}
	return made, orNotFound(err, found, name)
}

// begun are the joins and leaves that a change led to and that take more than a
// step: each channel is closed once some of them are made.
type begun []<-chan struct{}

// change has one change of what is wished for made after the other. What each
// leads to is waited for where it is in nobody's way.
func (m *Manager) change(ctx context.Context, f func(context.Context) (begun, error)) error {
	all, err := m.begin(ctx, f)
	if err != nil {
		return err
	}
	return m.await(ctx, all)
}

func (m *Manager) begin(ctx context.Context, f func(context.Context) (begun, error)) (begun, error) {
	if err := m.changing.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer m.changing.Release(1)
	ctx, err := m.ready(ctx)
	if err != nil {
		return nil, err
	}
	return f(ctx)
}

// await returns when everything is made that was begun. An engine that ends
// before the manager has nothing left to make.
func (m *Manager) await(ctx context.Context, all begun) error {
	for _, made := range all {
		select {
		case <-made:
		case <-m.stopped:
			return ErrStopped
		case <-ctx.Done():
			return fmt.Errorf("%w: it was taken, and is made by itself: %w", ErrPutOff, ctx.Err())
		}
	}
	return nil
}

// ready waits until the interfaces are known. What follows is not given up
// halfway: it ends with the manager at the latest.
func (m *Manager) ready(ctx context.Context) (context.Context, error) {
	return context.WithoutCancel(ctx), m.do(ctx, func() {})
}

// leaveHomes removes the memberships that are wished for in another namespace
// than they are in: they are left there before they are joined here.
func (m *Manager) leaveHomes(ctx context.Context, wishes []*wish) error {
	for _, w := range wishes {
		if e := m.home(w.name); e.path != w.path {
			made, err := m.deleteAt(ctx, e, w.name)
			if err != nil && !isNotFound(err) {
				return err
			}
			if err := m.await(ctx, made); err != nil {
				return err
			}
		}
	}
	return nil
}

// home returns the engine that has the membership of a name: the own one, where
// none has.
func (m *Manager) home(name string) *engine {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.homes[name]; e != nil {
		return e
	}
	return m.engine
}

// others returns the engines of other namespaces.
func (m *Manager) others() map[string]*engine {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.engines)
}

// all returns every engine, the own one first.
func (m *Manager) all() []*engine {
	others := m.others()
	all := []*engine{m.engine}
	for _, path := range slices.Sorted(maps.Keys(others)) {
		all = append(all, others[path])
	}
	return all
}

// engineOf returns the engine for wishes in the namespace of a file, and starts
// it where there is none.
func (m *Manager) engineOf(path string, wishes []*wish) (*engine, error) {
	e := m.engine
	if path != "" {
		if e = m.others()[path]; e == nil {
			if m.ended {
				return nil, ErrStopped
			}
			e = m.startEngine(path, wishes[0].namespace)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, w := range wishes {
		delete(m.homes, w.name)
		if path != "" {
			m.homes[w.name] = e
		}
	}
	return e, nil
}

// startForSockets finds out which callers' sockets are of other network
// namespaces, and starts the engines for these that there are not yet. After an
// error it has started none.
func (m *Manager) startForSockets(wishes []*wish) (err error) {
	own := sync.OnceValue(m.keeper.kernel.netns)
	var started []*engine
	defer func() {
		if err == nil {
			return
		}
		for _, e := range started {
			m.endIdle(e, 0)
		}
	}()
	for _, w := range wishes {
		if w.socket == nil || own() == 0 {
			continue
		}
		netns := netnsOf(w.socket)
		if netns == 0 || netns == own() {
			continue
		}
		w.path = fmt.Sprintf("socket:%d", netns)
		if m.others()[w.path] != nil {
			continue
		}
		if m.ended {
			return ErrStopped
		}
		held, err := ifwatch.HoldNamespace(w.socket)
		if err != nil {
			return fmt.Errorf("membership %q: socket: %w", w.name, err)
		}
		e := m.newEngine(w.path, held.Name())
		e.find = func() (ifwatch.Namespace, error) { return held.Namespace, nil }
		m.launch(e, held.Release)
		started = append(started, e)
	}
	return nil
}

// startEngine begins with the namespace of a file.
func (m *Manager) startEngine(path, label string) *engine {
	e := m.newEngine(path, label)
	e.find = func() (ifwatch.Namespace, error) { return ifwatch.FindNamespace(path) }
	if m.namespaces == nil {
		m.namespaces = ifwatch.NewNamespaceWatch()
		var ctx context.Context
		ctx, m.unwatch = context.WithCancel(m.running)
		watch := m.namespaces
		m.group.Go(func() error { return watch.Run(ctx, m.followNamespaces) })
	}
	m.namespaces.Watch(path)
	m.launch(e, func() {})
	return e
}

func (m *Manager) newEngine(path, label string) *engine {
	publish := func(event Event) {
		event.Netns = label
		m.hub.publish(event)
	}
	e := newEngine(newKeeper(nil, nil, publish))
	e.label, e.path, e.watch, e.estate = label, path, m.options.Watch, m.estate
	e.keeper.aside = e.lookAside
	e.keeper.netns, e.keeper.noteMemory, e.keeper.auditEvery = label, m.noteMemory, m.options.auditEvery()
	e.keeper.remembered = maps.Clone(m.options.Memory.Memberships)
	e.keeper.drainedBefore = m.options.Memory.Drained
	e.keeper.line = m.pace.newLine()
	return e
}

// launch runs an engine. release is called once it has ended.
func (m *Manager) launch(e *engine, release func()) {
	m.mu.Lock()
	m.engines[e.path] = e
	m.mu.Unlock()
	var ctx context.Context
	ctx, e.stop = context.WithCancel(m.running)
	m.group.Go(func() error {
		defer release()
		e.loop(ctx)
		return nil
	})
}

// endIdle ends the engine of another namespace in which no membership is left.
func (m *Manager) endIdle(e *engine, left int) {
	if e == m.engine || left > 0 {
		return
	}
	e.stop()
	<-e.stopped
	m.mu.Lock()
	delete(m.engines, e.path)
	m.finished.add(e.lastTotals)
	none := len(m.engines) == 0
	m.mu.Unlock()
	if none && m.namespaces != nil {
		m.unwatch()
		m.namespaces = nil
	}
}

// followNamespaces has every engine look where its file leads.
func (m *Manager) followNamespaces() {
	for _, e := range m.others() {
		select {
		case e.moved <- struct{}{}:
		default:
		}
	}
}
