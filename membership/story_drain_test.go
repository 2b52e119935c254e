package membership

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/reattach"
)

func approving(m Membership) Membership {
	return with(m, func(r *reattach.Rules) { r.Policy.Kind = reattach.PolicyApprove })
}

func (s *story) wantApproval(name string, id ifwatch.ID, want string) {
	s.t.Helper()
	got := ""
	if err := s.keeper.approve(name, id, s.now); err != nil {
		got = err.Error()
	}
	if got != want {
		s.t.Errorf("approve %d: got %q, want %q", id, got, want)
	}
}

func TestStoryApprove(t *testing.T) {
	s := joined(t, approving(feed("a", "eth1", one)))
	s.wantApproval("a", 0, `membership "a": not approved: nothing awaits it, the membership is joined: eth1 (instance 1) matches name=eth1`)
	s.recreate(1, mac1)
	s.deliver()
	s.wantEvents("detached a eth1 removal", "state a held removal")
	s.wantState("a", StateHeld, "eth1 (instance 2): approval: wanted somebody to approve instance 2, found approval wanted")
	s.wantApproval("a", 1, `membership "a": not approved: instance 1 does not await it, want eth1 (instance 2)`)
	s.wantApproval("b", 2, `membership "b": no such membership`)
	s.wantEvents()
	s.wantApproval("a", 2, "")
	s.wantEvents("reattached a eth1 request", "state a eth1 joined request")
	s.wantApproval("a", 2, "") // nothing changes
	s.wantEvents()
	s.recreate(1, mac1) // another life, another approval
	s.deliver()
	s.wantEvents("detached a eth1 removal", "state a held removal")
	s.wantApproval("a", 0, "")
	s.wantEvents("reattached a eth1 request", "state a eth1 joined request")
	s.sound()
}

// What is approved is the instance that was shown, whatever it is like by the
// time that it is accepted, and in that membership only.
func TestStoryApproveAmongSeveral(t *testing.T) {
	s := joined(t, approving(feed("a", "eth*", one)))
	s.put(approving(feed("b", "eth*", two)))
	s.remove(1)
	s.create(2, mac1)
	s.create(3, mac1)
	s.deliver()
	s.heard()
	s.wantApproval("a", 0, `membership "a": not approved: several instances await it, want one of eth2 (instance 2), eth3 (instance 3)`)
	s.down(2)
	s.down(3)
	s.deliver()
	s.wantApproval("a", 3, `membership "a": not approved: nothing awaits it, the membership is detached: eth2 (instance 2): require up: wanted up, found down; eth3 (instance 3): require up: wanted up, found down`)
	s.up(3)
	s.deliver()
	s.wantApproval("a", 3, "")
	s.wantState("a", StateJoined, "eth3 (instance 3) matches name=eth3")
	s.wantState("b", StateHeld, "eth2 (instance 2): require up: wanted up, found down; eth3 (instance 3): approval: wanted somebody to approve instance 3, found approval wanted")
}

// An instance that was left and lives on is no new one.
func TestStoryApproveNotTheSameInstance(t *testing.T) {
	s := joined(t, with(approving(feed("a", "eth1", one)), func(r *reattach.Rules) { r.OnChange = reattach.OnChangeLeave }))
	s.rename(1, "wan1")
	s.deliver()
	s.rename(1, "eth1")
	s.heard()
	s.deliver()
	s.wantEvents("reattached a eth1 appeared", "state a eth1 joined appeared")
}

func (s *story) drain(name string) *instance {
	s.t.Helper()
	i, err := s.keeper.drain(name, s.now)
	if err != nil {
		s.t.Fatal(err)
	}
	return i
}

func TestStoryDrain(t *testing.T) {
	s := joined(t, feed("a", "eth1", one, six))
	s.later(time.Second)
	s.put(feed("b", "eth1", two))
	s.heard()
	s.kernelDid()
	i := s.drain("eth1")
	s.wantEvents("detached b eth1 drain", "detached a eth1 drain", "state b held drain", "state a held drain")
	s.wantState("a", StateHeld, "eth1 (instance 1): drain: wanted an interface that is not drained, found drained")
	s.wantKernel("0 joins, 3 leaves")
	if s.hears(1, one) || s.hears(1, two) || s.hears(1, six) {
		t.Error("not all was left")
	}
	if quiet := i.quietFrom(s.now); !quiet.Equal(s.now.Add(reportTime)) || !i.quietFrom(s.now.Add(time.Hour)).Equal(quiet) {
		t.Errorf("quiet from %s on", quiet)
	}
	s.drain("eth1")            // nothing changes
	s.put(feed("c", "*", two)) // nor may anybody else join there
	s.down(1)
	s.up(1)
	s.rename(1, "wan1")
	s.deliver()
	s.later(time.Hour)
	s.wantKernel("0 joins, 0 leaves")
	if all := s.keeper.interfaces(); !all[0].Drained {
		t.Errorf("%+v", all)
	}
	s.heard()
	if err := s.keeper.undrain("wan1", s.now); err != nil {
		t.Fatal(err)
	}
	s.wantEvents("attached c wan1 request", "state c wan1 joined request")
	s.rename(1, "eth1")
	s.deliver()
	for _, name := range []string{"a", "b", "c"} {
		if got := s.status(t, name); got.State != StateJoined {
			t.Errorf("%+v", got)
		}
	}
	s.heard()
	if err := s.keeper.undrain("eth1", s.now); err != nil { // nothing changes
		t.Fatal(err)
	}
	s.wantEvents()
	s.sound()
}

// A later instance of the same name is not drained.
func TestStoryDrainEndsWithTheInstance(t *testing.T) {
	s := joined(t, feed("a", "eth1", one))
	s.drain("eth1")
	s.heard()
	s.recreate(1, mac1)
	s.deliver()
	s.wantEvents("reattached a eth1 appeared", "state a eth1 joined appeared")
}

// Who loses his place may get another at once.
func TestStoryDrainElsewhere(t *testing.T) {
	s := joined(t, feed("a", "eth*", one))
	s.create(2, mac1)
	s.deliver()
	s.heard()
	s.drain("eth1")
	s.wantEvents("detached a eth1 drain", "reattached a eth2 request", "state a eth2 joined request")
	if s.hears(1, one) || !s.hears(2, one) {
		t.Error("not moved")
	}
	for _, err := range []error{second(s.keeper.drain("eth9", s.now)), s.keeper.undrain("eth9", s.now)} {
		if !errors.Is(err, ErrNoInterface) || err.Error() != `interface "eth9": no such interface` {
			t.Error(err)
		}
	}
	s.alter(2, func(i *ifwatch.Interface) { i.AltNames = []string{"eth1", "uplink"} })
	s.deliver()
	if i := s.drain("eth1"); i.now.Index != 1 {
		t.Errorf("drained %s: the name comes first", i.now)
	}
	if i := s.drain("uplink"); i.now.Index != 2 || !slices.Equal(i.now.AltNames, []string{"eth1", "uplink"}) {
		t.Errorf("drained %s", i.now)
	}
}

func second[A, B any](_ A, b B) B { return b }

// Where nothing was joined there is nothing to wait for.
func TestStoryDrainNothingJoined(t *testing.T) {
	s := newStory(t)
	s.create(1, mac1)
	s.deliver()
	if quiet := s.drain("eth1").quietFrom(s.now); !quiet.IsZero() {
		t.Errorf("quiet from %s on", quiet)
	}
}

func TestManagerDrain(t *testing.T) {
	manage(t, func(t *testing.T, m *managed) {
		ctx := t.Context()
		m.begin(1)
		m.ok(m.Put(ctx, feed("a", "eth1", one)))
		began := time.Now()
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if err := m.Drain(short, "", "eth1"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("given up: %v", err)
		}
		status, err := m.StatusOf(ctx, "a")
		m.ok(err)
		if status.State != StateHeld {
			t.Errorf("%+v", status)
		}
		m.ok(m.Drain(ctx, "", "eth1")) // waits for the rest
		if took := time.Since(began); took != reportTime {
			t.Errorf("took %s", took)
		}
		m.ok(m.Drain(ctx, "", "eth1"))
		m.ok(m.Undrain(ctx, "", "eth1"))
		if took := time.Since(began); took != reportTime {
			t.Errorf("took %s with what has nothing to wait for", took)
		}
		for _, err := range []error{m.Drain(ctx, "blue", "eth1"), m.Undrain(ctx, "blue", "eth1")} {
			if !errors.Is(err, ErrNoInterface) || err.Error() != `interface "eth1": no such interface: no membership is in the network namespace "blue"` {
				t.Error(err)
			}
		}
		for _, err := range []error{m.Drain(ctx, "", "eth9"), m.Undrain(ctx, "", "eth9")} {
			if !errors.Is(err, ErrNoInterface) {
				t.Error(err)
			}
		}
	})
}

// The owner serves others while a drain waits, and a drain ends with it.
func TestManagerDrainHoldsNobodyUp(t *testing.T) {
	manage(t, func(t *testing.T, m *managed) {
		ctx := t.Context()
		m.begin(1)
		m.ok(m.Put(ctx, feed("a", "eth1", one)))
		drained := make(chan error, 1)
		go func() { drained <- m.Drain(ctx, "", "eth1") }()
		began := time.Now()
		for {
			status, err := m.StatusOf(ctx, "a")
			m.ok(err)
			if status.State == StateHeld {
				break
			}
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("took %s", took)
		}
		m.end()
		if err := <-drained; !errors.Is(err, ErrStopped) {
			t.Errorf("drain: %v", err)
		}
	})
}

// The timer is set for what settles, also where the goroutine that reads from
// the kernel did the work.
func TestManagerSettlesAndApproves(t *testing.T) {
	manage(t, func(t *testing.T, m *managed) {
		ctx := t.Context()
		m.begin(1)
		m.ok(m.Put(ctx, settling(feed("a", "eth1", one), time.Second)))
		began, events := time.Now(), m.Subscribe()
		defer events.Close()
		for {
			e, err := events.Next(ctx)
			m.ok(err)
			if e.Type == EventAttached {
				break
			}
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("joined after %s", took)
		}
		if err := m.Approve(ctx, "a", 0); !errors.Is(err, ErrNotApproved) {
			t.Errorf("approve: %v", err)
		}
		if err := m.Approve(ctx, "b", 0); !errors.Is(err, ErrNotFound) {
			t.Errorf("approve: %v", err)
		}
	})
}
