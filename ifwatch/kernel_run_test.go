package ifwatch_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/internal/testnet"
)

func TestFirstTakeIsWhole(t *testing.T) {
	t.Parallel()
	const links = 300
	n := namespace(t)
	for i := range links {
		ok(t, n.Netlink.LinkAdd(testnet.IFB(fmt.Sprint("eth", i))))
	}
	ok(t, n.Set("eth0", testnet.Address("10.1.0.2/24")))
	c := consume(t, n, ifwatch.Options{})
	<-c.Changed()
	changes := c.Take()
	if len(changes.Changes) != links+1 || changes.Resynced {
		t.Errorf("%d changes, resynced %v", len(changes.Changes), changes.Resynced)
	}
	for _, change := range changes.Changes {
		if change.Removed != nil || change.Now == nil || change.Now.Name == "eth0" && len(change.Now.Addresses) != 1 {
			t.Errorf("%+v", change)
		}
	}
}

// churn changes links until told to stop.
func churn(t *testing.T, n *testnet.Namespace, stop <-chan struct{}) *sync.WaitGroup {
	var workers sync.WaitGroup
	for worker := range 2 {
		workers.Go(func() {
			name := fmt.Sprint("busy", worker)
			for round := 0; ; round++ {
				select {
				case <-stop:
					return
				default:
				}
				err := n.Add(testnet.IFB(name), testnet.Up, testnet.Address(fmt.Sprintf("10.%d.0.1/24", worker)))
				for i := range 50 {
					err = errors.Join(err, n.Set(name, testnet.Alias(fmt.Sprint("alias ", i))))
				}
				if err = errors.Join(err, n.Set(name, testnet.Deleted)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	return &workers
}

func TestOverrun(t *testing.T) {
	t.Parallel()
	n := namespace(t)
	ok(t, n.Add(testnet.IFB("calm0"), testnet.Up, testnet.Address("10.9.0.1/24")))
	c := consume(t, n, ifwatch.Options{ReceiveBuffer: 4096})
	calm := c.await("calm0", addressed(1)).ID

	stop := make(chan struct{})
	workers := churn(t, n, stop)
	end := sync.OnceFunc(func() { close(stop); workers.Wait() })
	defer end()
	c.until("overruns", func() bool { return c.Counters().Overruns > 2 && c.resynced > 0 })
	end()

	var diff string
	c.until("calm", func() bool {
		diff = cmp.Diff(fromKernel(t, n), c.comparable(), values, cmpopts.EquateEmpty())
		return diff == ""
	})
	if got := c.view["calm0"].ID; got != calm {
		t.Errorf("instance %d became %d", calm, got)
	}
	t.Logf("%+v, resynced %d times", c.Counters(), c.resynced)
}

func TestExpireReplacesTheInstance(t *testing.T) {
	t.Parallel()
	n := namespace(t)
	ok(t, n.Add(testnet.IFB("eth0"), testnet.Up, testnet.Address("10.1.0.2/24")))
	c := consume(t, n, ifwatch.Options{})
	old := c.await("eth0", addressed(1))
	c.Expire(old.ID)
	now := c.await("eth0", func(i ifwatch.Interface) bool { return i.ID != old.ID })
	if was := c.awaitRemoved(old.ID); !was.Equal(old) {
		t.Errorf("removed %+v, want %+v", was, old)
	}
	now.ID = old.ID
	if !now.Equal(old) {
		t.Errorf("now %+v, want %+v", now, old)
	}
	ok(t, n.Set("eth0", testnet.Deleted))
	c.until("removal", func() bool { return len(c.removed) == 2 })
}

// Between two events that a consumer was told, there was nothing.
func TestQuiet(t *testing.T) {
	t.Parallel()
	n, other := namespace(t), namespace(t)
	ok(t, n.Add(testnet.IFB("eth0"), testnet.Up))
	ready := func(i ifwatch.Interface) bool { // nothing more follows by itself
		return i.Carrier && len(i.Addresses) == 1 && !i.Addresses[0].Tentative
	}
	c := consume(t, n, ifwatch.Options{})
	c.await("eth0", ready)
	before := c.Counters().Events()

	ok(t, other.Add(testnet.IFB("eth0"), testnet.Up, testnet.Address("10.1.0.2/24")))
	fromKernel(t, n) // dumps of others
	ok(t, n.Set("eth0", testnet.Alias("x")))
	c.await("eth0", func(i ifwatch.Interface) bool { return i.Alias == "x" })
	if got := c.Counters().Events() - before; got != 1 {
		t.Errorf("%d events, want 1", got)
	}
	select {
	case <-c.Changed():
		t.Errorf("woken for %+v", c.Take())
	default:
	}
}

func TestRunSaysWhyItCannotBegin(t *testing.T) {
	t.Parallel()
	refused := errors.New("refused")
	w := ifwatch.New(ifwatch.Options{Within: func(func() error) error { return refused }})
	if err := w.Run(t.Context()); !errors.Is(err, refused) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := ifwatch.New(ifwatch.Options{}).Run(ctx); err != nil {
		t.Errorf("cancelled before: %v", err)
	}
}

// Not parallel: others would open and close files meanwhile. The runtime and
// what ends late may hold another one or two: a file left in each round is more.
func TestNoFileIsLeft(t *testing.T) {
	open := func() (targets []string) {
		files, err := os.ReadDir("/proc/self/fd")
		ok(t, err)
		for _, file := range files {
			target, _ := os.Readlink("/proc/self/fd/" + file.Name())
			targets = append(targets, target)
		}
		return targets
	}
	n := namespace(t)
	ok(t, n.Add(testnet.IFB("eth0")))
	failing := errors.New("afterwards")
	rounds := map[string]func(){
		"stopped": func() {
			c := consume(t, n, ifwatch.Options{})
			c.await("eth0", exists)
			c.stop()
		},
		"failed": func() {
			w := ifwatch.New(ifwatch.Options{Within: func(f func() error) error { return errors.Join(f(), failing) }})
			if err := w.Run(t.Context()); !errors.Is(err, failing) {
				t.Errorf("got %v", err)
			}
		},
	}
	const times = 20
	for name, round := range rounds {
		before := open()
		for range times {
			round()
		}
		if after := open(); len(after) >= len(before)+times {
			t.Errorf("%s: open before %q, after %q", name, before, after)
		}
	}
}
