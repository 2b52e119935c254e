package membership

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// tries counts the joins that the kernel refused so far.
func (s *story) tries() uint64 {
	n := uint64(0)
	for _, count := range s.keeper.totals.JoinErrors {
		n += count
	}
	return n
}

// A refusal that concerns all is met once, and told of once: the others stay in
// line, and one channel is tried again, each time later. What that pool does not
// get is for the others.
func TestStoryPaceRefusedForAll(t *testing.T) {
	s := paced(t, 20, 1)
	all := manyChannels(1, 40)
	s.kernel.refuseOpen = unix.EMFILE
	s.put(feed("a", "eth1", all[:20]...))
	s.put(feed("b", "eth1", all[20:]...))
	s.wantEvents("error a eth1 kernel", "state a eth1 degraded kernel", "state b eth1 degraded kernel")
	for _, name := range []string{"a", "b"} {
		s.wantState(name, StateDegraded, "eth1 (instance 1): 20 of 20 channels not joined: 10.1.0.1@232.1.0.0: open socket: too many open files (EMFILE)")
	}
	began, at := s.now, []time.Duration{0}
	for s.now.Sub(began) < time.Minute {
		s.turn()
		if s.tries() > uint64(len(at)) {
			at = append(at, s.now.Sub(began))
		}
		s.wantInOrder()
	}
	const ms = time.Millisecond
	want := []time.Duration{0, 100 * ms, 300 * ms, 700 * ms, 1500 * ms, 3100 * ms, 6300 * ms, 12700 * ms, 25500 * ms, 51100 * ms, 81100 * ms}
	if diff := cmp.Diff(want, at); diff != "" || s.tries() != uint64(len(at)) {
		t.Errorf("%d tries, (-want +got):\n%s", s.tries(), diff)
	}
	s.wantEvents()
	s.wantCounters("a", Counters{Attaches: 1, Errors: 1})
	s.wantCounters("b", Counters{Attaches: 1})
	s.put(on(feed("own", "eth1", manyChannels(1, 3)...), s.caller))
	began = s.now
	for s.status(t, "own").State != StateJoined {
		s.turn()
	}
	if took := s.now.Sub(began); took > 100*time.Millisecond {
		t.Errorf("what is not refused took %s", took)
	}
}

// Once the kernel takes one again all follow, at the pace.
func TestStoryPaceRefusedForAWhile(t *testing.T) {
	s := paced(t, 20, 1)
	s.kernel.refuse = unix.ENOMEM
	s.put(feed("a", "eth1", manyChannels(1, 30)...))
	s.put(feed("b", "eth1", manyChannels(1, 1)...))
	s.turn()
	s.turn()
	s.kernel.refuse = nil
	s.kernelDid()
	s.turn()
	began := s.now
	s.wantKernel("1 joins, 0 leaves")
	if got := s.status(t, "a"); got.State != StateSettling || !strings.Contains(got.Reason, "1 of 30 channels joined") {
		t.Errorf("%+v", got)
	}
	s.wantState("b", StateJoined, "eth1 (instance 1) matches name=eth1") // its channel is the one that was tried
	for s.status(t, "a").State != StateJoined {
		s.turn()
		s.wantInOrder()
	}
	if took := s.now.Sub(began); took > 1500*time.Millisecond {
		t.Errorf("took %s", took)
	}
	s.wantWake(0)
}

// What is refused for all and not wished for any more is in nobody's way.
func TestStoryPaceRefusedAndUnwished(t *testing.T) {
	s := paced(t, 20, 1)
	all := manyChannels(1, 10)
	s.kernel.refuseOpen = unix.EMFILE
	s.put(feed("a", "eth1", all...))
	s.kernel.refuseOpen = nil
	s.put(feed("a", "eth1", all[1:]...))
	for s.status(t, "a").State != StateJoined {
		if wait := s.turn(); wait > firstBackoff {
			t.Fatalf("waited %s", wait)
		}
		s.wantInOrder()
	}
}

// One channel that is refused is tried again later each time, however many others
// are joined in between.
func TestStoryPaceRefusedAgain(t *testing.T) {
	s := paced(t, 20, 1)
	all := manyChannels(1, 400)
	s.kernel.refuse, s.kernel.refuseOnly = unix.EINVAL, &all[0]
	s.put(feed("a", "eth1", all...))
	for range 200 {
		s.turn()
		s.wantInOrder()
	}
	if n := s.tries(); n < 3 || n > 8 {
		t.Errorf("%d tries in 10 seconds", n)
	}
}

// What nobody may use, since the interface is down, comes not at once later.
func TestStoryPaceNobodyMay(t *testing.T) {
	s := paced(t, 20, 1)
	s.put(feed("six", "eth1", manyChannels6(30)...))
	s.down(1)
	s.deliver()
	s.kernelDid()
	s.later(time.Minute)
	s.put(feed("nobody", "none", one)) // any step
	s.wantKernel("0 joins, 0 leaves")
	s.up(1)
	s.deliver()
	s.wantKernel("2 joins, 0 leaves")
}

// What the kernel refuses waits as ever, and is tried again at the pace.
func TestStoryPaceRefused(t *testing.T) {
	s := paced(t, 20, 1)
	s.kernel.refuse = unix.ENOMEM
	s.put(feed("a", "eth1", manyChannels(1, 6)...))
	for wait := time.Duration(0); wait < time.Second; wait = s.turn() {
		s.wantInOrder()
	}
	if got := s.status(t, "a"); got.State != StateDegraded || got.Attachments[0].Failed != 1 || got.Joined != 0 {
		t.Errorf("%+v", got)
	}
	s.kernel.refuse = nil
	s.kernelDid()
	for s.status(t, "a").State != StateJoined {
		s.turn()
		s.wantInOrder()
	}
	s.wantKernel("6 joins, 0 leaves")
	s.wantWake(0)
}

// What had its turn goes back in line also where it is an audit that meets a refusal
// which concerns all.
func TestPaceRefusedAtAnAudit(t *testing.T) {
	w := newWorld()
	w.keeper.setPace(newPace(80), w.now)
	w.portions, w.keeper.newPortion = true, oneCall
	w.create(1, "")
	w.deliver()
	beside := Channel{one.Source.Next(), one.Group}
	w.put(feed("a", "eth1", append(manyChannels(1, 8), one, beside)...)) // these two come first
	w.later(50 * time.Millisecond)
	sources := w.kernel.life(1, ifwatch.IPv4).groups[one.Group].sources
	if len(sources) != 2 {
		t.Fatalf("%d sources are joined first, want 2", len(sources))
	}
	delete(sources, one.Source)
	w.kernel.refuse = unix.EPERM
	w.keeper.suspicious, w.keeper.newPortion = true, wholly
	w.keeper.flush(w.now)
	if err := w.outOfLine(); err != nil {
		t.Error(err)
	}
}
