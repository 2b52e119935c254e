package membership

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// fakeHolder refuses what it is told to and notes what is asked of it.
type fakeHolder struct {
	refuse map[Channel]error
	full   bool
	group  netip.Addr // that it has
	did    []string
}

func (h *fakeHolder) takeInherited(Channel) *sourceSet { return nil }

func (h *fakeHolder) join(c Channel) (*sourceSet, error) {
	h.did = append(h.did, fmt.Sprint("join ", c.Group))
	return nil, h.refuse[c]
}

func (h *fakeHolder) joinMore(*sourceSet, Channel, []Channel) int { return 0 }

func (h *fakeHolder) leave(c Channel, _ *sourceSet) error {
	h.did = append(h.did, fmt.Sprint("leave ", c.Group))
	return h.refuse[c]
}

func (h *fakeHolder) rejoin(c Channel, _ *sourceSet) (time.Duration, error) {
	h.did = append(h.did, fmt.Sprint("rejoin ", c.Group))
	return 0, h.refuse[c]
}

func (h *fakeHolder) free(_ *sourceSet, channels []Channel) error {
	for _, c := range channels {
		_ = h.leave(c, nil)
	}
	return nil
}

func (h *fakeHolder) warmUp() { h.did = append(h.did, "warm up") }

func (h *fakeHolder) expect(int)                {}
func (h *fakeHolder) isFull() bool              { return h.full }
func (h *fakeHolder) has(group netip.Addr) bool { return group == h.group }
func (h *fakeHolder) openSockets() int          { return 0 }
func (h *fakeHolder) release()                  { h.did = append(h.did, "release") }
func (h *fakeHolder) retire()                   { h.did = append(h.did, "retire") }
func (h *fakeHolder) abandon()                  { h.did = append(h.did, "abandon") }

func newTestPool() (*pool, *fakeHolder) {
	h := &fakeHolder{refuse: make(map[Channel]error)}
	p := newPool(poolKey{family: ifwatch.IPv4}, h)
	p.users = 1
	return p, h
}

func (h *fakeHolder) want(t *testing.T, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, h.did); diff != "" {
		t.Errorf("did (-want +got):\n%s", diff)
	}
	h.did = nil
}

var epoch = time.Unix(0, 0)

func TestPoolJoinsOnceAndLeavesWithTheLastWish(t *testing.T) {
	p, h := newTestPool()
	p.wish([]Channel{one, two})
	p.wish([]Channel{two})
	p.flush(epoch, wholly())
	h.want(t, "join 232.0.0.1", "join 232.0.0.2")
	p.unwish([]Channel{one, two})
	p.flush(epoch, wholly())
	h.want(t, "leave 232.0.0.1")
	p.wish([]Channel{two})
	p.unwish([]Channel{two})
	p.flush(epoch, wholly())
	h.want(t)
	p.unwish([]Channel{two})
	p.flush(epoch, wholly())
	h.want(t, "release")
	p.wish([]Channel{two})
	p.flush(epoch, wholly())
	h.want(t, "join 232.0.0.2")
}

// Between two flushes only the sum counts.
func TestPoolUnwishAndWishAgain(t *testing.T) {
	p, h := newTestPool()
	p.wish([]Channel{one})
	p.flush(epoch, wholly())
	h.did = nil
	p.unwish([]Channel{one})
	p.wish([]Channel{one})
	if out := p.flush(epoch, wholly()); out.touched {
		t.Error("touched")
	}
	h.want(t)
	p.wish([]Channel{two})
	p.unwish([]Channel{two})
	p.flush(epoch, wholly())
	h.want(t)
	if n := p.count([]Channel{one}); n.joined != 1 || n.refused != 0 || p.entries.len() != 1 {
		t.Errorf("%d joined, %d refused, %d entries", n.joined, n.refused, p.entries.len())
	}
}

func TestPoolLeavesNewestFirst(t *testing.T) {
	p, h := newTestPool()
	many := manyChannels(1, 4)
	p.wish(many)
	p.flush(epoch, wholly())
	h.did = nil
	p.unwish(many[:3])
	p.flush(epoch, wholly())
	h.want(t, "leave 232.1.0.2", "leave 232.1.0.1", "leave 232.1.0.0")
}

// What is left makes room for what is joined, where there is none and some is
// needed.
func TestPoolLeavesFirstWhereThereIsNoRoom(t *testing.T) {
	joinsFirst, leavesFirst := []string{"join 232.0.0.2", "leave 232.0.0.1"}, []string{"leave 232.0.0.1", "join 232.0.0.2"}
	for _, c := range []struct {
		full  bool
		group netip.Addr
		want  []string
	}{{false, netip.Addr{}, joinsFirst}, {true, netip.Addr{}, leavesFirst}, {true, two.Group, joinsFirst}} {
		p, h := newTestPool()
		p.wish([]Channel{one})
		p.flush(epoch, wholly())
		h.did, h.full, h.group = nil, c.full, c.group
		p.wish([]Channel{two})
		p.unwish([]Channel{one})
		p.flush(epoch, wholly())
		h.want(t, c.want...)
	}
}

func TestPoolRetrySchedule(t *testing.T) {
	p, h := newTestPool()
	h.refuse[one] = unix.EINVAL
	p.wish([]Channel{one, two})
	now := epoch
	var waits []time.Duration
	for range 12 {
		if !p.due(now, wholly()) {
			t.Fatalf("not due at %v", now.Sub(epoch))
		}
		p.flush(now, wholly())
		waits = append(waits, p.retry.Sub(now))
		if p.due(p.retry.Add(-1), wholly()) {
			t.Error("due too early")
		}
		now = p.retry
	}
	const ms, s = time.Millisecond, time.Second
	want := []time.Duration{100 * ms, 200 * ms, 400 * ms, 800 * ms, 1600 * ms, 3200 * ms, 6400 * ms, 12800 * ms, 25600 * ms, 30 * s, 30 * s, 30 * s}
	if diff := cmp.Diff(want, waits); diff != "" {
		t.Errorf("waits (-want +got):\n%s", diff)
	}
	if n := len(h.did); n != 13 { // two is joined once
		t.Errorf("%d joins", n)
	}
	delete(h.refuse, one)
	p.flush(now, wholly())
	if !p.retry.IsZero() || p.backoff != 0 || p.due(now.Add(time.Hour), wholly()) {
		t.Errorf("something due at %v after success", p.retry)
	}
}

// Whoever adds channels that are joined puts off no retry of others.
func TestPoolJoinsPutNoRetryOff(t *testing.T) {
	p, h := newTestPool()
	h.refuse[one] = unix.EINVAL
	p.wish([]Channel{one})
	p.flush(epoch, wholly())
	for n, c := range manyChannels(1, 9) {
		p.wish([]Channel{c})
		p.flush(epoch.Add(time.Duration(n)*10*time.Millisecond), wholly())
	}
	if want := epoch.Add(firstBackoff); !p.retry.Equal(want) {
		t.Errorf("retry at %v, want %v", p.retry, want)
	}
}

// A channel refused for the first time is tried again soon, and with it those
// that were refused long ago.
func TestPoolNewRefusalIsTriedSoon(t *testing.T) {
	p, h := newTestPool()
	h.refuse[one], h.refuse[two] = unix.EINVAL, unix.EINVAL
	p.wish([]Channel{one})
	now := epoch
	for range 10 {
		p.flush(now, wholly())
		now = p.retry
	}
	now = now.Add(-time.Second)
	p.wish([]Channel{two})
	p.flush(now, wholly())
	if want := now.Add(firstBackoff); !p.retry.Equal(want) {
		t.Errorf("retry at %v, want %v", p.retry, want)
	}
}

// Nothing is due once the refused channels are wished for no longer.
func TestPoolRefusedIsUnwished(t *testing.T) {
	for name, flushAt := range map[string]time.Time{"before the retry": epoch, "with the retry": epoch.Add(time.Second)} {
		p, h := newTestPool()
		h.refuse[one] = unix.EINVAL
		p.wish([]Channel{one, two})
		p.flush(epoch, wholly())
		h.did = nil
		p.unwish([]Channel{one})
		p.flush(flushAt, wholly())
		h.want(t)
		if !p.retry.IsZero() || p.due(flushAt.Add(time.Hour), wholly()) {
			t.Errorf("%s: due at %v", name, p.retry)
		}
		if n := p.count([]Channel{two}); n.joined != 1 || n.refused != 0 {
			t.Errorf("%s: %d joined, %d refused", name, n.joined, n.refused)
		}
	}
}

// A refusal that concerns all ends the round.
func TestPoolGivesUpTheRound(t *testing.T) {
	p, h := newTestPool()
	h.refuse[one] = unix.EMFILE
	p.wish([]Channel{one, two})
	out := p.flush(epoch, wholly())
	h.want(t, "join 232.0.0.1")
	if diff := cmp.Diff(outcome{touched: true, refused: 1, err: unix.EMFILE, joinErrors: map[string]uint64{"EMFILE": 1}}, out, cmp.AllowUnexported(outcome{}), cmp.Comparer(sameError)); diff != "" {
		t.Errorf("outcome (-want +got):\n%s", diff)
	}
	if n := p.count([]Channel{one, two}); n.joined != 0 || n.refused != 2 || n.first.channel != one {
		t.Errorf("%d joined, %d refused, first %v", n.joined, n.refused, n.first)
	}
	delete(h.refuse, one)
	p.flush(p.retry, wholly())
	h.want(t, "join 232.0.0.1", "join 232.0.0.2")
}

func sameError(a, b error) bool { return a == b }

func TestConcernsAll(t *testing.T) {
	for err, want := range map[error]bool{
		unix.ENODEV: true, unix.EMFILE: true, unix.ENFILE: true, unix.EPERM: true, unix.EAFNOSUPPORT: true, errEnded: true, unix.EBADF: true,
		unix.ENOBUFS: false, unix.ENOMEM: false, unix.EINVAL: false, unix.EADDRNOTAVAIL: false, errStaleEntry: false,
	} {
		if got := concernsAll(fmt.Errorf("wrapped: %w", err)); got != want {
			t.Errorf("%v: %t", err, got)
		}
	}
}

func TestPoolPostpone(t *testing.T) {
	p, h := newTestPool()
	p.wish([]Channel{one})
	var waits []time.Duration
	now := epoch
	for range 9 {
		p.postpone(now)
		waits = append(waits, p.retry.Sub(now))
		if now = p.retry; !p.due(now, wholly()) {
			t.Error("not due")
		}
	}
	const ms = time.Millisecond
	if diff := cmp.Diff([]time.Duration{ms, 2 * ms, 4 * ms, 8 * ms, 16 * ms, 32 * ms, 64 * ms, 100 * ms, 100 * ms}, waits); diff != "" {
		t.Errorf("waits (-want +got):\n%s", diff)
	}
	h.want(t)
	p.flush(now, wholly())
	h.want(t, "join 232.0.0.1")
	if !p.retry.IsZero() || p.wait != 0 {
		t.Errorf("retry at %v after %v", p.retry, p.wait)
	}
}
