package integration

import (
	"testing"

	"github.com/ssmd-project/ssmd/internal/doctor"
	"github.com/ssmd-project/ssmd/internal/testnet"
)

// onBridge has a bridge on the near side whose port eth0 is. The receiver has
// joined on the bridge.
func onBridge(t *testing.T, f family) *patient {
	t.Helper()
	l := newLab(t, f)
	ok(t, l.Near.Add(testnet.Bridge("br0"), testnet.Up))
	ok(t, l.Near.Set("eth0", testnet.NoAddresses, testnet.Master("br0")))
	ok(t, l.Near.Set("br0", testnet.Address("10.1.0.2/24", "2001:db8:1::2/64")))
	return onPatient(l, "br0")
}

func TestStoryDoctorBridgeWithoutQuerier(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		p := onBridge(t, f)
		p.obey(p.finds("bridge", doctor.Warning, "the bridge br0 snoops, asks nothing itself, and hears no other querier of"))
		p.silent("bridge")
		p.shell("ip -d link show br0 | grep 'mcast_igmp_version 3 mcast_mld_version 2'")
		p.silent("version") // not so if it asked by an older one
	})
}

// A bridge that does not snoop needs nobody to ask; nor one that hears somebody.
func TestStoryDoctorBridgeIsFine(t *testing.T) {
	t.Parallel()
	p := onBridge(t, v4)
	p.shell("ip link set br0 type bridge mcast_snooping 0")
	p.silent("bridge")
	p.shell("ip link set br0 type bridge mcast_snooping 1")
	p.finds("bridge", doctor.Warning, "hears no other querier of IGMP")
	ok(t, p.Far.Ask("far0", testnet.QueryV3)) // from an address: 0.0.0.0 is nobody's
	p.silent("bridge")
}

// A port of a bridge gets nothing of its own.
func TestStoryDoctorPortOfABridge(t *testing.T) {
	t.Parallel()
	p := onBridge(t, v4)
	p.shell("ip link set br0 type bridge mcast_querier 1")
	p.silent("bridge")
	p.subject.Interface = "eth0"
	p.finds("bridge", doctor.Fault, "eth0 is a port of the bridge br0")
	p.subject.Interface = "br0"
	p.silent("bridge")
}

// A container's eth0 has its other end in a bridge, as does a macvlan on it: in
// another namespace the doctor sees the bridge, and cannot change it.
func TestStoryDoctorBridgeElsewhere(t *testing.T) {
	t.Parallel()
	s := newSwitch(t)
	s.send(v4.channel.group)
	p := onPatient(s.lab, "eth0")
	p.silent("bridge")
	p.shellIn(p.Far, "ip link set br0 type bridge mcast_querier 0")
	found := p.finds("bridge", doctor.Warning, "the bridge br0 snoops, asks nothing itself")
	if len(found.Mend) > 0 || !hasAll(found.Advice, []string{"another network namespace", "mcast_igmp_version 3 mcast_mld_version 2 && ip link set dev br0 type bridge mcast_querier 1"}) {
		t.Errorf("it says %+v", found)
	}
	index := p.index()
	ok(t, p.Near.Add(testnet.Macvlan("mv0", index), testnet.Up))
	p.subject.Interface = "mv0"
	p.finds("bridge", doctor.Warning, "the bridge br0 snoops, asks nothing itself")
	p.shellIn(p.Far, "ip link set br0 type bridge mcast_querier 1")
	p.silent("bridge")
}

// A bridge of this host that asks by IGMPv2 is set to ask by IGMPv3.
func TestStoryDoctorBridgeOfVersion2(t *testing.T) {
	t.Parallel()
	p := onBridge(t, v4)
	ok(t, testnet.AddVeth(p.Near, p.Near, testnet.Veth{Name: "eth8", PeerName: "port8", Addresses: []string{"10.1.0.8/24"}}))
	ok(t, p.Near.Set("port8", testnet.Master("br0")))
	p.subject.Interface = "eth8"
	p.shell("ip link set br0 type bridge mcast_igmp_version 2 mcast_querier 1")
	p.obey(p.finds("version", doctor.Fault, "eth8 speaks IGMPv2"))
	p.shell("ip -d link show br0 | grep -q 'mcast_igmp_version 3'")
	p.finds("version", doctor.Fault, "eth8 speaks IGMPv2") // for as long as it says
}
