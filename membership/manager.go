package membership

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

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

	// JoinsPerSecond bounds how many joins are made in a second, in all network
	// namespaces together; a tenth of that may come at once. Memberships take
	// turns. Zero, and less, means no limit. Joining again what the kernel lost,
	// and announcing anew, is not counted.
	JoinsPerSecond int

	// Memory is what an earlier manager remembered. A membership goes on
	// from there when it is added.
	Memory Memory

	// Handover is what an earlier manager handed over, with its memory in the
	// place of the other; nil where none did. Its descriptors are the
	// manager's from now on. What the first Apply does not wish for is left
	// then.
	Handover *Handover
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
	*engine // of the namespace that Run is called in
	options Options
	hub     *hub
	began   atomic.Bool
	pace    *pace                                                           // held with changing; nil for none
	losses  func(lost func([]ifwatch.GroupKey)) (run func(context.Context)) // of groups that the kernel lost; nil for none

	memoryChanged chan struct{}
	estate        *estate            // nil where nothing was handed over, or all is claimed
	end           context.CancelFunc // of running

	changing   *semaphore.Weighted // held over a whole change of what is wished for
	group      *errgroup.Group
	running    context.Context // of group
	ended      bool
	namespaces *ifwatch.NamespaceWatch // nil while there is no other engine
	unwatch    context.CancelFunc

	mu      sync.Mutex         // of the maps; never held while anything is waited for
	engines map[string]*engine // of other namespaces, by their files
	homes   map[string]*engine // of memberships, by name
	set     []*wish            // of the last Apply; what is made of a membership serves again

	finished Totals // of engines that are no longer among these
}

// watcher is what the manager needs of an ifwatch.Watcher.
type watcher interface {
	Run(ctx context.Context) error
	Changed() <-chan struct{}
	Take() ifwatch.Changes
	Expire(ifwatch.ID)
	Counters() ifwatch.Counters
}

// New returns a manager without memberships. It starts nothing: Run does.
func New(o Options) *Manager {
	within := o.Watch.Within
	if within == nil {
		within = func(f func() error) error { return f() }
	}
	var m *Manager
	o.Watch.Eager = func(pending []ifwatch.Change) { m.observeEagerly(pending) }
	m = newManager(newLinux(within), ifwatch.New(o.Watch))
	watch := o.Watch // alone: the Memory is not to live as long
	m.losses = func(lost func([]ifwatch.GroupKey)) func(context.Context) { return ifwatch.WatchLosses(watch, lost) }
	m.configure(o)
	return m
}

// configure makes a new manager as the options say.
func (m *Manager) configure(o Options) {
	m.options = o
	m.keeper.aside = m.lookAside
	m.keeper.auditEvery = o.auditEvery()
	m.pace = newPace(o.JoinsPerSecond)
	m.keeper.line = m.pace.newLine()
	if o.Handover != nil {
		o.Memory, m.estate = o.Handover.Memory, newEstate(*o.Handover)
		m.options.Memory, m.options.Handover = o.Memory, nil
	}
	m.engine.estate = m.estate
	m.remember(o.Memory)
}

func (o Options) auditEvery() time.Duration { return max(0, cmp.Or(o.Audit, defaultAudit)) }

func newManager(k kernel, w watcher) *Manager {
	h := newHub()
	m := &Manager{
		engine:        newEngine(newKeeper(k, w.Expire, h.publish)),
		hub:           h,
		memoryChanged: make(chan struct{}, 1),
		engines:       make(map[string]*engine),
		homes:         make(map[string]*engine),
		changing:      semaphore.NewWeighted(1),
		finished:      newTotals(),
	}
	m.session = &session{watcher: w}
	m.keeper.noteMemory = m.noteMemory
	return m
}

// Run keeps the memberships until ctx is cancelled, then leaves every group,
// newest first, and returns nil. It returns an error where interfaces cannot be
// watched. It is called in the network namespace to work in, unless Options say
// otherwise, and once: a second call returns an error.
//
// A socket with entries of a dead interface whose index has a new owner by
// then stays open, unused: closing it would take the new owner's membership.
// Where that owner's life has ended, the next manager of the process that sees
// an interface change, begins or ends closes it.
func (m *Manager) Run(ctx context.Context) error {
	if m.began.Swap(true) {
		return errors.New("manager: Run called twice")
	}
	defer m.hub.end()
	ctx, m.end = context.WithCancel(ctx)
	defer m.end()
	m.group, m.running = errgroup.WithContext(ctx)
	own := m.session.watcher
	m.group.Go(func() error { return own.Run(m.running) })
	if m.losses != nil {
		losses := m.losses(m.hints.add) // from before the first join
		m.group.Go(func() error {
			losses(m.running)
			return nil
		})
	}
	m.group.Go(func() error {
		m.loop(m.running)
		_ = m.changing.Acquire(context.Background(), 1) // so that no engine begins once this has ended
		defer m.changing.Release(1)
		m.ended = true
		for _, i := range m.estate.rest() { // nobody is to claim it any more
			i.discard(m.keeper.parking)
		}
		return nil
	})
	return m.group.Wait()
}

// Reannounce tells the network of a membership anew, without a gap that it could
// notice, and returns once that is done. The error wraps ErrNotFound where there is none of that name, and
// ErrPutOff where an interface is down or has no carrier: there it follows when
// that is over; and where ctx ends before all of it is done.
func (m *Manager) Reannounce(ctx context.Context, name string) error {
	found := false
	var putOff []ifwatch.Interface
	e := m.home(name)
	made, err := e.change(ctx, func() {
		if one := e.keeper.members[name]; one != nil {
			found = true
			putOff = e.keeper.reannounce(one, time.Now())
		}
	})
	if err := orNotFound(err, found, name); err != nil {
		return err
	}
	if err := m.await(ctx, made); err != nil || len(putOff) == 0 {
		return err
	}
	return fmt.Errorf("membership %q: %w until reports go out: %s is down, has no carrier, or is not ready yet", name, ErrPutOff, putOff[0])
}

// Status returns the status of every membership, sorted by name.
func (m *Manager) Status(ctx context.Context) ([]Status, error) {
	var all []Status
	err := m.each(ctx, func(k *keeper) { all = append(all, k.statusOfAll()...) })
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b Status) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// each has every owner run a function, the own one's first.
func (m *Manager) each(ctx context.Context, f func(*keeper)) error {
	for _, e := range m.all() {
		if err := m.ask(ctx, e, func() { f(e.keeper) }); err != nil {
			return err
		}
	}
	return nil
}

// ask has an owner run a function, unless its last membership was removed
// meanwhile: there is nothing to ask for then.
func (m *Manager) ask(ctx context.Context, e *engine, f func()) error {
	err := e.do(ctx, f)
	if err == ErrStopped && e != m.engine {
		return m.do(ctx, func() {}) // unless it is the manager's end
	}
	return err
}

// StatusOf returns the status of one membership. The error wraps ErrNotFound
// where there is none of that name.
func (m *Manager) StatusOf(ctx context.Context, name string) (Status, error) {
	var status Status
	found := false
	e := m.home(name)
	err := m.ask(ctx, e, func() { status, found = e.keeper.statusOf(name) })
	return status, orNotFound(err, found, name)
}

// Explain holds every interface against every rule of one membership. The
// error wraps ErrNotFound where there is none of that name.
func (m *Manager) Explain(ctx context.Context, name string) (Explanation, error) {
	var explanation Explanation
	found := false
	e := m.home(name)
	err := m.ask(ctx, e, func() { explanation, found = e.keeper.explain(name, time.Now()) })
	return explanation, orNotFound(err, found, name)
}

func isNotFound(err error) bool { return errors.Is(err, ErrNotFound) }

func orNotFound(err error, found bool, name string) error {
	if err == nil && !found {
		return fmt.Errorf("membership %q: %w", name, ErrNotFound)
	}
	return err
}

// Interfaces returns the interface instances as the manager sees them, by
// namespace, the own one first, and index.
func (m *Manager) Interfaces(ctx context.Context) ([]InterfaceStatus, error) {
	var all []InterfaceStatus
	err := m.each(ctx, func(k *keeper) { all = append(all, k.interfaces()...) })
	if err != nil {
		return nil, err
	}
	return all, nil
}

// Publish puts an event of somebody else's into the manager's: it gets a number,
// and a time where it has none, and readers find it in its place. What the type and
// the cause mean is for whoever publishes it to say; Missed is left out. After the
// last event nothing is published. It never waits for a reader.
func (m *Manager) Publish(e Event) {
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	m.hub.publish(e)
}

// Subscribe returns the events from now on. The subscription ends with Close,
// or after the manager's last event.
func (m *Manager) Subscribe() *Subscription { return m.hub.subscribe() }

// LastEvent returns the number of the last event so far, zero before the first.
// What a method did that returned has its events up to there.
func (m *Manager) LastEvent() uint64 { return m.hub.last() }

// SubscribeSince returns the events since a point in the past, and those that
// follow. Where some of them are no longer kept, an EventMissed comes first. The
// error wraps ErrNoEvent for the number of an event that has not happened.
func (m *Manager) SubscribeSince(since Since) (*Subscription, error) {
	return m.hub.subscribeSince(since)
}
