package membership

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/reattach"
)

func TestManagerApplyAndStatus(t *testing.T) {
	manage(t, func(t *testing.T, m *managed) {
		ctx := t.Context()
		m.begin(1)
		m.ok(m.Apply(ctx, []Membership{feed("b", "eth1", one), feed("a", "eth1", two)}))
		all, err := m.Status(ctx)
		m.ok(err)
		if len(all) != 2 || all[0].Name != "a" || all[0].State != StateJoined || all[1].Name != "b" {
			t.Errorf("%+v", all)
		}
		if status, err := m.StatusOf(ctx, "a"); err != nil || status.Joined != 1 || status.Attachments[0].Index != 1 {
			t.Errorf("%+v, %v", status, err)
		}
		if x, err := m.Explain(ctx, "a"); err != nil || len(x.Interfaces) != 1 {
			t.Errorf("%+v, %v", x, err)
		}
		if all, err := m.Interfaces(ctx); err != nil || len(all) != 1 || all[0].ID != 1 {
			t.Errorf("%+v, %v", all, err)
		}
		m.ok(m.Delete(ctx, "a"))
		m.ok(m.Put(ctx, feed("c", "eth1", two)))
	})
}

func TestManagerErrors(t *testing.T) {
	manage(t, func(t *testing.T, m *managed) {
		ctx := t.Context()
		m.begin(1)
		m.ok(m.Put(ctx, feed("a", "eth1", one)))
		_, statusErr := m.StatusOf(ctx, "b")
		_, explainErr := m.Explain(ctx, "b")
		for _, err := range []error{statusErr, explainErr, m.Delete(ctx, "b")} {
			if !errors.Is(err, ErrNotFound) || err.Error() != `membership "b": no such membership` {
				t.Errorf("of what is not there: %v", err)
			}
		}
		if m.Apply(ctx, []Membership{feed("c", "eth1", two), {}}) == nil || m.Put(ctx, Membership{}) == nil {
			t.Error("nonsense was taken")
		}
		if all, _ := m.Status(ctx); len(all) != 1 || all[0].Name != "a" {
			t.Errorf("nonsense changed something: %+v", all)
		}
	})
}

// Before the interfaces are known nobody is served, and whoever waits may give
// up.
func TestManagerServesNobodyBeforeItSees(t *testing.T) {
	manage(t, func(t *testing.T, m *managed) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := m.Put(ctx, feed("a", "eth1", one)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("put: %v", err)
		}
		go func() {
			time.Sleep(time.Hour)
			m.begin(1)
		}()
		before := time.Now()
		if all, err := m.Status(t.Context()); err != nil || len(all) != 0 || time.Since(before) != time.Hour {
			t.Errorf("%v, %v after %v", all, err, time.Since(before))
		}
	})
}

func TestManagerStopped(t *testing.T) {
	manage(t, func(t *testing.T, m *managed) {
		events := m.Subscribe()
		m.begin(1)
		m.ok(m.Put(t.Context(), feed("a", "eth1", one)))
		m.end()
		if len(m.kernel.open_) > 0 || m.kernel.life(1, ifwatch.IPv4).hears(one) {
			t.Error("not everything was left")
		}
		_, statusErr := m.Status(t.Context())
		for _, err := range []error{statusErr, m.Put(t.Context(), feed("b", "eth1", one)), m.Delete(t.Context(), "a"), m.Apply(t.Context(), nil)} {
			if !errors.Is(err, ErrStopped) {
				t.Errorf("after the end: %v", err)
			}
		}
		var last Event
		for {
			e, err := events.Next(t.Context())
			if err == io.EOF {
				break
			}
			last = e
		}
		if last.Type != EventDetached || last.Cause != CauseShutdown {
			t.Errorf("the last event is %+v", last)
		}
		if _, err := m.Subscribe().Next(t.Context()); err != io.EOF {
			t.Errorf("a subscription after the end: %v", err)
		}
	})
}

func TestManagerRunTwice(t *testing.T) {
	manage(t, func(t *testing.T, m *managed) {
		synctest.Wait()
		if err := m.Run(t.Context()); err == nil {
			t.Error("ran twice at once")
		}
		m.begin(1)
		m.ok(m.Put(t.Context(), feed("a", "eth1", one)))
		m.end()
		if err := m.Run(t.Context()); err == nil {
			t.Error("ran again")
		}
	})
}

func TestManagerCannotWatch(t *testing.T) {
	w := newFakeWatcher()
	w.err = unix.EPERM
	m := newManager(newFakeKernel(), w)
	if err := m.Run(t.Context()); !errors.Is(err, unix.EPERM) {
		t.Errorf("run: %v", err)
	}
	if err := m.Apply(t.Context(), nil); !errors.Is(err, ErrStopped) {
		t.Errorf("apply: %v", err)
	}
}

// While nothing is due nothing wakes; what is refused is tried at its time.
func TestManagerWakesOnlyWhenSomethingIsDue(t *testing.T) {
	manage(t, func(t *testing.T, m *managed) {
		m.begin(1)
		m.ok(m.Put(t.Context(), feed("a", "eth1", one)))
		var joins, later int
		m.own(func() { joins = len(m.kernel.joins) })
		time.Sleep(24 * time.Hour)
		m.own(func() { later = len(m.kernel.joins) })
		if later != joins {
			t.Error("something happened")
		}
		m.own(func() { m.kernel.refuse = unix.EINVAL })
		m.ok(m.Put(t.Context(), feed("b", "eth1", two)))
		m.own(func() { m.kernel.refuse = nil })
		before := time.Now()
		events := m.Subscribe()
		e, err := events.Next(t.Context())
		m.ok(err)
		if e.State != StateJoined || time.Since(before) != firstBackoff {
			t.Errorf("%+v after %v", e, time.Since(before))
		}
		m.own(func() {
			if next := m.keeper.nextWake(); !next.IsZero() {
				t.Errorf("something is due at %v", next)
			}
		})
	})
}

// After lost events the lives are checked; and again where more were lost
// meanwhile.
func TestManagerChecksLivesAfterLostEvents(t *testing.T) {
	manage(t, func(t *testing.T, m *managed) {
		m.begin(1)
		m.ok(m.Put(t.Context(), feed("a", "eth1", one)))
		m.own(func() {
			m.kernel.end(1)
			m.kernel.begin(1, "eth1")
		})
		rounds := 0
		m.watcher.expire = func(w *fakeWatcher, id ifwatch.ID) {
			rounds++
			if rounds > 1 {
				was, is := eth1(1), eth1(2)
				w.changes.Changes = []ifwatch.Change{{Index: 1, Removed: &was, Now: &is, Read: time.Now()}}
			}
			w.changes.Resynced = rounds == 1
		}
		m.watcher.say(ifwatch.Changes{Resynced: true})
		synctest.Wait()
		if diff := cmp.Diff([]ifwatch.ID{1, 1}, m.watcher.expired); diff != "" {
			t.Errorf("expired (-want +got):\n%s", diff)
		}
		if status, err := m.StatusOf(t.Context(), "a"); err != nil || status.State != StateJoined || status.Attachments[0].Instance != 2 {
			t.Errorf("%+v, %v", status, err)
		}
	})
}

// Many ask at once while interfaces come and go, and Run ends among them.
func TestManagerConcurrently(t *testing.T) {
	manage(t, func(t *testing.T, m *managed) {
		m.begin(1)
		var all sync.WaitGroup
		for n := range 50 {
			all.Go(func() {
				name := fmt.Sprint("m", n%7)
				for range 20 {
					errs := []error{
						m.Put(t.Context(), feed(name, "eth1", manyChannels(1, n)...)),
						m.Delete(t.Context(), name),
						m.Apply(t.Context(), []Membership{feed(name, "eth1", one)}),
					}
					events := m.Subscribe()
					_, err := m.Status(t.Context())
					events.Close()
					if errors.Is(errors.Join(append(errs, err)...), ErrStopped) {
						return
					}
				}
			})
		}
		all.Go(func() {
			time.Sleep(time.Second)
			m.cancel()
		})
		all.Wait()
	})
}

// A cancelled context is not waited for.
func TestManagerContextOver(t *testing.T) {
	m := newManager(newFakeKernel(), newFakeWatcher())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := m.Apply(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("apply: %v", err)
	}
}

// Very many channels come and go in reasonable time.
func TestManagerManyChannels(t *testing.T) {
	manage(t, func(t *testing.T, m *managed) {
		m.kernel.maxGroups, m.kernel.maxSources = 20, 10
		m.begin(1)
		m.ok(m.Put(t.Context(), feed("a", "eth1", manyChannels(10, 10_000)...)))
		status, err := m.StatusOf(t.Context(), "a")
		if err != nil || status.Joined != 100_000 || len(m.kernel.open_) != 500 {
			t.Errorf("%d joined on %d sockets, %v", status.Joined, len(m.kernel.open_), err)
		}
		m.ok(m.Put(t.Context(), feed("a", "eth1", one)))
	})
}

// sayEagerly tells of changes as the reading goroutine does, and not on Changed.
func (m *managed) sayEagerly(changes ...ifwatch.Change) {
	m.watcher.mu.Lock()
	m.watcher.changes.Changes = append(m.watcher.changes.Changes, changes...)
	m.watcher.mu.Unlock()
	m.observeEagerly(changes)
}

// Before the manager knows the interfaces, and where many channels are concerned,
// the reading goroutine leaves the work to the owner's. Channels elsewhere do not
// count.
func TestManagerEager(t *testing.T) {
	manage(t, func(t *testing.T, m *managed) {
		m.sayEagerly()
		if len(m.keeper.instances) != 0 {
			t.Error("observed before the first dump")
		}
		m.begin(1)
		m.ok(m.Put(t.Context(), feed("a", "eth1", one)))
		synctest.Wait()
		was, is := eth1(1), eth1(2)
		m.kernel.end(1)
		m.kernel.begin(1, "eth1")
		m.sayEagerly(ifwatch.Change{Index: 1, Removed: &was, Now: &is, Read: time.Now()})
		if n := len(m.kernel.joins); n != 2 {
			t.Errorf("%d joins when the reading goroutine went on, want 2", n)
		}
		m.ok(m.Put(t.Context(), feed("elsewhere", "eth2", manyChannels(1, mostEagerJoins+1)...)))
		last := eth1(3)
		m.kernel.end(1)
		m.kernel.begin(1, "eth1")
		m.sayEagerly(ifwatch.Change{Index: 1, Removed: &is, Now: &last, Read: time.Now()})
		if n := len(m.kernel.joins); n != 3 {
			t.Errorf("%d joins with many channels elsewhere, want 3", n)
		}
		m.ok(m.Put(t.Context(), feed("many", "eth1", manyChannels(1, mostEagerJoins)...)))
		synctest.Wait()
		m.sayEagerly(ifwatch.Change{Index: 1, Removed: &last, Read: time.Now()})
		if left := len(m.watcher.Take().Changes); left != 1 {
			t.Errorf("%d changes left to the owner, want 1", left)
		}
	})
}

// Few channels on many interfaces are many joins.
func TestManagerEagerBound(t *testing.T) {
	manage(t, func(t *testing.T, m *managed) {
		m.begin(1)
		f := feed("a", "veth*", manyChannels(1, 10)...)
		f.Rules.Attach = reattach.AttachAll
		m.ok(m.Put(t.Context(), f))
		synctest.Wait()
		var changes []ifwatch.Change
		m.own(func() {
			for n := range 64 {
				i := eth1(ifwatch.ID(100 + n))
				i.Index, i.Name = 100+n, fmt.Sprint("veth", n)
				m.kernel.begin(i.Index, i.Name)
				changes = append(changes, ifwatch.Change{Index: i.Index, Now: &i, Read: time.Now()})
			}
		})
		synctest.Wait()
		m.sayEagerly(changes...)
		if n := len(m.kernel.joins); n != 0 {
			t.Errorf("%d joins in the reading goroutine", n)
		}
		m.watcher.Take()
	})
}

// What the reading goroutine could not join is tried again.
func TestManagerEagerRetry(t *testing.T) {
	manage(t, func(t *testing.T, m *managed) {
		m.begin(1)
		m.ok(m.Put(t.Context(), feed("a", "eth2", one)))
		synctest.Wait()
		two := eth1(2)
		two.Index, two.Name = 2, "eth2"
		m.own(func() {
			m.kernel.begin(2, "eth2")
			m.kernel.refuse = unix.EINVAL
		})
		before := time.Now()
		m.sayEagerly(ifwatch.Change{Index: 2, Now: &two, Read: time.Now()})
		m.own(func() { m.kernel.refuse = nil })
		events := m.Subscribe()
		e, err := events.Next(t.Context())
		m.ok(err)
		if e.State != StateJoined || time.Since(before) != firstBackoff {
			t.Errorf("%+v after %v", e, time.Since(before))
		}
	})
}

// The memory of a manager that has ended is that of before its end, and of one
// that never began what it was given.
func TestManagerMemory(t *testing.T) {
	var stored Memory
	manage(t, func(t *testing.T, m *managed) {
		m.begin(1)
		m.ok(m.Put(t.Context(), feed("a", "eth1", one)))
		<-m.MemoryChanged()
		m.end()
		var err error
		stored, err = m.Memory(t.Context())
		if r := stored.Memberships["a"]; err != nil || len(r.Attached) != 1 || len(r.Lost) != 0 || r.Attached[0].Interface.Name != "eth1" {
			t.Errorf("%+v, %v", stored, err)
		}
	})
	never := New(Options{Memory: stored})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := never.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if memory, err := never.Memory(t.Context()); err != nil || len(memory.Memberships) != 1 {
		t.Errorf("%+v, %v", memory, err)
	}
}

// What somebody else publishes stands among the manager's own events, in its
// place; after the last of these there is nothing.
func TestPublish(t *testing.T) {
	t.Parallel()
	m := New(Options{Watch: ifwatch.Options{Within: func(f func() error) error { return f() }}})
	events := m.Subscribe()
	defer events.Close()
	then := time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)
	m.Publish(Event{Type: "stalled", Membership: "feed", Cause: "stream", Time: then, Reason: "first"})
	m.Publish(Event{Type: "resumed", Membership: "feed", Cause: "stream", Reason: "second"})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	if err := m.Put(ctx, Membership{Name: "feed", Channels: []Channel{{Source: netip.MustParseAddr("10.1.0.1"), Group: netip.MustParseAddr("232.1.1.1")}}, Rules: reattach.Rules{Selector: reattach.ByName("none0")}}); err != nil {
		t.Fatal(err)
	}
	m.Publish(Event{Type: "stalled", Reason: "third"})
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	m.Publish(Event{Type: "stalled", Reason: "after the end"})
	var all []Event
	for {
		e, err := events.Next(t.Context())
		if err != nil {
			break
		}
		all = append(all, e)
	}
	if len(all) < 4 || all[0].Reason != "first" || !all[0].Time.Equal(then) || all[1].Reason != "second" || all[1].Time.IsZero() {
		t.Fatalf("%+v", all)
	}
	for n, e := range all {
		if e.Seq != uint64(n+1) || e.Reason == "after the end" {
			t.Errorf("event %d: %+v", n+1, e)
		}
	}
	if !slices.ContainsFunc(all[2:], func(e Event) bool { return e.Reason == "third" }) || !slices.ContainsFunc(all[2:], func(e Event) bool { return e.Type == EventState }) {
		t.Errorf("%+v", all)
	}
}

// Who waits for another change waits no longer than the context allows.
func TestManagerChangesInTurn(t *testing.T) {
	manage(t, func(t *testing.T, m *managed) {
		var first sync.WaitGroup
		first.Go(func() { m.ok(m.Put(t.Context(), feed("a", "eth1", one))) }) // waits for the interfaces
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for what, err := range map[string]error{"Put": m.Put(ctx, feed("b", "eth1", two)), "SetAudit": m.SetAudit(ctx, time.Minute), "SetPace": m.SetPace(ctx, 7)} {
			if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrPutOff) {
				t.Errorf("%s: %v", what, err)
			}
		}
		m.begin(1)
		first.Wait()
	})
}

// A name is given to one of those who want a new one at once.
func TestManagerPutNew(t *testing.T) {
	manage(t, func(t *testing.T, m *managed) {
		m.begin(1)
		var all sync.WaitGroup
		var granted atomic.Int32
		for range 20 {
			all.Go(func() {
				if m.putNew(t.Context(), feed("a", "eth1", one)) == nil {
					granted.Add(1)
				}
			})
		}
		all.Wait()
		if n := granted.Load(); n != 1 {
			t.Errorf("%d have it, want 1", n)
		}
	})
}
