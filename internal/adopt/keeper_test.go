package adopt

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/membership"
	"github.com/ssmd-project/ssmd/reattach"
)

// managerKeeper keeps memberships in a manager. Rules are the name of an interface.
type managerKeeper struct {
	*membership.Manager
	mu   sync.Mutex
	lent map[string]*managerLease
}

type managerLease struct {
	keeper *managerKeeper
	name   string
	lost   func(string)
}

func (k *managerKeeper) Make(name string, rules []byte, iface string, channels []membership.Channel) (membership.Membership, error) {
	if len(rules) > 0 {
		iface = "eth0" // whatever they say
	}
	return membership.Membership{Name: name, Channels: channels, Rules: reattach.Rules{Selector: reattach.ByName(iface)}}, nil
}

func (k *managerKeeper) Lend(ctx context.Context, m membership.Membership, _ string, lost func(string)) (Lease, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.lent[m.Name] != nil {
		return nil, ErrNameInUse
	}
	if err := k.Manager.Put(ctx, m); err != nil {
		return nil, err
	}
	k.lent[m.Name] = &managerLease{k, m.Name, lost}
	return k.lent[m.Name], nil
}

func (k *managerKeeper) AttachedTo(ctx context.Context, name string) (indexes []int) {
	status, err := k.StatusOf(ctx, name)
	if err != nil {
		return nil
	}
	for _, a := range status.Attachments {
		indexes = append(indexes, a.Index)
	}
	return indexes
}

func (k *managerKeeper) Pending(ctx context.Context, name string) []membership.Channel {
	explanation, err := k.Explain(ctx, name)
	if err != nil {
		return nil
	}
	return PendingIn(explanation)
}

func (l *managerLease) Put(ctx context.Context, m membership.Membership) error {
	return l.keeper.Manager.Put(ctx, m)
}

func (l *managerLease) End(ctx context.Context) error {
	l.keeper.mu.Lock()
	defer l.keeper.mu.Unlock()
	delete(l.keeper.lent, l.name)
	return l.keeper.Delete(ctx, l.name)
}

// stage is a lab with a manager and an adopter, as a daemon has them.
type stage struct {
	*lab
	manager *membership.Manager
	keeper  *managerKeeper
	adopter *Adopter
	stop    func() // ends both
}

func newStage(t testing.TB, f family) *stage {
	t.Helper()
	l := newLab(t, f)
	sender := testnet.NewSender(l.Far, testnet.SenderConfig{To: destinations(l.family), Port: from})
	sending, end := context.WithCancel(context.Background())
	var sends sync.WaitGroup
	sends.Go(func() { _ = sender.Run(sending) })
	t.Cleanup(func() {
		end()
		sends.Wait()
	})
	return onStage(l, nil)
}

// again is the stage after the daemon's restart, with what it stored.
func (s *stage) again() *stage {
	s.t.Helper()
	s.stop()
	text, err := json.Marshal(s.adopter.Kept())
	ok(s.t, err)
	var kept []Kept
	ok(s.t, json.Unmarshal(text, &kept))
	return onStage(s.lab, kept)
}

func onStage(l *lab, kept []Kept) *stage {
	l.t.Helper()
	t := l.t
	m := membership.New(membership.Options{Watch: ifwatch.Options{Within: l.Near.Do}})
	k := &managerKeeper{Manager: m, lent: make(map[string]*managerLease)}
	a := New(k, slog.New(slog.DiscardHandler), kept)
	ctx, cancel := context.WithCancel(context.Background())
	events := m.Subscribe()
	var parts sync.WaitGroup
	for _, run := range []func(context.Context) error{m.Run, a.Run} {
		parts.Go(func() {
			if err := run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	parts.Go(func() {
		for e, err := events.Next(ctx); err == nil; e, err = events.Next(ctx) {
			if a.Concerns(e.Membership) {
				a.Hint()
			}
		}
	})
	stop := sync.OnceFunc(func() {
		cancel()
		parts.Wait()
		events.Close()
	})
	t.Cleanup(func() {
		if t.Failed() {
			rows, err := List(Selection{PID: l.pid})
			t.Logf("adopted: %+v\nthe process has: %+v, %v", a.Adoptions(), rows, err)
		}
		stop()
	})
	a.Restore(ctx)
	return &stage{l, m, k, a, stop}
}

// recreate has the interface come back, and waits until the manager knows: what is
// adopted before is adopted on the old one, and reattached.
func (s *stage) recreate(v testnet.Veth) {
	s.t.Helper()
	another := func(than ifwatch.ID) (is ifwatch.ID) {
		ok(s.t, testnet.Eventually(s.ctx, func() error {
			all, err := s.manager.Interfaces(s.ctx)
			for _, i := range all {
				if i.Name == "eth0" && i.Up && i.ID != than {
					is = i.ID
					return nil
				}
			}
			return cmp.Or(err, fmt.Errorf("the manager knows of no eth0 but instance %d", than))
		}))
		return is
	}
	was := another(0)
	ok(s.t, s.Recreate("eth0", v))
	another(was)
}

// adopt adopts the puppet.
func (s *stage) adopt() Adoption {
	s.t.Helper()
	one, err := s.adopter.Adopt(s.ctx, Selection{PID: s.pid}, nil)
	ok(s.t, err)
	return one
}

// name is that of the membership of a descriptor.
func (s *stage) name(fd int) string {
	return fmt.Sprintf("%s-%d-%d", cleaned(commOf(fmt.Sprintf("/proc/%d/comm", s.pid))), s.pid, fd)
}

// await waits until a membership passes a check.
func (s *stage) await(name string, check func(membership.Status) error) {
	s.t.Helper()
	ok(s.t, testnet.Eventually(s.ctx, func() error {
		status, err := s.manager.StatusOf(s.ctx, name)
		if err != nil {
			return err
		}
		if err := check(status); err != nil {
			return fmt.Errorf("%s is %s (%s), %d of %d: %w", name, status.State, status.Reason, status.Joined, status.Channels, err)
		}
		return nil
	}))
}

func (s *stage) awaitJoined(fd int, reattaches uint64) {
	s.t.Helper()
	s.await(s.name(fd), func(status membership.Status) error {
		if status.State != membership.StateJoined || status.Counters.Reattaches != reattaches {
			return fmt.Errorf("after %d reattaches, want joined after %d", status.Counters.Reattaches, reattaches)
		}
		return nil
	})
}

// awaitGone waits until there is no membership of a descriptor.
func (s *stage) awaitGone(fd int) {
	s.t.Helper()
	ok(s.t, testnet.Eventually(s.ctx, func() error {
		_, err := s.manager.StatusOf(s.ctx, s.name(fd))
		if errors.Is(err, membership.ErrNotFound) {
			return nil
		}
		return fmt.Errorf("%s is there: %w", s.name(fd), err)
	}))
}

// hears waits until the puppet hears datagrams that arrived from now on.
func (s *stage) hears(fd int) {
	s.t.Helper()
	s.do(order{Do: "hear", FD: fd})
	heard := 0
	ok(s.t, testnet.Eventually(s.ctx, func() error {
		if heard += s.do(order{Do: "hear", FD: fd}); heard < 3 {
			return fmt.Errorf("%d datagrams", heard)
		}
		return nil
	}))
}

// users returns how many users a group has on eth0.
func (s *stage) users() int {
	s.t.Helper()
	groups, err := testnet.Groups(s.Near)
	ok(s.t, err)
	return groups[s.index()][s.group]
}

func (s *stage) awaitUsers(want int) {
	s.t.Helper()
	ok(s.t, testnet.Eventually(s.ctx, func() error {
		if got := s.users(); got != want {
			return fmt.Errorf("%d users of %s on eth0, want %d", got, s.group, want)
		}
		return nil
	}))
}
