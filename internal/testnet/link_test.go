package testnet

import (
	"errors"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// look returns a link's attributes.
func look(t *testing.T, n *Namespace, name string) *netlink.LinkAttrs {
	t.Helper()
	l, err := n.Netlink.LinkByName(name)
	ok(t, err)
	return l.Attrs()
}

// addressesOf returns an interface's addresses but IPv6 link-local ones.
func addressesOf(t *testing.T, n *Namespace, name string) []string {
	t.Helper()
	l, err := n.Netlink.LinkByName(name)
	ok(t, err)
	all, err := n.Netlink.AddrList(l, netlink.FAMILY_ALL)
	ok(t, err)
	var prefixes []string
	for _, a := range all {
		if a.IP.To4() != nil || !a.IP.IsLinkLocalUnicast() {
			prefixes = append(prefixes, a.IPNet.String())
		}
	}
	slices.Sort(prefixes)
	return prefixes
}

func TestChanges(t *testing.T) {
	t.Parallel()
	n, other := namespace(t), namespace(t)
	ok(t, n.Add(Bridge("br0"), Up))
	ok(t, n.Add(IFB("ifb7"), MTU(60), Up))
	if got := look(t, n, "ifb7").MTU; got != 60 {
		t.Errorf("the MTU of ifb7 is %d", got)
	}
	ok(t, AddVeth(n, other, Veth{Name: "lan", PeerName: "peer"}))
	ok(t, n.Set("lan", MAC("02:00:00:00:00:07"), Alias("uplink")))
	a := look(t, n, "lan")
	if a.HardwareAddr.String() != "02:00:00:00:00:07" || a.Alias != "uplink" || a.Flags&net.FlagUp == 0 {
		t.Errorf("lan is %+v", a)
	}
	ok(t, n.Set("lan", MTU(1400), Address("10.9.0.1/24", "2001:db8:9::1/64"), Name("wan")))
	if diff := cmp.Diff([]string{"10.9.0.1/24", "2001:db8:9::1/64"}, addressesOf(t, n, "wan")); diff != "" {
		t.Error(diff)
	}
	ok(t, n.Set("wan", NoAddresses))
	if got := addressesOf(t, n, "wan"); got != nil {
		t.Errorf("wan still has %v", got)
	}
	for _, step := range []struct {
		change Change
		on     bool
	}{{MulticastOff, false}, {MulticastOn, true}} {
		ok(t, n.Set("wan", step.change))
		if got := look(t, n, "wan").RawFlags&unix.IFF_MULTICAST != 0; got != step.on {
			t.Errorf("multicast is %v, want %v", got, step.on)
		}
	}
	index, err := n.Index("wan")
	ok(t, err)
	ok(t, n.Set("wan", MoveTo(other)))
	ok(t, other.Set("wan", MoveTo(n)))
	if back, err := n.Index("wan"); err != nil || back != index {
		t.Errorf("wan came back with index %d, %v; want %d", back, err, index)
	}
	ok(t, n.Set("wan", Deleted))
	if err := n.Set("wan", Up); err == nil || !strings.HasPrefix(err.Error(), "look up wan: ") {
		t.Errorf("changing a deleted interface: %v", err)
	}
}

func TestStackedLinks(t *testing.T) {
	t.Parallel()
	n := network(t)
	eth0, err := n.Near.Index("eth0")
	ok(t, err)
	ok(t, n.Near.Add(Macvlan("mv0", eth0), Up))
	ok(t, n.Near.Add(Bridge("br0"), Up))
	ok(t, n.Near.Add(IFB("port"), Master("br0")))
	if got, want := look(t, n.Near, "port").MasterIndex, look(t, n.Near, "br0").Index; got != want {
		t.Errorf("master %d, want %d", got, want)
	}
	ok(t, n.Near.Set("port", NoMaster))
	if got := look(t, n.Near, "port").MasterIndex; got != 0 {
		t.Errorf("master %d after NoMaster", got)
	}
	if got := look(t, n.Near, "mv0").ParentIndex; got != eth0 {
		t.Errorf("parent of mv0 is %d, want %d", got, eth0)
	}
	if err := n.Near.Add(VLAN("eth0.7", eth0, 7), Up); errors.Is(err, unix.EOPNOTSUPP) {
		t.Skip("this kernel has no VLANs")
	} else if err != nil {
		t.Fatal(err)
	}
	if got := look(t, n.Near, "eth0.7").ParentIndex; got != eth0 {
		t.Errorf("parent of eth0.7 is %d, want %d", got, eth0)
	}
}

func TestNetworkRecreate(t *testing.T) {
	t.Parallel()
	n := network(t)
	first, err := n.Near.Index("eth0")
	ok(t, err)
	ok(t, n.Recreate("eth0", Veth{MAC: "02:00:00:00:00:02", PeerMAC: "02:00:00:00:00:03", Index: first}))
	a := look(t, n.Near, "eth0")
	if a.Index != first || a.HardwareAddr.String() != "02:00:00:00:00:02" {
		t.Errorf("eth0 came back as %d %s", a.Index, a.HardwareAddr)
	}
	if got := look(t, n.Far, "far0").HardwareAddr.String(); got != "02:00:00:00:00:03" {
		t.Errorf("far0 has %s", got)
	}
	ok(t, n.Recreate("eth0", Veth{Addresses: []string{"10.2.0.2/24"}}))
	if a := look(t, n.Near, "eth0"); a.Index == first {
		t.Errorf("eth0 came back as %d again", a.Index)
	}
	if diff := cmp.Diff([]string{"10.2.0.2/24"}, addressesOf(t, n.Near, "eth0")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"10.1.0.1/24", "2001:db8:1::1/64"}, addressesOf(t, n.Far, "far0")); diff != "" {
		t.Error(diff)
	}
	ok(t, n.Connect(Veth{Name: "eth1", PeerName: "far1", Addresses: []string{}, PeerAddresses: []string{}}))
	if err := n.Connect(Veth{MAC: "x"}); err == nil {
		t.Error("a bad MAC is taken")
	}
}
