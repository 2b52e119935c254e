package membership

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/reattach"
)

// paced is a story at a pace of joins a second, with interfaces.
func paced(t *testing.T, perSecond int, interfaces ...int) *story {
	s := newStory(t)
	s.keeper.setPace(newPace(perSecond), s.now)
	for _, i := range interfaces {
		s.create(i, mac1)
	}
	s.deliver()
	return s
}

// turn lets time pass until somebody is due, and returns how much.
func (s *story) turn() time.Duration {
	s.t.Helper()
	next := s.keeper.nextWake()
	if next.IsZero() {
		s.t.Fatal("nothing wakes")
	}
	wait := next.Sub(s.now)
	s.later(wait)
	return wait
}

func (s *story) wantJoined(name string, want int) {
	s.t.Helper()
	if got := s.status(s.t, name).Joined; got != want {
		s.t.Errorf("%s has joined %d, want %d", name, got, want)
	}
}

// wantInOrder wants the books to be right, besides what is sound.
func (s *story) wantInOrder() {
	s.t.Helper()
	s.sound()
	if err := s.outOfLine(); err != nil {
		s.t.Error(err)
	}
}

// A tenth of a second's joins come at once, the others in portions, and the
// membership is attached, and joined, at the end.
func TestStoryPace(t *testing.T) {
	s := paced(t, 20, 1)
	s.put(feed("a", "eth1", manyChannels(1, 24)...))
	s.wantEvents("state a eth1 settling request")
	s.wantKernel("2 joins, 0 leaves")
	s.wantState("a", StateSettling, "eth1 (instance 1) matches name=eth1; 2 of 24 channels joined, the others follow at the pace of 20 joins a second, until about 1970-01-01T00:16:41.100Z")
	s.wantWake(50 * time.Millisecond)
	var took time.Duration
	for n := range 22 {
		if wait := s.turn(); wait != 50*time.Millisecond {
			t.Fatalf("waited %s", wait)
		}
		took += 50 * time.Millisecond
		s.wantJoined("a", n+3)
	}
	if took != 1100*time.Millisecond {
		t.Errorf("took %s", took)
	}
	s.wantEvents("state a eth1 settling request", "attached a eth1 request", "state a eth1 joined request")
	s.wantState("a", StateJoined, "eth1 (instance 1) matches name=eth1")
	s.wantWake(0)
	s.wantInOrder()
}

// A small membership is not kept waiting by a large one, on the same interface or
// on another.
func TestStoryPaceInTurns(t *testing.T) {
	s := paced(t, 20, 1, 2)
	s.put(feed("large", "eth1", manyChannels(1, 200)...))
	s.put(feed("same", "eth1", channel("10.9.0.1@232.9.0.1"), channel("10.9.0.1@232.9.0.2")))
	s.put(feed("other", "eth2", channel("10.9.0.1@232.9.0.1"), channel("10.9.0.1@232.9.0.2")))
	s.heard()
	for range 6 {
		s.turn()
	}
	for _, name := range []string{"same", "other"} {
		s.wantState(name, StateJoined, s.status(t, name).Reason)
		s.wantJoined(name, 2)
	}
	s.wantJoined("large", 4)
	s.wantInOrder()
}

// Another pace holds at once, none has everything joined, and a pace holds for
// what no pace had let through and was put off.
func TestStoryPaceChanged(t *testing.T) {
	s := paced(t, 1, 1, 2)
	s.put(feed("a", "eth1", manyChannels(1, 50)...))
	s.wantKernel("1 joins, 0 leaves")
	s.keeper.setPace(newPace(100), s.now)
	s.wantKernel("10 joins, 0 leaves")
	s.wantWake(50 * time.Millisecond)
	s.wantInOrder()
	s.keeper.setPace(nil, s.now)
	s.wantKernel("39 joins, 0 leaves")
	s.wantState("a", StateJoined, "eth1 (instance 1) matches name=eth1")
	s.wantWake(0)
	s.down(2)
	s.deliver()
	s.put(with(feed("six", "eth2", six, six2), func(r *reattach.Rules) { r.Require = []reattach.Requirement{} }))
	s.keeper.setPace(newPace(1), s.now)
	s.wantKernel("0 joins, 0 leaves")
	s.wantState("six", StateDegraded, "eth2 (instance 2): IPv6 channels not joined: the interface is down, and a join would make it deaf once it is up")
	s.wantWake(0) // until it is up
	s.up(2)
	s.deliver()
	s.wantKernel("1 joins, 0 leaves")
	s.turn()
	s.wantState("six", StateJoined, "eth2 (instance 2) matches name=eth2")
	s.wantInOrder()
}

// What the kernel lost is joined again at once, and announced at once.
func TestStoryPaceRepairs(t *testing.T) {
	s := paced(t, 1, 1)
	s.put(feed("a", "eth1", one, two))
	s.turn()
	s.kernelDid()
	s.put(feed("b", "eth1", manyChannels(1, 20)...))
	s.kernelDid()
	s.kernel.life(1, ifwatch.IPv4).rob(one)
	s.keeper.suspect(nil, s.now)
	s.wantKernel("2 joins, 1 leaves") // the ballast, and the channel anew
	s.wantState("a", StateJoined, "eth1 (instance 1) matches name=eth1")
	s.wantInOrder()
}

// In whatever order memberships and interfaces come and go, no span of time sees
// more joins than the pace allows.
func TestPaceBoundsEverySpan(t *testing.T) {
	s := paced(t, 30, 1, 2)
	began := s.now
	var at []time.Time
	s.after = func() {
		for len(at) < len(s.kernel.joins) {
			at = append(at, s.now)
		}
	}
	for n := range 6 {
		s.put(with(feed(fmt.Sprint("m", n), "eth[12]", manyChannels(1, 40+n)...), func(r *reattach.Rules) { r.Attach = reattach.AttachAll }))
		s.after()
	}
	for n := 0; n < 400 && !s.keeper.nextWake().IsZero(); n++ {
		s.turn()
		switch n % 50 {
		case 5:
			s.kernel.refuse = unix.ENOMEM
		case 9:
			s.kernel.refuse = nil
		case 10:
			s.remove(1)
			s.deliver()
		case 30:
			s.create(1, mac1)
			s.deliver()
		}
	}
	if len(at) < 60 {
		t.Fatalf("%d joins", len(at))
	}
	for from := range at {
		for to := from; to < len(at); to++ {
			if n, most := to-from+1, 3+30*at[to].Sub(at[from]).Seconds(); float64(n) > most+0.001 {
				t.Fatalf("%d joins from %s on in %s", n, at[from].Sub(began), at[to].Sub(at[from]))
			}
		}
	}
}

// The namespaces of a manager share the pace, and take turns.
func TestStoryPaceOfTwoNamespaces(t *testing.T) {
	a, b := paced(t, 20, 1), paced(t, 20, 1)
	b.keeper.line.pace = a.keeper.line.pace
	a.put(feed("a", "eth1", manyChannels(1, 100)...))
	b.put(feed("b", "eth1", manyChannels(1, 5)...))
	if reason := b.status(t, "b").Reason; !strings.Contains(reason, "0 of 5 channels joined") || !strings.HasSuffix(reason, "16:45.150Z") {
		t.Errorf("%s", reason) // 98 and 5 in line
	}
	for range 11 {
		for _, s := range []*story{a, b} {
			s.later(50 * time.Millisecond)
		}
	}
	b.wantState("b", StateJoined, "eth1 (instance 1) matches name=eth1")
	if joined := a.status(t, "a").Joined; joined < 7 || joined > 9 {
		t.Errorf("a has joined %d", joined)
	}
}

// The owner serves whoever asks while others wait in line, and wakes by itself.
func TestManagerPace(t *testing.T) {
	manage(t, func(t *testing.T, m *managed) {
		ctx := t.Context()
		m.begin(1)
		m.ok(m.SetPace(ctx, 10))
		began := time.Now()
		m.ok(m.Apply(ctx, []Membership{feed("a", "eth1", manyChannels(1, 100)...)}))
		if took := time.Since(began); took != 0 {
			t.Errorf("Apply waited %s for its turns", took)
		}
		for status := (Status{}); status.State != StateJoined; time.Sleep(10 * time.Millisecond) {
			var err error
			status, err = m.StatusOf(ctx, "a")
			m.ok(err)
			if most := 1 + int(time.Since(began).Seconds()*10); status.Joined > most {
				t.Fatalf("%d joined after %s", status.Joined, time.Since(began))
			}
			if time.Since(began) > 10*time.Second {
				t.Fatalf("%+v after %s", status, time.Since(began))
			}
		}
		m.ok(m.Put(ctx, feed("b", "eth1", manyChannels(2, 100)...)))
		m.ok(m.SetPace(ctx, 0))
		status, err := m.StatusOf(ctx, "b")
		m.ok(err)
		if status.State != StateJoined {
			t.Errorf("without a pace: %+v", status)
		}
	})
}
