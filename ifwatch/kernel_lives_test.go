package ifwatch_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/vishvananda/netlink"
)

func TestK5SameIndexIsAnotherInstance(t *testing.T) {
	t.Parallel()
	n := namespace(t)
	add := func() { ok(t, n.Add(&netlink.Ifb{LinkAttrs: netlink.LinkAttrs{Name: "eth0", Index: 77}})) }
	add()
	c := consume(t, n, ifwatch.Options{})
	old := c.await("eth0", exists)
	ok(t, n.Set("eth0", testnet.Deleted))
	add()
	now := c.await("eth0", func(i ifwatch.Interface) bool { return i.ID != old.ID })
	if now.Index != 77 || now.ID < old.ID {
		t.Errorf("index %d, instance %d after %d", now.Index, now.ID, old.ID)
	}
	c.awaitRemoved(old.ID)
}

func TestK5OutOfTheNamespaceAndBack(t *testing.T) {
	t.Parallel()
	n, other := namespace(t), namespace(t)
	ok(t, n.Add(&netlink.Ifb{LinkAttrs: netlink.LinkAttrs{Name: "tmp0", Index: 77}}, testnet.Address("10.1.0.2/24"), testnet.Up))
	c := consume(t, n, ifwatch.Options{})
	old := c.await("tmp0", addressed(1))
	ok(t, n.Set("tmp0", testnet.MoveTo(other)))
	was := c.awaitRemoved(old.ID)
	if !was.Up || len(was.Prefixes(ifwatch.IPv4)) != 1 {
		t.Errorf("removed: %+v", was)
	}
	ok(t, other.Set("tmp0", testnet.MoveTo(n)))
	if now := c.await("tmp0", exists); now.ID == old.ID || now.Index != old.Index || now.Up {
		t.Errorf("back: %+v", now)
	}
}

// healthyPort is an interface in a bridge, with two IPv4 addresses and one of
// IPv6, as its consumer knows it.
func healthyPort(t *testing.T) (*testnet.Namespace, *consumer, ifwatch.Interface) {
	t.Helper()
	n := namespace(t)
	ok(t, n.Add(testnet.Bridge("br0"), testnet.Up))
	ok(t, n.Add(testnet.Bridge("trunk0"), testnet.Up))
	ok(t, n.Add(testnet.Macvlan("eth0", index(t, n, "trunk0")), testnet.Up, testnet.Master("br0"),
		testnet.Address("10.1.0.2/24", "10.2.0.2/24", "2001:db8::2/64")))
	c := consume(t, n, ifwatch.Options{})
	healthy := c.await("eth0", func(i ifwatch.Interface) bool { return addressed(3)(i) && i.Master == "br0" })
	return n, c, healthy
}

func TestK7RemovedIsWholeWhenDeleted(t *testing.T) {
	t.Parallel()
	for name, removal := range map[string][]testnet.Change{
		"deleted":              {testnet.Deleted},
		"flushed then deleted": {testnet.NoAddresses, testnet.Deleted},
		"down then deleted":    {testnet.Down, testnet.Deleted},
	} {
		for _, slow := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				n, c, healthy := healthyPort(t)
				for _, change := range removal {
					ok(t, n.Set("eth0", change))
					if slow {
						c.take()
					}
				}
				was := c.awaitRemoved(healthy.ID)
				global := func(i ifwatch.Interface) [2]any { return [2]any{i.Prefixes(ifwatch.IPv4), i.Prefixes(ifwatch.IPv6)} }
				if diff := cmp.Diff(global(sorted(healthy)), global(sorted(was)), prefixes); diff != "" {
					t.Error(diff)
				}
				if !was.Up || was.Parent != "trunk0" || was.Master != "br0" {
					t.Errorf("removed: %+v", was)
				}
			})
		}
	}
}

func TestK8LivesOfProtocols(t *testing.T) {
	t.Parallel()
	n := namespace(t)
	ok(t, n.Add(testnet.IFB("ifb0"), testnet.Up))
	c := consume(t, n, ifwatch.Options{})
	id := c.await("ifb0", func(i ifwatch.Interface) bool { return i.IPv4.Alive && i.IPv6.Alive }).ID
	ok(t, n.Set("ifb0", testnet.MTU(1279)))
	c.await("ifb0", func(i ifwatch.Interface) bool { return i.IPv4.Alive && !i.IPv6.Alive })
	ok(t, n.Set("ifb0", testnet.MTU(1280), testnet.MTU(67), testnet.MTU(1500))) // merged or not
	got := c.await("ifb0", func(i ifwatch.Interface) bool { return i.MTU == 1500 && i.IPv6.Life == 2 })
	if got.ID != id || got.IPv4 != (ifwatch.Protocol{Alive: true, Life: 1}) || !got.IPv6.Alive {
		t.Errorf("%+v", got)
	}
}

func TestK10LeavingABridgeIsNoRemoval(t *testing.T) {
	t.Parallel()
	n := namespace(t)
	ok(t, n.Add(testnet.Bridge("br0"), testnet.Up))
	ok(t, testnet.AddVeth(n, n, testnet.Veth{Name: "eth0", MAC: "02:00:00:00:00:01", PeerName: "peer0"}))
	ok(t, n.Set("eth0", testnet.Alias("feed"), testnet.Master("br0")))
	c := consume(t, n, ifwatch.Options{})
	old := c.await("eth0", func(i ifwatch.Interface) bool { return i.Master == "br0" })
	ok(t, n.Set("eth0", testnet.NoMaster, testnet.MTU(1400)))
	now := c.await("eth0", func(i ifwatch.Interface) bool { return i.Master == "" && i.MTU == 1400 })
	if now.ID != old.ID || now.Kind != "veth" || now.Alias != "feed" || now.MAC != "02:00:00:00:00:01" || len(c.removed) != 0 {
		t.Errorf("%+v, removed %v", now, c.removed)
	}
}

func TestK12RenameKeepsTheInstance(t *testing.T) {
	t.Parallel()
	n := namespace(t)
	ok(t, n.Add(testnet.IFB("eth0"), testnet.Up))
	c := consume(t, n, ifwatch.Options{})
	old := c.await("eth0", func(i ifwatch.Interface) bool { return i.Up })
	ok(t, n.Set("eth0", testnet.Name("lan0")))
	if now := c.await("lan0", exists); now.ID != old.ID || !now.Up || len(c.removed) != 0 {
		t.Errorf("%+v, removed %v", now, c.removed)
	}
}
