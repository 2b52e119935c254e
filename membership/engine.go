package membership

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// engine keeps the memberships in one network namespace. That of the manager's
// own is there from the beginning. In another the engine outlives the
// namespace: what was lost in it is known when there is one of that name again.
type engine struct {
	label string // of the namespace in what is told; empty: the manager's own
	path  string // its file, or what stands for that of sockets; likewise
	find  func() (ifwatch.Namespace, error)
	watch ifwatch.Options

	estate *estate // what was handed over to the manager, nil for nothing

	requests chan func()
	stopped  chan struct{}
	hints    *hints
	asides   sync.WaitGroup
	ticked   bool          // the last step was one that was due by the time
	moved    chan struct{} // says that the file may lead elsewhere
	rearm    chan struct{} // says that a step outside of loop left something to do later
	stop     context.CancelFunc

	owner   sync.Mutex // of what follows; from the beginning on it is held for loop
	keeper  *keeper
	session *session
	watched ifwatch.Counters // of the sessions before

	lastMemory Memory // read once stopped is closed; so is lastTotals
	lastTotals Totals
}

// session is what an engine holds while its namespace is there. All that would
// keep the namespace alive ends with it.
type session struct {
	watcher   watcher
	namespace ifwatch.Namespace
	cancel    context.CancelFunc
	running   sync.WaitGroup
	failed    chan error // of the watcher's beginning
}

// changed is nil where there is no session.
func (s *session) changed() <-chan struct{} {
	if s == nil {
		return nil
	}
	return s.watcher.Changed()
}

// end returns when nothing of it runs any more.
func (s *session) end() {
	if s == nil || s.cancel == nil { // the manager's own ends with Run
		return
	}
	s.cancel()
	s.running.Wait()
}

func newEngine(k *keeper) *engine {
	e := &engine{
		requests: make(chan func()),
		stopped:  make(chan struct{}),
		hints:    newHints(),
		moved:    make(chan struct{}, 1),
		rearm:    make(chan struct{}, 1),
		keeper:   k,
	}
	e.owner.Lock()
	return e
}

// begin reports whether there is anything to do before ctx ends.
func (e *engine) begin(ctx context.Context) bool {
	if e.path != "" {
		e.followNamespace(ctx)
		return true
	}
	select {
	case <-ctx.Done():
		return false
	case <-e.session.changed():
		e.keeper.inherit(e.estate)
		e.observe()
		return true
	}
}

// followNamespace ends the session of a namespace that is gone, and begins one
// where there is a namespace.
func (e *engine) followNamespace(ctx context.Context) {
	if e.session != nil && e.session.namespace.Gone() {
		e.session.end()
		e.watched = e.watched.Plus(e.session.watcher.Counters())
		e.session = nil
		e.keeper.vanish(fmt.Sprintf("the network namespace %s is gone", e.label), time.Now())
	}
	if e.session == nil {
		e.beginSession(ctx)
	}
}

func (e *engine) beginSession(ctx context.Context) {
	namespace, err := e.find()
	if err != nil {
		e.keeper.setAbsent(fmt.Sprintf("network namespace %s: %v", e.label, err), time.Now())
		return
	}
	watch := e.watch
	watch.Within, watch.Eager = namespace.Do, e.observeEagerly
	w := ifwatch.New(watch)
	s := &session{watcher: w, namespace: namespace, failed: make(chan error, 1)}
	ctx, s.cancel = context.WithCancel(ctx)
	s.running.Go(func() { s.failed <- w.Run(ctx) })
	losses := ifwatch.WatchLosses(watch, e.hints.add) // from before the first join
	s.running.Go(func() { losses(ctx) })
	e.keeper.kernel, e.keeper.expire, e.keeper.place = newLinux(namespace.Do), w.Expire, ""
	select {
	case <-ctx.Done():
	case <-w.Changed():
		e.session = s
		e.keeper.absent = ""
		e.keeper.inherit(e.estate)
		e.observe()
		return
	case err = <-s.failed:
	}
	s.end()
	e.watched = e.watched.Plus(w.Counters())
	if err != nil {
		e.keeper.setAbsent(fmt.Sprintf("network namespace %s: %v", e.label, err), time.Now())
	}
}

// loop owns the keeper but while it waits. It serves nobody before the
// interfaces are known, or that there is no namespace.
func (e *engine) loop(ctx context.Context) {
	defer e.asides.Wait()
	defer close(e.stopped)
	if !e.begin(ctx) {
		return
	}
	e.lastMemory = Memory{} // until the end: the keeper has it
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		e.arm(timer)
		e.owner.Unlock()
		step := e.next(ctx, timer)
		e.owner.Lock()
		if step == nil {
			if !e.keeper.surrendered {
				e.lastMemory = e.keeper.memory()
			}
			e.keeper.shutdown(time.Now())
			e.session.end()
			e.lastTotals = e.totalsNow()
			return
		}
		step()
	}
}

// lookAside has something read in another goroutine, while the owner serves
// others, and the owner go on with it as with a request.
func (e *engine) lookAside(_ time.Time, read func(), then func(time.Time)) {
	step := func() {
		now := time.Now()
		then(now)
		e.keeper.flush(now)
	}
	e.asides.Go(func() {
		read()
		select {
		case e.requests <- step:
		case <-e.stopped:
		}
	})
}

// observeEagerly is observe in the goroutine that reads from the kernel, where
// the owner waits and there is little to do: to wake the owner's goroutine
// takes as long as all of the work on one channel.
func (e *engine) observeEagerly(pending []ifwatch.Change) {
	if !e.owner.TryLock() {
		return
	}
	defer e.owner.Unlock()
	k := e.keeper
	before := k.nextWake()
	if k.surrendered || k.hasMuchToDo(pending, before, time.Now()) {
		return
	}
	e.observe()
	if next := k.nextWake(); !next.IsZero() && !next.Equal(before) {
		select {
		case e.rearm <- struct{}{}:
		default:
		}
	}
}

// observe takes what changed. After lost events the lives of the instances
// that are in use are checked first, since a dump cannot show that one ended
// and another has its index.
func (e *engine) observe() {
	changes := e.session.watcher.Take()
	for resynced := changes.Resynced; resynced; {
		e.keeper.checkLives(time.Now())
		expired := e.session.watcher.Take()
		changes.Changes = append(changes.Changes, expired.Changes...)
		resynced = expired.Resynced // lost again meanwhile
	}
	e.keeper.observe(changes, time.Now())
}

// observePending lets a request see the interfaces as they are by now.
func (e *engine) observePending() {
	select {
	case <-e.session.changed():
		e.observe()
	default:
	}
}

// change has the owner run a function that may lead to joins and leaves, and
// returns those that go on after it.
func (e *engine) change(ctx context.Context, f func()) (all begun, err error) {
	err = e.do(ctx, func() {
		f()
		all = e.keeper.whenMade()
	})
	return all, err
}

// do has the owner run a function.
func (e *engine) do(ctx context.Context, f func()) error {
	done := make(chan struct{})
	request := func() {
		defer close(done)
		f()
	}
	select {
	case e.requests <- request:
	case <-e.stopped:
		return ErrStopped
	case <-ctx.Done():
		return ctx.Err()
	}
	<-done // whoever took the request serves it before anything else
	return nil
}
