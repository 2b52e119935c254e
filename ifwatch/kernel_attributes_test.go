package ifwatch_test

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

var (
	values   = cmpopts.EquateComparable(ifwatch.Address{})
	prefixes = cmpopts.EquateComparable(netip.Prefix{})
)

func altNames(names ...string) testnet.Change {
	return func(n *testnet.Namespace, l netlink.Link) error {
		for _, name := range names {
			if err := n.Netlink.LinkAddAltName(l, name); err != nil {
				return err
			}
		}
		return nil
	}
}

func linkGroup(group int) testnet.Change {
	return func(n *testnet.Namespace, l netlink.Link) error { return n.Netlink.LinkSetGroup(l, group) }
}

func index(t testing.TB, n *testnet.Namespace, name string) int {
	t.Helper()
	i, err := n.Index(name)
	ok(t, err)
	return i
}

// What events tell is what a dump tells.
func TestAttributes(t *testing.T) {
	t.Parallel()
	n := namespace(t)
	c := consume(t, n, ifwatch.Options{})
	c.await("lo", exists)
	ok(t, n.Add(testnet.Bridge("br0"), testnet.Up))
	ok(t, testnet.AddVeth(n, n, testnet.Veth{Name: "eth0", MAC: "02:00:00:00:0A:01", PeerName: "peer0"}))
	ok(t, n.Set("eth0", testnet.Master("br0"), testnet.Alias("feed A"), testnet.MTU(1400), altNames("uplink", "enp59s0"), linkGroup(7)))
	ok(t, n.Add(testnet.Macvlan("mac0", index(t, n, "peer0")), testnet.Address("10.1.0.2/24", "10.2.0.2/16", "2001:db8::2/64"), testnet.Up))
	ok(t, n.Add(testnet.IFB("ifb0")))

	c.await("ifb0", exists)
	eth0 := c.await("eth0", func(i ifwatch.Interface) bool { return i.LinkGroup == 7 && i.Carrier })
	mac0 := c.await("mac0", func(i ifwatch.Interface) bool { return addressed(3)(i) && i.Carrier })

	type look struct {
		Kind, LinkType, Parent, Master, Alias, Device string
		VLANID, MTU                                   int
	}
	for _, tt := range []struct {
		got  ifwatch.Interface
		want look
	}{
		{eth0, look{"veth", "ether", "peer0", "br0", "feed A", "", -1, 1400}},
		{mac0, look{"macvlan", "ether", "peer0", "", "", "", -1, 1500}},
		{c.view["ifb0"], look{"ifb", "ether", "", "", "", "", -1, 1500}},
		{c.view["br0"], look{"bridge", "ether", "", "", "", "", -1, 1400}},
		{c.view["lo"], look{"physical", "loopback", "", "", "", "", -1, 65536}},
	} {
		i := tt.got
		got := look{i.Kind, i.LinkType, i.Parent, i.Master, i.Alias, i.Device, i.VLANID, i.MTU}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: %s", i.Name, diff)
		}
	}
	if eth0.MAC != "02:00:00:00:0a:01" || c.view["lo"].MAC != "" || !eth0.Multicast {
		t.Errorf("eth0 has MAC %s, lo %s", eth0.MAC, c.view["lo"].MAC)
	}
	if diff := cmp.Diff([]string{"enp59s0", "uplink"}, sorted(eth0).AltNames); diff != "" {
		t.Error(diff)
	}
	if got, want := fmt.Sprint(mac0.Prefixes(ifwatch.IPv4), mac0.Prefixes(ifwatch.IPv6)), "[10.1.0.0/24 10.2.0.0/16] [2001:db8::/64]"; got != want {
		t.Errorf("prefixes %s, want %s", got, want)
	}

	// Link-local addresses and carriers may still come, to both.
	other := consume(t, n, ifwatch.Options{})
	err := testnet.Eventually(patience(t), func() error {
		c.take()
		other.take()
		if diff := cmp.Diff(all(other), all(c), values, cmpopts.EquateEmpty()); diff != "" {
			return errors.New(diff)
		}
		return nil
	})
	ok(t, err)
}

func all(c *consumer) map[string]ifwatch.Interface {
	sortedView := make(map[string]ifwatch.Interface)
	for name, i := range c.view {
		sortedView[name] = sorted(i)
	}
	return sortedView
}

func TestVLAN(t *testing.T) {
	t.Parallel()
	n := namespace(t)
	c := consume(t, n, ifwatch.Options{})
	ok(t, n.Add(testnet.IFB("trunk0"), testnet.Up))
	err := n.Add(testnet.VLAN("vlan0", index(t, n, "trunk0"), 100))
	if errors.Is(err, unix.EOPNOTSUPP) {
		t.Skip("the kernel has no VLANs")
	}
	ok(t, err)
	if got := c.await("vlan0", exists); got.Kind != "vlan" || got.VLANID != 100 || got.Parent != "trunk0" {
		t.Errorf("%+v", got)
	}
}

func TestTentativeBecomesReady(t *testing.T) {
	t.Parallel()
	n := namespace(t)
	ok(t, testnet.AddVeth(n, n, testnet.Veth{Name: "eth0", PeerName: "peer0"}))
	c := consume(t, n, ifwatch.Options{})
	c.await("eth0", exists)
	ok(t, n.Set("eth0", testnet.TentativeAddress("2001:db8::2/64")))
	find := func(tentative bool) func(ifwatch.Interface) bool {
		return func(i ifwatch.Interface) bool {
			for _, a := range i.Addresses {
				if a.Prefix.String() == "2001:db8::2/64" {
					return a.Tentative == tentative
				}
			}
			return false
		}
	}
	id := c.await("eth0", find(true)).ID
	if got := c.await("eth0", find(false)).ID; got != id {
		t.Errorf("instance %d became %d", id, got)
	}
}

func TestParentFollowsItsName(t *testing.T) {
	t.Parallel()
	n := namespace(t)
	ok(t, n.Add(testnet.Bridge("trunk0"), testnet.Up))
	ok(t, n.Add(testnet.Macvlan("mac0", index(t, n, "trunk0"))))
	c := consume(t, n, ifwatch.Options{})
	c.await("mac0", func(i ifwatch.Interface) bool { return i.Parent == "trunk0" })
	ok(t, n.Set("trunk0", testnet.Name("trunk1")))
	c.await("mac0", func(i ifwatch.Interface) bool { return i.Parent == "trunk1" })
}

func TestParentInAnotherNamespace(t *testing.T) {
	t.Parallel()
	n, other := namespace(t), namespace(t)
	ok(t, testnet.AddVeth(n, other, testnet.Veth{Name: "eth0", PeerName: "far0"}))
	c := consume(t, n, ifwatch.Options{})
	if got := c.await("eth0", exists); got.Parent != "" {
		t.Errorf("parent %q", got.Parent)
	}
}

// The kernel tells of an alias, an alternative name or a link group only while
// the interface is up: what changed before comes with the next event.
func TestChangesWhileDown(t *testing.T) {
	t.Parallel()
	n := namespace(t)
	ok(t, n.Add(testnet.IFB("eth0")))
	c := consume(t, n, ifwatch.Options{})
	c.await("eth0", exists)
	ok(t, n.Set("eth0", testnet.Alias("feed"), altNames("uplink"), linkGroup(7), testnet.Up))
	got := c.await("eth0", func(i ifwatch.Interface) bool { return i.Up })
	if got.Alias != "feed" || got.LinkGroup != 7 || len(got.AltNames) != 1 {
		t.Errorf("%+v", got)
	}
}
