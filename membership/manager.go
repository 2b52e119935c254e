package membership

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// Options configure a Manager. The zero value works.
type Options struct {
	// Watch configures the watching of interfaces. Eager in it is the
	// manager's own.
	Watch ifwatch.Options

	// Audit is the time between comparisons of what is joined with the
	// groups that the kernel lists; what it has lost is joined again. Zero
	// means 30 s. Less than zero means only where something hints at a loss.
	Audit time.Duration

	// Memory is what an earlier manager remembered. A membership goes on
	// from there when it is added.
	Memory Memory
}

// ErrStopped is returned by every method of a Manager whose Run has returned.
var ErrStopped = errors.New("manager stopped")

// ErrNotFound is wrapped by errors that name an unknown membership.
var ErrNotFound = errors.New("no such membership")

// ErrPutOff is wrapped by errors of what is done later, by itself.
var ErrPutOff = errors.New("put off")

// Manager keeps memberships. New makes one; the zero Manager does not work. All
// methods are safe for concurrent use; those
// that change or ask something wait until Run has seen the interfaces, and
// return ErrStopped once it has returned, or ctx's error.
type Manager struct {
	watcher  watcher
	requests chan func()
	stopped  chan struct{}
	hub      *hub
	began    atomic.Bool
	hints    func(ctx context.Context, lost func()) error // of groups that the kernel lost; nil for none
	hinted   chan struct{}

	owner  sync.Mutex // of the keeper; from New on it is held for loop
	keeper *keeper
	rearm  chan struct{} // says that a step outside of loop left something to do later

	memoryChanged chan struct{}
	lastMemory    Memory // read once stopped is closed
}

// watcher is what the manager needs of an ifwatch.Watcher.
type watcher interface {
	Run(ctx context.Context) error
	Changed() <-chan struct{}
	Take() ifwatch.Changes
	Expire(ifwatch.ID)
}

// New returns a manager without memberships. It starts nothing: Run does.
func New(o Options) *Manager {
	within := o.Watch.Within
	if within == nil {
		within = func(f func() error) error { return f() }
	}
	var m *Manager
	o.Watch.Eager = func(changes int) { m.observeEagerly(changes) }
	m = newManager(newLinux(within), ifwatch.New(o.Watch))
	m.hints = func(ctx context.Context, lost func()) error { return ifwatch.WatchLosses(ctx, o.Watch, lost) }
	m.keeper.auditEvery = max(0, cmp.Or(o.Audit, defaultAudit))
	m.remember(o.Memory)
	return m
}

func newManager(k kernel, w watcher) *Manager {
	h := newHub()
	m := &Manager{
		watcher:  w,
		requests: make(chan func()),
		stopped:  make(chan struct{}),
		hinted:   make(chan struct{}, 1),
		hub:      h,
		keeper:   newKeeper(k, w.Expire, h.publish),
		rearm:    make(chan struct{}, 1),

		memoryChanged: make(chan struct{}, 1),
	}
	m.keeper.noteMemory = m.noteMemory
	m.owner.Lock()
	return m
}

// Run keeps the memberships until ctx is cancelled, then leaves every group,
// newest first, and returns nil. It returns an error where interfaces cannot be
// watched. It is called in the network namespace to work in, unless Options say
// otherwise, and once: a second call returns an error.
//
// A socket with entries of a dead interface whose index has a new owner by
// then stays open, unused, until the process ends: closing it would take the
// new owner's membership.
func (m *Manager) Run(ctx context.Context) error {
	if m.began.Swap(true) {
		return errors.New("manager: Run called twice")
	}
	defer m.hub.end()
	defer close(m.stopped)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return m.watcher.Run(ctx) })
	if m.hints != nil {
		group.Go(func() error { return m.hints(ctx, m.hint) })
	}
	group.Go(func() error {
		m.loop(ctx)
		return nil
	})
	return group.Wait()
}

// loop owns the keeper but while it waits. It serves nobody before the
// interfaces are known.
func (m *Manager) loop(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case <-m.watcher.Changed():
		m.keeper.observe(m.watcher.Take(), time.Now())
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		m.arm(timer)
		m.owner.Unlock()
		var step func()
		select {
		case <-ctx.Done():
			step = nil
		case <-m.watcher.Changed():
			step = m.observe
		case request := <-m.requests:
			step = func() {
				m.observePending()
				request()
			}
		case <-timer.C:
			step = func() {
				m.observePending() // nothing is joined by what is known no longer
				m.keeper.tick(time.Now())
			}
		case <-m.hinted:
			step = func() { m.keeper.suspect(time.Now()) }
		case <-m.rearm:
			step = func() {}
		}
		m.owner.Lock()
		if step == nil {
			m.lastMemory = m.keeper.memory()
			m.keeper.shutdown(time.Now())
			return
		}
		step()
	}
}

// hint has the groups compared soon.
func (m *Manager) hint() {
	select {
	case m.hinted <- struct{}{}:
	default:
	}
}

// These bound for how long the goroutine that reads from the kernel is held up:
// joins, and verdicts, of one step.
const (
	mostEagerJoins    = 256
	mostEagerVerdicts = 256
)

// observeEagerly is observe in the goroutine that reads from the kernel, where
// the owner waits and there is little to do: to wake the owner's goroutine
// takes as long as all of the work on one channel.
func (m *Manager) observeEagerly(changes int) {
	if !m.owner.TryLock() {
		return
	}
	defer m.owner.Unlock()
	k := m.keeper
	if k.channels*changes > mostEagerJoins || len(k.members)*(len(k.instances)+changes) > mostEagerVerdicts {
		return
	}
	before := k.nextWake()
	m.observe()
	if next := k.nextWake(); !next.IsZero() && !next.Equal(before) {
		select {
		case m.rearm <- struct{}{}:
		default:
		}
	}
}

// arm sets the timer for what is due next; without any such thing, nothing
// wakes.
func (m *Manager) arm(timer *time.Timer) {
	timer.Stop()
	if next := m.keeper.nextWake(); !next.IsZero() {
		timer.Reset(time.Until(next))
	}
}

// observe takes what changed. After lost events the lives of the instances
// that are in use are checked first, since a dump cannot show that one ended
// and another has its index.
func (m *Manager) observe() {
	changes := m.watcher.Take()
	for resynced := changes.Resynced; resynced; {
		m.keeper.checkLives(time.Now())
		expired := m.watcher.Take()
		changes.Changes = append(changes.Changes, expired.Changes...)
		resynced = expired.Resynced // lost again meanwhile
	}
	m.keeper.observe(changes, time.Now())
}

// observePending lets a request see the interfaces as they are by now.
func (m *Manager) observePending() {
	select {
	case <-m.watcher.Changed():
		m.observe()
	default:
	}
}

// do has the owner run a function.
func (m *Manager) do(ctx context.Context, f func()) error {
	done := make(chan struct{})
	request := func() {
		defer close(done)
		f()
	}
	select {
	case m.requests <- request:
	case <-m.stopped:
		return ErrStopped
	case <-ctx.Done():
		return ctx.Err()
	}
	<-done // whoever took the request serves it before anything else
	return nil
}

// Apply makes set the whole set of wished memberships. Only what differs from
// before is touched. An invalid set changes nothing and returns every error.
// It returns once the joins and leaves that are possible now were made.
func (m *Manager) Apply(ctx context.Context, set []Membership) error {
	wishes, err := checkSet(set)
	if err != nil {
		return err
	}
	return m.do(ctx, func() { m.keeper.apply(wishes, time.Now()) })
}

// Put adds one membership, or replaces the one of its name.
func (m *Manager) Put(ctx context.Context, one Membership) error {
	wishes, err := checkSet([]Membership{one})
	if err != nil {
		return err
	}
	return m.do(ctx, func() { m.keeper.put(wishes[0], time.Now()) })
}

// Delete removes one membership and leaves what nobody else wants. The error
// wraps ErrNotFound where there is none of that name.
func (m *Manager) Delete(ctx context.Context, name string) error {
	found := false
	err := m.do(ctx, func() { found = m.keeper.delete(name, time.Now()) })
	return orNotFound(err, found, name)
}

// Reannounce tells the network of a membership anew, without a gap that it could
// notice. The error wraps ErrNotFound where there is none of that name, and
// ErrPutOff where an interface is down or has no carrier: there it follows when
// that is over.
func (m *Manager) Reannounce(ctx context.Context, name string) error {
	found := false
	var putOff []ifwatch.Interface
	err := m.do(ctx, func() {
		if one := m.keeper.members[name]; one != nil {
			found = true
			putOff = m.keeper.reannounce(one, time.Now())
		}
	})
	if err := orNotFound(err, found, name); err != nil || len(putOff) == 0 {
		return err
	}
	return fmt.Errorf("membership %q: %w until reports go out: %s is down, has no carrier, or is not ready yet", name, ErrPutOff, putOff[0])
}

// Status returns the status of every membership, sorted by name.
func (m *Manager) Status(ctx context.Context) ([]Status, error) {
	var all []Status
	err := m.do(ctx, func() { all = m.keeper.statusOfAll() })
	return all, err
}

// StatusOf returns the status of one membership. The error wraps ErrNotFound
// where there is none of that name.
func (m *Manager) StatusOf(ctx context.Context, name string) (Status, error) {
	var status Status
	found := false
	err := m.do(ctx, func() { status, found = m.keeper.statusOf(name) })
	return status, orNotFound(err, found, name)
}

// Explain holds every interface against every rule of one membership. The
// error wraps ErrNotFound where there is none of that name.
func (m *Manager) Explain(ctx context.Context, name string) (Explanation, error) {
	var explanation Explanation
	found := false
	err := m.do(ctx, func() { explanation, found = m.keeper.explain(name, time.Now()) })
	return explanation, orNotFound(err, found, name)
}

func orNotFound(err error, found bool, name string) error {
	if err == nil && !found {
		return fmt.Errorf("membership %q: %w", name, ErrNotFound)
	}
	return err
}

// Interfaces returns the interface instances as the manager sees them, by
// index.
func (m *Manager) Interfaces(ctx context.Context) ([]InterfaceStatus, error) {
	var all []InterfaceStatus
	err := m.do(ctx, func() { all = m.keeper.interfaces() })
	return all, err
}

// Subscribe returns the events from now on. The subscription ends with Close,
// or after the manager's last event.
func (m *Manager) Subscribe() *Subscription { return m.hub.subscribe() }
