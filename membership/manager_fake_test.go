package membership

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// fakeWatcher says what a test gives it to say.
type fakeWatcher struct {
	wake chan struct{}
	err  error // of Run, at once

	links atomic.Uint64 // in its Counters

	mu      sync.Mutex
	changes ifwatch.Changes
	expired []ifwatch.ID
	expire  func(*fakeWatcher, ifwatch.ID)
}

func newFakeWatcher() *fakeWatcher { return &fakeWatcher{wake: make(chan struct{}, 1)} }

func (w *fakeWatcher) Run(ctx context.Context) error {
	if w.err != nil {
		return w.err
	}
	<-ctx.Done()
	return nil
}

func (w *fakeWatcher) Changed() <-chan struct{} { return w.wake }

func (w *fakeWatcher) Take() ifwatch.Changes {
	w.mu.Lock()
	defer w.mu.Unlock()
	taken := w.changes
	w.changes = ifwatch.Changes{}
	return taken
}

func (w *fakeWatcher) Expire(id ifwatch.ID) {
	w.expired = append(w.expired, id)
	if w.expire != nil {
		w.expire(w, id)
	}
}

func (w *fakeWatcher) Counters() ifwatch.Counters { return ifwatch.Counters{Links: w.links.Load()} }

func (w *fakeWatcher) say(changes ifwatch.Changes) {
	w.mu.Lock()
	w.changes.Changes = append(w.changes.Changes, changes.Changes...)
	w.changes.Resynced = w.changes.Resynced || changes.Resynced
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// managed is a manager over fakes that runs in a bubble of its own time.
type managed struct {
	*Manager
	t       *testing.T
	kernel  *fakeKernel
	watcher *fakeWatcher
	cancel  context.CancelFunc
	ended   chan error
}

func manage(t *testing.T, test func(t *testing.T, m *managed)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m := &managed{t: t, kernel: newFakeKernel(), watcher: newFakeWatcher(), ended: make(chan error, 1)}
		m.Manager = newManager(m.kernel, m.watcher)
		var ctx context.Context
		ctx, m.cancel = context.WithCancel(context.Background())
		go func() {
			defer close(m.ended) // whoever asks again gets nil
			m.ended <- m.Run(ctx)
		}()
		test(t, m)
		m.end()
	})
}

// end ends Run, and wants nil of it.
func (m *managed) end() {
	m.t.Helper()
	m.cancel()
	if err := <-m.ended; err != nil {
		m.t.Errorf("run: %v", err)
	}
}

// own has the owner of the manager's state run a function.
func (m *managed) own(f func()) {
	m.t.Helper()
	m.ok(m.do(m.t.Context(), f))
}

// eth1 is an interface at index 1 that is up.
func eth1(id ifwatch.ID) ifwatch.Interface {
	return ifwatch.Interface{
		ID: id, Index: 1, Name: "eth1", VLANID: -1, MTU: 1500, Up: true, Carrier: true, Running: true, Multicast: true,
		IPv4: ifwatch.Protocol{Alive: true}, IPv6: ifwatch.Protocol{Alive: true},
	}
}

// begin has an interface appear.
func (m *managed) begin(id ifwatch.ID) {
	i := eth1(id)
	m.kernel.begin(1, "eth1")
	m.watcher.say(ifwatch.Changes{Changes: []ifwatch.Change{{Index: 1, Now: &i, Read: time.Now()}}})
}

func (m *managed) ok(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}
