package membership

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/reattach"
)

// wholly is a portion that is never spent.
func wholly() *portion { return &portion{every: 1, more: func() bool { return true }} }

// oneCall is a portion of one join or leave.
func oneCall() *portion {
	left := 1
	return &portion{every: 1, more: func() bool {
		left--
		return left >= 0
	}}
}

// portioned is manage with portions of one call.
func portioned(t *testing.T, test func(t *testing.T, m *managed)) {
	t.Helper()
	manage(t, func(t *testing.T, m *managed) {
		m.begin(1)
		m.own(func() { m.keeper.newPortion = oneCall })
		test(t, m)
	})
}

// Who asks while many channels are joined gets an answer after the portion that is
// under way, each time.
func TestPortionsLetOthersHaveTheirTurn(t *testing.T) {
	const channels = 40
	portioned(t, func(t *testing.T, m *managed) {
		asked := 1 // not before it goes on with the second
		var asking sync.WaitGroup
		m.kernel.joining = func() {
			if before := m.kernel.granted; before == asked && asked < channels-1 {
				asked++
				asking.Go(func() {
					if s, err := m.StatusOf(t.Context(), "a"); err != nil || s.Joined != before+1 || s.State != StateSettling {
						t.Errorf("asked when %d were joined: %d are, %s, %v", before, s.Joined, s.State, err)
					}
				})
				synctest.Wait() // it asks by now
			}
		}
		m.ok(m.Apply(t.Context(), []Membership{feed("a", "eth1", manyChannels(1, channels)...)}))
		asking.Wait()
		if s, err := m.StatusOf(t.Context(), "a"); err != nil || s.Joined != channels || s.State != StateJoined || asked != channels-1 {
			t.Errorf("at the end, having asked until %d were: %+v, %v", asked, s, err)
		}
	})
}

// Whoever changes something waits until all of it was made.
func TestPortionsAreWaitedFor(t *testing.T) {
	many := manyChannels(1, 20)
	portioned(t, func(t *testing.T, m *managed) {
		held := func(want ...Channel) {
			t.Helper()
			m.own(func() {
				for _, c := range many {
					if got := m.kernel.life(1, ifwatch.IPv4).hears(c); got != slices.Contains(want, c) {
						t.Errorf("%s is held: %t", c, got)
					}
				}
			})
		}
		m.kernel.joining = synctest.Wait // whoever waits no longer asks before that
		m.ok(m.Put(t.Context(), feed("a", "eth1", many[:12]...)))
		m.ok(m.Put(t.Context(), feed("b", "eth1", many[10:]...)))
		held(many...)
		m.ok(m.Reannounce(t.Context(), "a"))
		if s, err := m.StatusOf(t.Context(), "a"); err != nil || s.Counters.Reannounces != 1 {
			t.Errorf("%+v, %v", s, err)
		}
		m.ok(m.Delete(t.Context(), "a"))
		held(many[10:]...)
		m.ok(m.Apply(t.Context(), []Membership{feed("b", "eth1", many[5:12]...)}))
		held(many[5:12]...)
		m.ok(m.Drain(t.Context(), "", "eth1"))
		held()
		m.ok(m.Undrain(t.Context(), "", "eth1"))
		held(many[5:12]...)
		m.ok(m.SetPace(t.Context(), 1))
		m.ok(m.Put(t.Context(), feed("b", "eth1", many...)))
		m.ok(m.SetPace(t.Context(), 0))
		held(many...)
	})
}

// An approval is waited for too.
func TestPortionsOfAnApproval(t *testing.T) {
	const channels = 20
	portioned(t, func(t *testing.T, m *managed) {
		one := feed("a", "eth1", manyChannels(1, channels)...)
		one.Rules.Policy.Kind = reattach.PolicyApprove
		m.ok(m.Put(t.Context(), one))
		was := eth1(1)
		m.watcher.say(ifwatch.Changes{Changes: []ifwatch.Change{{Index: 1, Removed: &was, Read: time.Now()}}})
		synctest.Wait()
		m.begin(2)
		synctest.Wait()
		m.kernel.joining = synctest.Wait // whoever waits no longer asks before that
		m.ok(m.Approve(t.Context(), "a", 0))
		if s, err := m.StatusOf(t.Context(), "a"); err != nil || s.Joined != channels {
			t.Errorf("%d joined, %v", s.Joined, err)
		}
	})
}

// The end of the manager ends the wait.
func TestPortionsOfAManagerThatEnds(t *testing.T) {
	portioned(t, func(t *testing.T, m *managed) {
		m.kernel.joining = func() {
			if m.kernel.granted == 5 {
				m.cancel()
			}
		}
		if err := m.Put(t.Context(), feed("a", "eth1", manyChannels(1, 20)...)); !errors.Is(err, ErrStopped) {
			t.Error(err)
		}
	})
}

// An interface that goes between two portions is torn down before the next one, and
// what was not joined there yet is no loss on the next.
func TestPortionsOfAnInterfaceThatGoes(t *testing.T) {
	portioned(t, func(t *testing.T, m *managed) {
		events := m.Subscribe()
		defer events.Close()
		was := eth1(1)
		m.kernel.joining = func() {
			if m.kernel.granted == 5 {
				m.kernel.joining = nil
				m.watcher.say(ifwatch.Changes{Changes: []ifwatch.Change{{Index: 1, Removed: &was, Read: time.Now()}}})
			}
		}
		many := manyChannels(1, 20)
		m.ok(m.Put(t.Context(), feed("a", "eth1", many...))) // nothing is left to wait for
		if m.kernel.granted != 6 || len(m.kernel.open_) != 0 {
			t.Errorf("%d joins made, %d sockets open", m.kernel.granted, len(m.kernel.open_))
		}
		m.kernel.end(1)
		m.begin(2)
		for {
			e, err := events.Next(t.Context())
			m.ok(err)
			if e.Type == EventState && e.State == StateJoined {
				break
			}
		}
		if s, err := m.StatusOf(t.Context(), "a"); err != nil || s.Joined != len(many) || s.Counters.Detaches != 1 {
			t.Errorf("%+v, %v", s, err)
		}
	})
}

// The reading goroutine does not go on with what is left for the next portion.
func TestPortionsAreNotMadeEagerly(t *testing.T) {
	w := newWorld()
	w.create(1, "")
	w.deliver()
	w.keeper.newPortion = oneCall
	w.put(feed("a", "eth1", manyChannels(1, 3)...))
	elsewhere := []ifwatch.Change{{Index: 2, Now: &ifwatch.Interface{ID: 9, Index: 2, Name: "eth2"}}}
	if !w.keeper.hasMuchToDo(elsewhere, w.keeper.nextWake(), w.now) {
		t.Error("nothing is to be done when 2 channels are left")
	}
	w.waitInLine()
	if w.keeper.hasMuchToDo(elsewhere, w.keeper.nextWake(), w.now) {
		t.Error("much is to be done when all are joined")
	}
}

// Whose context ends while what was taken is made is told so, and it is made.
func TestPortionsAreNotWaitedForBeyondAContext(t *testing.T) {
	portioned(t, func(t *testing.T, m *managed) {
		ctx, cancel := context.WithCancel(t.Context())
		told := make(chan struct{})
		m.kernel.joining = func() {
			if m.kernel.granted == 3 {
				cancel()
				<-told
			}
		}
		err := m.Put(ctx, feed("a", "eth1", manyChannels(1, 20)...))
		close(told)
		if !errors.Is(err, ErrPutOff) || !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want that it is put off, as the context is cancelled", err)
		}
		synctest.Wait()
		if s, err := m.StatusOf(t.Context(), "a"); err != nil || s.Joined != 20 {
			t.Errorf("%+v, %v", s, err)
		}
	})
}
