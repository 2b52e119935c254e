package testnet

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"
)

var someGroups = []netip.AddrPort{
	data4, netip.MustParseAddrPort("232.1.1.2:5000"), netip.MustParseAddrPort("232.1.1.3:5000"),
}

// A member hears its channel of either family, and goes deaf with its
// interface, while the sender goes on over the new one.
func TestTrafficAcrossLives(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		to     netip.AddrPort
		source netip.Addr
	}{"v4": {data4, Source4}, "v6": {data6, Source6}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, n := patience(t), network(t)
			s := sender(t, n, c.to)
			plain := ReceiverConfig{Listen: c.to, Join: "eth0", Source: c.source, OwnOnly: true}
			old := receiver(t, n.Near, plain)
			hears := receiver(t, n.Near, ReceiverConfig{Listen: c.to})
			ok(t, old.WaitNew(ctx, 3))
			ok(t, hears.WaitNew(ctx, 3))
			if st := old.Stats(); st.Last > s.Sent(c.to)+1 || st.Count == 0 || st.Lost != 0 {
				t.Errorf("heard %+v of %d", st, s.Sent(c.to))
			}
			ok(t, n.Recreate("eth0", Veth{}))
			deaf := time.Now()
			fresh := receiver(t, n.Near, plain)
			ok(t, fresh.WaitNew(ctx, 10))
			ok(t, hears.WaitNew(ctx, 10))
			if st := old.Stats(); c.to.Addr().Is4() && st.Sent.After(deaf) {
				t.Errorf("the old member heard what was sent at %v, after %v", st.Sent, deaf)
			}
			if err := s.Err(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSenderWaitsForItsInterface(t *testing.T) {
	t.Parallel()
	ctx, n := patience(t), network(t)
	s := sender(t, n, data4)
	r := receiver(t, n.Near, ReceiverConfig{Listen: data4, Join: "eth0", Source: Source4})
	ok(t, r.WaitNew(ctx, 1))
	ok(t, n.Cut("eth0"))
	ok(t, Eventually(ctx, func() error {
		if s.Err() == nil {
			return errors.New("still sending")
		}
		return nil
	}))
	sent := s.Sent(data4)
	ok(t, n.Connect(Veth{}))
	again := receiver(t, n.Near, ReceiverConfig{Listen: data4, Join: "eth0", Source: Source4})
	ok(t, again.WaitNew(ctx, 2))
	if got := s.Sent(data4); got <= sent {
		t.Errorf("sent %d, before the cut %d", got, sent)
	}
}

func TestReceiverCounts(t *testing.T) {
	t.Parallel()
	r := &Receiver{fresh: map[*waiter]struct{}{}}
	at := time.Now()
	for _, number := range []uint64{5, 6, 9, 8, 10} {
		r.count(number, at)
	}
	if got, want := r.Stats(), (Stats{Count: 5, Last: 10, Lost: 3, Sent: at}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestWaitNewGivesUp(t *testing.T) {
	t.Parallel()
	n := network(t)
	r := receiver(t, n.Near, ReceiverConfig{Listen: data4})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	err := r.WaitNew(ctx, 1)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "232.1.1.1:5000") {
		t.Error(err)
	}
	if _, err := NewReceiver(n.Near, ReceiverConfig{Listen: data4, Join: "nope"}); err == nil {
		t.Error("joined on an interface that does not exist")
	}
}
