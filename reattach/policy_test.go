package reattach

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ssmd-project/ssmd/ifwatch"
)

func TestSame(t *testing.T) {
	t.Parallel()
	with := func(changes ...func(*ifwatch.Interface)) ifwatch.Interface {
		return eth0(append([]func(*ifwatch.Interface){reborn}, changes...)...)
	}
	tests := []struct {
		name      string
		same      Attribute
		families  []ifwatch.Family
		lost      ifwatch.Interface
		candidate ifwatch.Interface
		want      Check
	}{
		{"name", Name, v4, eth0(), with(), Check{"same name", "eth0", "eth0", Accept}},
		{"an altname is no name", Name, v4, eth0(func(i *ifwatch.Interface) { i.Name = "uplink" }), with(), Check{"same name", "uplink", "eth0", Reject}},
		{"parent", Parent, v4, eth0(), with(), Check{"same parent", "trunk0", "trunk0", Accept}},
		{"no parent now", Parent, v4, eth0(), with(bare), Check{"same parent", "trunk0", "none", Reject}},
		{"no parent then", Parent, v4, eth0(bare), with(), Check{"same parent", "what the lost instance had, which was none", "trunk0", Reject}},
		{"neither has a device", Device, v4, eth0(bare), with(bare), Check{"same device", "what the lost instance had, which was none", "none", Reject}},
		{"no master yet", Master, v4, eth0(), with(bare), Check{"same master", "br0", "none", Wait}},
		{"other master", Master, v4, eth0(), with(func(i *ifwatch.Interface) { i.Master = "br1" }), Check{"same master", "br0", "br1", Reject}},
		{"no alias yet", Alias, v4, eth0(), with(bare), Check{"same alias", "feed A", "none", Wait}},
		{"link group 0", LinkGroup, v4, eth0(bare), with(bare), Check{"same link_group", "0", "0", Accept}},
		{"VLAN id 0", VLANID, v4, eth0(func(i *ifwatch.Interface) { i.VLANID = 0 }), with(bare), Check{"same vlan_id", "0", "none", Reject}},

		{"subnet", Subnet, v4, eth0(), with(withAddresses("10.1.0.77/24")), Check{"same subnet", "10.1.0.0/24", "10.1.0.0/24", Accept}},
		{"one of several subnets", Subnet, v4, eth0(withAddresses("10.1.0.2/24", "10.2.0.2/24")), with(withAddresses("10.3.0.1/24", "10.2.0.9/24")), Check{"same subnet", "10.1.0.0/24, 10.2.0.0/24", "10.3.0.0/24, 10.2.0.0/24", Accept}},
		{"another length", Subnet, v4, eth0(), with(withAddresses("10.1.0.2/16")), Check{"same subnet", "10.1.0.0/24", "10.1.0.0/16", Reject}},
		{"no address yet", Subnet, v4, eth0(), with(bare), Check{"same subnet", "10.1.0.0/24", "none", Wait}},
		{"of the other family only", Subnet, v4, eth0(), with(withAddresses("2001:db8:1::2/64")), Check{"same subnet", "10.1.0.0/24", "none", Wait}},
		{"link-local yet", Subnet, v6, eth0(), with(withAddresses("fe80::1/64")), Check{"same subnet", "2001:db8:1::/64", "none", Wait}},
		{"link-local then", Subnet, v6, eth0(withAddresses("fe80::1/64")), with(), Check{"same subnet", "what the lost instance had, which was no IPv6 prefix but link-local", "2001:db8:1::/64", Reject}},
		{"both families", Subnet, both, eth0(), with(), Check{"same subnet", "10.1.0.0/24, 2001:db8:1::/64", "10.1.0.0/24, 2001:db8:1::/64", Accept}},
		{"one family not yet", Subnet, both, eth0(), with(withAddresses("10.1.0.2/24")), Check{"same subnet", "10.1.0.0/24, 2001:db8:1::/64", "10.1.0.0/24", Wait}},
		{"one family another", Subnet, both, eth0(), with(withAddresses("10.1.0.2/24", "2001:db8:2::2/64")), Check{"same subnet", "10.1.0.0/24, 2001:db8:1::/64", "10.1.0.0/24, 2001:db8:2::/64", Reject}},
		{"one family another, one not yet", Subnet, both, eth0(), with(withAddresses("2001:db8:2::2/64")), Check{"same subnet", "10.1.0.0/24, 2001:db8:1::/64", "2001:db8:2::/64", Reject}},
		{"one another, not yet the other", Subnet, both, eth0(), with(withAddresses("10.2.0.2/24")), Check{"same subnet", "10.1.0.0/24, 2001:db8:1::/64", "10.2.0.0/24", Reject}},
		{"both wanted, one family then", Subnet, both, eth0(withAddresses("10.1.0.2/24")), with(), Check{"same subnet", "10.1.0.0/24", "10.1.0.0/24, 2001:db8:1::/64", Accept}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := Policy{Kind: PolicySame, Same: []Attribute{tt.same}}
			got := (&Rules{Policy: p}).replace(tt.families, []ifwatch.Interface{tt.lost}, tt.candidate)
			want := Verdict{Checks: []Check{tt.want}, Replaces: tt.lost.ID}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSeveralLost(t *testing.T) {
	t.Parallel()
	instance := func(id ifwatch.ID, name, mac string) ifwatch.Interface {
		return eth0(func(i *ifwatch.Interface) { i.ID, i.Name, i.MAC, i.AltNames = id, name, mac, nil })
	}
	lost := []ifwatch.Interface{
		instance(1, "eth1", "02:00:00:00:00:01"),
		instance(2, "eth2", "02:00:00:00:00:02"),
		instance(3, "eth3", "02:00:00:00:00:03"),
	}
	match, sameMAC, never := Policy{}, Policy{Kind: PolicySame, Same: []Attribute{MAC}}, Policy{Kind: PolicyNever}
	tests := []struct {
		name      string
		policy    Policy
		candidate ifwatch.Interface
		want      Result
		replaces  ifwatch.ID
	}{
		{"any matches: the one of that name", match, instance(9, "eth1", "02:00:00:00:00:09"), Accept, 1},
		{"any matches, no such name: the latest", match, instance(9, "eth9", "02:00:00:00:00:09"), Accept, 3},
		{"the one it is the same as", sameMAC, instance(9, "eth3", "02:00:00:00:00:01"), Accept, 1},
		{"none is the same", sameMAC, instance(9, "eth2", "02:00:00:00:00:09"), Reject, 2},
		{"never", never, instance(9, "eth2", "02:00:00:00:00:02"), Reject, 2},
		{"never but itself", never, instance(2, "renamed", "02:00:00:00:00:09"), Accept, 2},
	}
	for _, tt := range tests {
		r := Rules{Selector: Selector{Name: Globs{"*"}}, Policy: tt.policy, Attach: AttachAll}
		got := r.Judge(v4, lost, tt.candidate)
		if got.Result() != tt.want || got.Replaces != tt.replaces {
			t.Errorf("%s: %s, replaces %d, want %s, %d: %s", tt.name, got.Result(), got.Replaces, tt.want, tt.replaces, got.Reason())
		}
	}
}
