package monitor

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/internal/monitor/rtp"
	"github.com/ssmd-project/ssmd/membership"
)

var (
	noon    = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	channel = membership.Channel{Source: netip.MustParseAddr("10.1.0.1"), Group: netip.MustParseAddr("232.1.1.1")}
)

func at(d time.Duration) time.Time { return noon.Add(d) }

// hears has a flow count datagrams of 100 bytes that arrive at these times.
func (f *flow) hears(times ...time.Duration) (resumed bool) {
	for _, t := range times {
		resumed = f.add(100, nil, at(t), at(t)) || resumed
	}
	return resumed
}

func TestStall(t *testing.T) {
	f := newFlow("feed", channel, Settings{Port: 5001, StalledAfter: 2 * time.Second}, noon)
	if due := f.due(); !due.Equal(at(time.Second)) {
		t.Errorf("looked at %s", due)
	}
	if f.look(at(2*time.Second-1)) || f.stalled {
		t.Error("stalled too soon")
	}
	if !f.look(at(2*time.Second)) || f.look(at(3*time.Second)) {
		t.Error("not stalled once")
	}
	if !f.hears(3500*time.Millisecond) || f.hears(3600*time.Millisecond) {
		t.Error("not resumed once")
	}
	if f.look(at(5600*time.Millisecond-1)) || !f.look(at(5600*time.Millisecond)) {
		t.Error("the wait does not begin with the last datagram")
	}
	s := f.status()
	if !s.Stalled || s.Stalls != 2 || s.Datagrams != 2 || s.Bytes != 200 || !s.Since.Equal(at(5600*time.Millisecond)) {
		t.Errorf("%+v", s)
	}
}

// A stream that cannot be heard does not stall: nobody knows.
func TestNoStallUnheard(t *testing.T) {
	f := newFlow("feed", channel, Settings{Port: 5001, StalledAfter: 10 * time.Millisecond}, noon)
	f.err = errUnheard
	if due := f.due(); !due.Equal(at(time.Second)) {
		t.Errorf("tried again at %s, want after a second", due)
	}
	f.set(Settings{Port: 5001, StalledAfter: time.Second})
	for n := range 5 {
		if f.look(at(time.Duration(n) * time.Second)) {
			t.Errorf("stalled after %d s", n)
		}
	}
	f.err = nil
	if f.look(at(4500*time.Millisecond)) || !f.look(at(5*time.Second)) {
		t.Error("the wait does not begin when it is heard")
	}
}

var errUnheard = errors.New("address in use")

func TestRates(t *testing.T) {
	f := newFlow("feed", channel, Settings{Port: 5001, StalledAfter: time.Minute}, noon)
	f.hears(100*time.Millisecond, 200*time.Millisecond, 700*time.Millisecond)
	f.look(at(500 * time.Millisecond)) // the second is not over
	if s := f.status(); s.DatagramsPerSecond != 0 {
		t.Errorf("%+v", s)
	}
	f.look(at(time.Second))
	if s := f.status(); s.DatagramsPerSecond != 3 || s.BytesPerSecond != 300 || s.LongestGapSeconds != 0.5 {
		t.Errorf("%+v", s)
	}
	f.look(at(3 * time.Second)) // nothing came for 2.3 s
	if s := f.status(); s.DatagramsPerSecond != 0 || s.LongestGapSeconds != 2.3 || s.Datagrams != 3 {
		t.Errorf("%+v", s)
	}
}

// Whatever settings come, what was counted stays, and RTP is counted where it is
// asked for.
func TestSetCountsOn(t *testing.T) {
	f := newFlow("feed", channel, Settings{Port: 5001}, noon)
	f.hears(1)
	f.set(Settings{Port: 5001, RTP: true})
	f.hears(2)
	if s := f.status(); s.Datagrams != 2 || s.RTP == nil || s.RTP.Invalid != 1 {
		t.Errorf("%+v", s)
	}
	f.set(Settings{Port: 5001, RTP: true, StalledAfter: time.Second})
	if s := f.status(); s.RTP == nil || s.RTP.Invalid != 1 {
		t.Errorf("begun anew for another setting: %+v", s.RTP)
	}
	f.set(Settings{Port: 5001, RTP: true, ClockRate: 90000})
	if s := f.status(); s.RTP == nil || s.RTP.Invalid != 1 {
		t.Errorf("begun anew for another clock: %+v", s.RTP)
	}
	f.set(Settings{Port: 5001})
	if s := f.status(); s.RTP != nil || s.Datagrams != 2 {
		t.Errorf("%+v", s)
	}
}

func TestSettings(t *testing.T) {
	a := Settings{Port: 5001}
	for want, b := range map[bool][]Settings{
		true:  {{Port: 5001}, {Port: 5001, StalledAfter: DefaultStalledAfter}, a.Normalize()},
		false: {{}, {Port: 5002}, {Port: 5001, StalledAfter: 1}, {Port: 5001, RTP: true}, {Port: 5001, ClockRate: 1}, {Port: 5001, OnStall: Actions()}},
	} {
		for _, s := range b {
			if a.Equal(s) != want || s.Equal(a) != want {
				t.Errorf("%+v: %v", s, !want)
			}
		}
	}
}

// attachments of a membership, by instances.
func attachments(ids ...int) (all []membership.Attachment) {
	for _, id := range ids {
		all = append(all, membership.Attachment{Interface: "eth", Instance: ifwatch.ID(id), Index: id})
	}
	return all
}

// A flow goes on with the attachment that it has, else it takes a new one's place:
// nothing that was counted is lost while there is a place for it, no attachment
// has two flows of a channel, and there is always one.
func TestFlowsAreTaken(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var flows []*flow
		for step := range rapid.IntRange(1, 8).Draw(t, "steps") {
			ids := rapid.SliceOfNDistinct(rapid.IntRange(1, 5), 0, 3, rapid.ID).Draw(t, "attachments")
			all := attachments(ids...)
			rest := append([]*flow(nil), flows...)
			var next []*flow
			for n := range max(1, len(all)) {
				var to *membership.Attachment
				if n < len(all) {
					to = &all[n]
				}
				f := take(&rest, to, all)
				if f == nil {
					f = newFlow("feed", channel, Settings{}, noon)
				}
				if to != nil && f.at != nil && !isAt(f, *to) {
					for _, a := range all {
						if isAt(f, a) {
							t.Fatalf("step %d: a flow of %d was taken for %d, though that is there", step, a.Instance, to.Instance)
						}
					}
				}
				f.at = to
				next = append(next, f)
			}
			if len(next) >= len(flows) && len(rest) > 0 {
				t.Fatalf("step %d: %d flows are left over, of %d", step, len(rest), len(flows))
			}
			flows = next
		}
	})
}

// Looking takes a twentieth of the time at most, and is not put off without need.
func TestPacedLook(t *testing.T) {
	for _, test := range []struct{ due, took, want time.Duration }{
		{time.Second, time.Millisecond, time.Second},
		{time.Millisecond, 0, time.Millisecond},
		{time.Millisecond, 10 * time.Millisecond, 200 * time.Millisecond},
	} {
		if got := pacedLook(at(test.due), noon, test.took).Sub(noon); got != test.want {
			t.Errorf("due in %s after a look of %s: in %s, want %s", test.due, test.took, got, test.want)
		}
	}
}

// What changes of one membership is no reason to look at all.
func TestAttachHurriesNobody(t *testing.T) {
	m := New(nil)
	m.set(map[string]Target{"feed": {Settings{Port: 5001}, []membership.Channel{channel}}}, time.Now())
	m.attach("feed", nil)
	if left := time.Until(m.due); left < 500*time.Millisecond || left > time.Second {
		t.Errorf("looked at in %s, want the second's end", left)
	}
}

// The kernel's count of what was dropped wraps, and a flow has no part in what was
// dropped before it came, or after it went.
func TestDropped(t *testing.T) {
	attached := func(name string) *flow {
		f := newFlow(name, channel, Settings{}, noon)
		f.at = &membership.Attachment{Index: 3}
		return f
	}
	early, late := attached("a"), attached("b")
	s := &socket{fd: -1, flows: make(map[origin][]*flow), drops: math.MaxUint32 - 1}
	s.include(early) // nobody can be asked, and nothing changes
	s.noteDrops(3)
	s.include(late)
	s.noteDrops(4)
	s.exclude(early)
	s.noteDrops(11)
	if early.unreadNow() != 6 || late.unreadNow() != 8 {
		t.Errorf("%d and %d, want 6 and 8", early.unreadNow(), late.unreadNow())
	}
}

// Before anything is looked at every socket is read, however many have datagrams:
// what lies unread has not stalled.
func TestReadAll(t *testing.T) {
	m := New(nil)
	if err := m.open(); err != nil {
		t.Fatal(err)
	}
	defer m.end()
	const sockets = 2*len(m.ready) + 88
	var flows []*flow
	for range sockets {
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(pair[0])
		defer unix.Close(pair[1])
		f := newFlow("feed", channel, Settings{StalledAfter: time.Minute}, noon)
		flows = append(flows, f)
		m.byFD[int32(pair[0])] = &socket{fd: pair[0], flows: map[origin][]*flow{{}: {f}}}
		if err := errors.Join(m.listen(pair[0]), unix.Send(pair[1], []byte("datagram"), 0)); err != nil {
			t.Fatal(err)
		}
	}
	n, err := m.wait(0)
	if err != nil {
		t.Fatal(err)
	}
	if read, err := m.readAll(n); !read || err != nil {
		t.Fatalf("%t, %v", read, err)
	}
	for n, f := range flows {
		if f.datagrams != 1 {
			t.Fatalf("%d datagrams of socket %d are read", f.datagrams, n)
		}
	}
}

// knowing is a manager that knows every membership.
type knowing struct {
	Manager
	asked int
}

func (k *knowing) StatusOf(context.Context, string) (membership.Status, error) {
	k.asked++
	return membership.Status{}, nil
}

// Where very many memberships changed the owner, who reads meanwhile, is not asked
// for each of them.
func TestFollowMany(t *testing.T) {
	const many = 3 * namesAtOnce
	manager := &knowing{}
	m := New(manager)
	if err := m.open(); err != nil {
		t.Fatal(err)
	}
	defer m.end()
	m.names = make(map[string]struct{})
	for n := range many {
		m.names[fmt.Sprint("feed-", n)] = struct{}{}
	}
	m.soil("")
	ctx, cancel := context.WithCancel(t.Context())
	var group errgroup.Group
	group.Go(func() error { m.follow(ctx); return nil })
	turns := 0
	for turns < 3 {
		if _, err := m.wait(-1); err != nil {
			t.Fatal(err)
		}
		m.answer()
		turns++
	}
	cancel()
	_ = group.Wait()
	if manager.asked != many {
		t.Errorf("asked for %d memberships in %d turns, want %d", manager.asked, turns, many)
	}
}

// A clock rate that is told later is of what follows.
func TestClockRateLater(t *testing.T) {
	f := newFlow("feed", channel, Settings{Port: 5001, RTP: true}, noon)
	packet := make([]byte, rtp.HeaderSize)
	packet[0] = 2 << 6
	for range 3 {
		packet[3]++
		f.add(100, packet, noon, noon)
	}
	f.set(Settings{Port: 5001, RTP: true, ClockRate: 48000, StalledAfter: time.Minute})
	packet[3]++
	f.add(100, packet, noon, noon)
	if s := f.status(); s.Datagrams != 4 || s.RTP.Received != 3 || s.RTP.JitterSeconds == nil {
		t.Errorf("%+v, %+v", s, s.RTP)
	}
}

// While an interface is gone the gap grows, and it ends with the first datagram on
// the next one.
func TestGapOverAnOutage(t *testing.T) {
	m := New(nil)
	f := newFlow("feed", channel, Settings{Port: 5001, StalledAfter: time.Minute}, noon)
	f.hears(900*time.Millisecond, time.Second)
	m.move(f, nil)
	f.look(at(2 * time.Second))
	if gap := f.status().LongestGapSeconds; gap != 1 {
		t.Errorf("the gap is %g s after a second", gap)
	}
	f.hears(2700 * time.Millisecond)
	f.look(at(3 * time.Second))
	if gap := f.status().LongestGapSeconds; gap != 1.7 {
		t.Errorf("the gap was %g s, want 1.7", gap)
	}
}

// announcing is a manager that takes its time to announce.
type announcing struct {
	Manager
	begun chan struct{}
	goOn  chan struct{}
}

func (a announcing) Reannounce(ctx context.Context, _ string) error {
	a.begun <- struct{}{}
	<-a.goOn
	return nil
}

// What stalls while an announcement is under way has one of its own after it, and
// all of that have one together.
func TestActAgain(t *testing.T) {
	a := announcing{begun: make(chan struct{}, 9), goOn: make(chan struct{})}
	m := New(a)
	if err := m.open(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	m.acting, m.running = new(errgroup.Group), ctx
	ended := make(chan error, 1)
	go func() { ended <- m.work(ctx) }()
	one := &target{Target: Target{Settings: Settings{Port: 5001, OnStall: Actions()}}}
	stall := func() {
		if err := m.do(ctx, func() { m.act("feed", one) }); err != nil {
			t.Error(err)
		}
	}
	stall()
	<-a.begun
	stall()
	stall()
	a.goOn <- struct{}{}
	<-a.begun // the second, for both
	close(a.goOn)
	for acting := true; acting; {
		if err := m.do(ctx, func() { acting = one.acting }); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	m.wake()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	_ = m.acting.Wait()
	m.end()
	if len(a.begun) > 0 {
		t.Errorf("%d more announcements", len(a.begun))
	}
}

// Setting the system's clock is no gap, whichever way, and neither is what was
// stamped before that and is read after it.
func TestClockIsSet(t *testing.T) {
	for _, step := range []time.Duration{time.Hour, -time.Hour, 50 * time.Millisecond, -50 * time.Millisecond} {
		c := clock{noon}
		f := newFlow("feed", channel, Settings{Port: 5001, StalledAfter: time.Minute}, noon)
		const interval = 10 * time.Millisecond
		for n := range 100 {
			arrived, read := time.Duration(n)*interval, time.Duration(n)*interval+time.Millisecond
			stamped, wall := at(arrived), at(read)
			if n >= 50 {
				wall = wall.Add(step)
			}
			if n > 50 {
				stamped = stamped.Add(step)
			}
			f.add(100, nil, c.steady(stamped, wall, read), at(read))
		}
		f.look(at(time.Second))
		if got := f.status().LongestGapSeconds; got < interval.Seconds() || got > 2*interval.Seconds() {
			t.Errorf("set by %s: a gap of %v s", step, got)
		}
	}
}
