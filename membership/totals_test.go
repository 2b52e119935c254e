package membership

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// Every life that is lost and replaced counts once, and what was counted stays
// when its membership is removed.
func TestTotalsOfALife(t *testing.T) {
	s := joined(t, feed("a", "eth1", one, two))
	s.remove(1)
	s.create(1, mac2)
	s.deliver()
	want := newTotals()
	want.Memberships[StateJoined] = 1
	want.Channels, want.Sockets = 2, 2 // one is parked: its index has a new owner
	want.Attaches, want.Reattaches = 2, 1
	want.Detaches[CauseRemoval] = 1
	s.wantTotals(want, 1)

	if !s.keeper.delete("a", s.now) {
		t.Fatal("not deleted")
	}
	want.Memberships[StateJoined] = 0
	want.Channels, want.Sockets = 0, 1
	want.Detaches[CauseRequest] = 1
	s.wantTotals(want, 1)
}

// wantTotals compares all but how long reattachments took: only how many there
// were.
func (s *story) wantTotals(want Totals, measured uint64) {
	s.t.Helper()
	got := s.keeper.totalsNow()
	if n := got.ReattachTimes.Count(); n != measured {
		s.t.Errorf("%d reattachments were measured, want %d", n, measured)
	}
	got.ReattachTimes = want.ReattachTimes
	if diff := cmp.Diff(want, got); diff != "" {
		s.t.Errorf("totals (-want +got):\n%s", diff)
	}
}

// A refused join counts each time that it is tried.
func TestTotalsOfRefusals(t *testing.T) {
	s := newStory(t)
	s.create(1, mac1)
	s.deliver()
	s.kernel.refuse, s.kernel.refuseOnly = unix.EPERM, &two
	s.put(feed("a", "eth1", one, two))
	if got := s.keeper.totalsNow(); got.JoinErrors["EPERM"] != 1 || got.Channels != 1 || got.Memberships[StateDegraded] != 1 {
		t.Errorf("after the first try: %+v", got)
	}
	s.now = s.now.Add(firstBackoff)
	s.keeper.tick(s.now)
	if got := s.keeper.totalsNow(); got.JoinErrors["EPERM"] != 2 {
		t.Errorf("after the second try: %+v", got)
	}
}

func TestErrnoName(t *testing.T) {
	for want, err := range map[string]error{
		"EPERM":    fmt.Errorf("join: %w", unix.EPERM),
		"ENOBUFS":  &net.OpError{Op: "set", Err: unix.ENOBUFS},
		OtherErrno: errors.New("closed"),
	} {
		if got := errnoName(err); got != want {
			t.Errorf("%v: %s, want %s", err, got, want)
		}
	}
	if got := errnoName(syscall.Errno(9999)); got != OtherErrno {
		t.Errorf("an errno without a name: %s", got)
	}
}

func TestHistogram(t *testing.T) {
	h := newHistogram()
	last := bounds[len(bounds)-1]
	for _, d := range []time.Duration{0, bounds[0], bounds[0] + 1, last, last + 1, time.Hour} {
		h.observe(d)
	}
	counts := make([]uint64, len(bounds)+1)
	counts[0], counts[1], counts[len(bounds)-1], counts[len(bounds)] = 2, 1, 1, 2
	sum := 2*bounds[0] + 1 + 2*last + 1 + time.Hour
	if diff := cmp.Diff(Histogram{Bounds: bounds, Counts: counts, Sum: sum}, h); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	h.add(h)
	h.add(Histogram{})
	if h.Count() != 12 || h.Sum != 2*sum {
		t.Errorf("twice: %d of %s", h.Count(), h.Sum)
	}
}

// What is returned shares nothing with what goes on counting.
func TestTotalsAreTheCallers(t *testing.T) {
	manage(t, func(t *testing.T, m *managed) {
		m.watcher.links.Store(7)
		m.begin(1)
		m.ok(m.Put(t.Context(), feed("a", "eth1", one)))
		first, err := m.Totals(t.Context())
		m.ok(err)
		if first.Memberships[StateJoined] != 1 || first.Channels != 1 || first.Sockets != 1 || first.Netlink.Links != 7 {
			t.Errorf("%+v", first)
		}
		first.Detaches[CauseRequest], first.Memberships[StateJoined], first.JoinErrors["EPERM"] = 100, 100, 100
		first.Reannounces[CauseRequest], first.ReattachTimes.Counts[0] = 100, 100
		m.ok(m.Delete(t.Context(), "a"))
		second, err := m.Totals(t.Context())
		m.ok(err)
		if second.Detaches[CauseRequest] != 1 || second.Memberships[StateJoined] != 0 || second.JoinErrors["EPERM"] != 0 ||
			second.Reannounces[CauseRequest] != 0 || second.ReattachTimes.Count() != 0 {
			t.Errorf("%+v", second)
		}
		m.end()
		if _, err := m.Totals(t.Context()); err != ErrStopped {
			t.Errorf("after the end: %v", err)
		}
	})
}

// What an engine counted counts on when it is no longer there.
func TestTotalsOfEndedEngines(t *testing.T) {
	manage(t, func(t *testing.T, m *managed) {
		m.begin(1)
		m.ok(m.Put(t.Context(), feed("a", "eth1", one)))
		ended := newTotals()
		ended.Attaches, ended.Detaches[CauseNamespace], ended.Netlink.Dumps = 5, 4, 3
		e := newEngine(newKeeper(m.kernel, m.watcher.Expire, func(Event) {}))
		e.lastTotals = ended
		close(e.stopped)
		want := func(when string) {
			t.Helper()
			got, err := m.Totals(t.Context())
			m.ok(err)
			if got.Attaches != 6 || got.Detaches[CauseNamespace] != 4 || got.Netlink.Dumps != 3 {
				t.Errorf("%s: %+v", when, got)
			}
		}
		m.mu.Lock()
		e.path, e.stop = "/ns", func() {}
		m.engines[e.path] = e
		m.mu.Unlock()
		want("it has stopped, and is still among them")
		m.unwatch = func() {}
		m.endIdle(e, 0)
		want("it is no longer among them")
	})
}

// A stuck owner costs whoever asks no more than his patience.
func TestTotalsOfAStuckOwner(t *testing.T) {
	manage(t, func(t *testing.T, m *managed) {
		m.begin(1)
		free := make(chan struct{})
		go func() { _ = m.do(context.Background(), func() { <-free }) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := m.Totals(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		close(free)
	})
}

// What is put off because a life has ended unseen is measured when that is
// told, though nothing was joined.
func TestTotalsOfAReattachmentPutOff(t *testing.T) {
	s := joined(t, feed("a", "eth1", one))
	s.remove(1)
	s.deliver()
	s.create(1, mac2)
	s.kernel.end(1)
	s.deliver()
	if got := s.keeper.totalsNow(); got.Reattaches != 1 || got.ReattachTimes.Count() != 0 || got.Channels != 0 {
		t.Errorf("while it is put off: %+v", got)
	}
	delete(s.truth, 1)
	s.event(1)
	s.deliver()
	if got := s.keeper.totalsNow(); got.Reattaches != 1 || got.ReattachTimes.Count() != 1 || got.Detaches[CauseRemoval] != 2 {
		t.Errorf("when its end was told: %+v", got)
	}
}

func TestTotalsOfRepairsAndAnnouncements(t *testing.T) {
	w := joinedWorld(one, two)
	w.kernel.life(1, ifwatch.IPv4).rob(one)
	w.kernel.life(1, ifwatch.IPv4).rob(two)
	w.later(time.Minute)
	if got := w.keeper.totalsNow(); got.Repairs != 2 || got.Channels != 2 || got.Attaches != 1 {
		t.Errorf("after a theft of two channels: %+v", got)
	}
	for range 2 {
		w.keeper.reannounce(w.keeper.members["a"], w.now)
	}
	if got := w.keeper.totalsNow(); got.Reannounces[CauseRequest] != 2 || got.Reannounces[CauseUp] != 0 {
		t.Errorf("announced twice: %v", got.Reannounces)
	}
}
