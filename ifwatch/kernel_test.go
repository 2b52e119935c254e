package ifwatch_test

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(strangerVariable) != "" {
		if err := stranger(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	flag.Parse()
	if worker := flag.Lookup("test.fuzzworker"); worker == nil || worker.Value.String() != "true" {
		if err := testnet.Isolate(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	goleak.VerifyTestMain(m)
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func namespace(t testing.TB) *testnet.Namespace {
	t.Helper()
	n, err := testnet.New()
	ok(t, err)
	t.Cleanup(n.Close)
	return n
}

// patience ends after more time than anything here should take.
func patience(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// consumer is a watcher that runs, and what its consumer knows.
type consumer struct {
	*ifwatch.Watcher
	t        testing.TB
	stop     func()
	view     map[string]ifwatch.Interface
	removed  []ifwatch.Interface
	resynced int
}

func consume(t testing.TB, n *testnet.Namespace, o ifwatch.Options) *consumer {
	t.Helper()
	o.Within = n.Do
	c := &consumer{Watcher: ifwatch.New(o), t: t, view: make(map[string]ifwatch.Interface)}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	c.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(c.stop)
	return c
}

// take takes what is there.
func (c *consumer) take() {
	c.t.Helper()
	changes := c.Take()
	if changes.Resynced {
		c.resynced++
	}
	for _, change := range changes.Changes {
		for name, i := range c.view {
			if i.Index != change.Index {
				continue
			}
			if change.Removed == nil && change.Now.ID != i.ID {
				c.t.Errorf("%v replaced %v, which was not removed", change.Now, i)
			}
			delete(c.view, name)
		}
		if change.Removed != nil {
			c.removed = append(c.removed, *change.Removed)
		}
		if change.Now != nil {
			c.view[change.Now.Name] = *change.Now
		}
	}
}

// until takes until what the consumer knows is as wanted.
func (c *consumer) until(what string, wanted func() bool) {
	c.t.Helper()
	ctx := patience(c.t)
	for c.take(); !wanted(); c.take() {
		select {
		case <-c.Changed():
		case <-ctx.Done():
			c.t.Fatalf("not seen: %s; known are %+v", what, c.view)
		}
	}
}

// await waits for an interface that is as wanted.
func (c *consumer) await(name string, wanted func(ifwatch.Interface) bool) ifwatch.Interface {
	c.t.Helper()
	c.until(name, func() bool { i, known := c.view[name]; return known && wanted(i) })
	return c.view[name]
}

// awaitRemoved waits for the removal of an instance.
func (c *consumer) awaitRemoved(id ifwatch.ID) ifwatch.Interface {
	c.t.Helper()
	at := -1
	c.until(fmt.Sprintf("removal of instance %d", id), func() bool {
		at = slices.IndexFunc(c.removed, func(i ifwatch.Interface) bool { return i.ID == id })
		return at >= 0
	})
	return c.removed[at]
}

func exists(ifwatch.Interface) bool { return true }

func addressed(count int) func(ifwatch.Interface) bool {
	return func(i ifwatch.Interface) bool {
		return i.Up && len(i.Prefixes(ifwatch.IPv4))+len(i.Prefixes(ifwatch.IPv6)) == count
	}
}

// sorted returns an instance as anyone would see it, who may have met it at
// another time: without ID and lives, its addresses in order.
func sorted(i ifwatch.Interface) ifwatch.Interface {
	i.ID, i.IPv4.Life, i.IPv6.Life, i.Returns = 0, 0, 0, ifwatch.Returns{}
	i.Addresses = slices.SortedFunc(slices.Values(i.Addresses), func(a, b ifwatch.Address) int {
		return cmp.Or(a.Prefix.Addr().Compare(b.Prefix.Addr()), cmp.Compare(a.Prefix.Bits(), b.Prefix.Bits()))
	})
	i.AltNames = slices.Sorted(slices.Values(i.AltNames))
	return i
}

// fromKernel returns what a separate look at the kernel shows, by name, of the
// attributes that every list has.
func fromKernel(t testing.TB, n *testnet.Namespace) map[string]ifwatch.Interface {
	t.Helper()
	links, err := n.Netlink.LinkList()
	ok(t, err)
	all := make(map[string]ifwatch.Interface)
	for _, l := range links {
		a := l.Attrs()
		i := ifwatch.Interface{Index: a.Index, Name: a.Name, MTU: a.MTU, Alias: a.Alias, LinkGroup: a.Group, Up: a.RawFlags&1 != 0}
		addresses, err := n.Netlink.AddrList(l, netlink.FAMILY_ALL)
		ok(t, err)
		for _, address := range addresses {
			ip, _ := netip.AddrFromSlice(address.IP)
			bits, _ := address.Mask.Size()
			i.Addresses = append(i.Addresses, ifwatch.Address{Prefix: netip.PrefixFrom(ip.Unmap(), bits)})
		}
		all[a.Name] = sorted(i)
	}
	return all
}

// comparable returns what the consumer knows in the form of fromKernel.
func (c *consumer) comparable() map[string]ifwatch.Interface {
	all := make(map[string]ifwatch.Interface)
	for name, i := range c.view {
		all[name] = sorted(ifwatch.Interface{Index: i.Index, Name: i.Name, MTU: i.MTU, Alias: i.Alias, LinkGroup: i.LinkGroup, Up: i.Up, Addresses: plain(i.Addresses)})
	}
	return all
}

func plain(addresses []ifwatch.Address) []ifwatch.Address {
	var all []ifwatch.Address
	for _, a := range addresses {
		all = append(all, ifwatch.Address{Prefix: a.Prefix})
	}
	return all
}
