package integration

import (
	"net/netip"
	"testing"

	"github.com/ssmd-project/ssmd/internal/doctor"
	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/membership"
)

// detour has the route to the source lead over another interface.
func (p *patient) detour() {
	p.t.Helper()
	ok(p.t, p.Connect(testnet.Veth{Name: "eth1", PeerName: "far1",
		Addresses: []string{"10.7.0.2/24"}, PeerAddresses: []string{"10.7.0.1/24"}}))
	p.shell("ip route add 10.1.0.1/32 via 10.7.0.1 dev eth1")
}

// The doctor, the commands and the kernel agree on what a reverse path filter
// drops.
func TestStoryDoctorStrictReversePath(t *testing.T) {
	t.Parallel()
	p := newPatient(t, v4)
	p.silent("rp_filter")
	p.sysctl("net/ipv4/conf/all/rp_filter", "1")()
	p.silent("rp_filter")
	p.hears(p.receiver)
	p.detour()
	found := p.finds("rp_filter", doctor.Fault, "10.1.0.1 are dropped: rp_filter is strict on eth0", "leads over eth1")
	p.deafHere()
	p.obey(found)
	p.hears(p.receiver)
	p.silent("rp_filter")
}

// deafHere waits until the receiver hears nothing, though datagrams come in.
func (p *patient) deafHere() {
	p.t.Helper()
	p.silent("datagrams")
	before := p.receiver.Stats().Count
	p.silent("datagrams")
	if after := p.receiver.Stats().Count; after != before {
		p.t.Errorf("%d datagrams were delivered", after-before)
	}
}

func TestStoryDoctorNoReversePath(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"1", "2"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			p := newPatient(t, v4)
			p.silent("rp_filter")
			ok(t, p.Near.Set("eth0", testnet.NoAddresses, testnet.Address("10.2.0.2/24")))
			p.sysctl("net/ipv4/conf/eth0/rp_filter", mode)()
			found := p.finds("rp_filter", doctor.Fault, "10.1.0.1 are dropped: rp_filter is on at eth0, and there is no route back")
			p.deafHere()
			p.obey(found)
			p.hears(p.receiver)
			p.silent("rp_filter")
		})
	}
}

// Without an address a loose filter is as a strict one.
func TestStoryDoctorReversePathWithoutAddress(t *testing.T) {
	t.Parallel()
	p := newPatient(t, v4)
	p.detour()
	p.sysctl("net/ipv4/conf/eth0/rp_filter", "2")()
	p.silent("rp_filter")
	p.hears(p.receiver)
	ok(t, p.Near.Set("eth0", testnet.NoAddresses))
	found := p.finds("rp_filter", doctor.Fault, "which has no address, and the route back leads over eth1")
	p.deafHere()
	p.obey(found)
	p.hears(p.receiver)
	p.silent("rp_filter")
}

func TestStoryDoctorOwnSource(t *testing.T) {
	t.Parallel()
	p := newPatient(t, v4)
	p.silent("rp_filter")
	p.shell("ip address add 10.1.0.1/32 dev lo")
	found := p.finds("rp_filter", doctor.Warning, "10.1.0.1 is an address of this host")
	p.deafHere()
	p.obey(found)
	p.hears(p.receiver)
	p.silent("rp_filter")
}

func TestStoryDoctorForcedVersion(t *testing.T) {
	t.Parallel()
	for _, story := range []struct {
		family family
		path   string
		value  string
		words  string
	}{
		{v4, "net/ipv4/conf/eth0/force_igmp_version", "2", "eth0 is forced to IGMPv2 by net.ipv4.conf.eth0.force_igmp_version"},
		{v4, "net/ipv4/conf/all/force_igmp_version", "1", "eth0 is forced to IGMPv1 by net.ipv4.conf.all.force_igmp_version"},
		{v6, "net/ipv6/conf/eth0/force_mld_version", "1", "eth0 is forced to MLDv1 by net.ipv6.conf.eth0.force_mld_version"},
	} {
		t.Run(story.path, func(t *testing.T) {
			t.Parallel()
			p := newPatient(t, story.family)
			p.story("version", doctor.Fault, p.sysctl(story.path, story.value), story.words)
		})
	}
}

// An older querier is not mended on this host, but where it is this host's bridge.
func TestStoryDoctorOldQuerier(t *testing.T) {
	t.Parallel()
	p := newPatient(t, v4)
	p.silent("version")
	ok(t, p.Far.Ask("far0", testnet.QueryV2))
	found := p.finds("version", doctor.Fault, "eth0 speaks IGMPv2: a querier of that version was heard")
	if !hasAll(found.Why, []string{"until 260 s after"}) {
		t.Errorf("it says %q", found.Why)
	}
}

func TestStoryDoctorOneSocket(t *testing.T) {
	t.Parallel()
	p := newPatient(t, v4)
	p.silent("limits")
	p.story("limits", doctor.Warning, func() { p.subject.Channels = v4.many(30) }, "takes 20 groups by net.ipv4.igmp_max_memberships, and 30 are asked for")
	s := p.socket()
	for _, c := range v4.many(30) {
		ok(t, s.join(p.index(), channel{c.Source, c.Group}))
	}
}

// manySources are channels of one group.
func (f family) manySources(n int) []membership.Channel {
	var many []membership.Channel
	for source := f.channel.source.Next(); len(many) < n; source = source.Next() {
		many = append(many, membership.Channel{Source: source, Group: f.channel.group})
	}
	return many
}

func TestStoryDoctorSourcesOfOneSocket(t *testing.T) {
	t.Parallel()
	p := newPatient(t, v4)
	many := v4.manySources(100)
	p.story("limits", doctor.Warning, func() { p.subject.Channels = many }, "takes 10 sources of a group by net.ipv4.igmp_max_msf, and 100 are asked for")
	s := p.socket()
	for _, c := range many {
		ok(t, s.join(p.index(), channel{c.Source, c.Group}))
	}
}

// The limit of IPv6 is one for the whole kernel, and only the first namespace
// shows it.
func TestStoryDoctorHiddenLimit(t *testing.T) {
	t.Parallel()
	p := newPatient(t, v6)
	p.subject.Channels = v6.manySources(64)
	p.silent("limits")
	p.subject.Channels = v6.manySources(65)
	p.finds("limits", doctor.Unknown, "net.ipv6.mld_max_msf cannot be read in this network namespace, and 65 are asked for")
}

func TestStoryDoctorNoRoom(t *testing.T) {
	t.Parallel()
	p := newPatient(t, v4)
	p.story("limits", doctor.Fault, p.sysctl("net/ipv4/igmp_max_memberships", "0"), "net.ipv4.igmp_max_memberships is 0")
	ok(t, p.socket().join(p.index(), p.spare(1)))
}

func TestStoryDoctorNobodyJoined(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		p := newPatient(t, f)
		p.silent("kernel_membership")
		ok(t, p.receiver.Close())
		p.finds("kernel_membership", doctor.Fault, "nobody on this host has joined "+channelOf(f.channel).String()+" on eth0")
		s := p.joined()
		p.silent("kernel_membership")
		s.close()

		other := p.socket()
		ok(t, other.join(p.index(), f.other))
		p.finds("kernel_membership", doctor.Fault, f.channel.group.String()+" has users on eth0, and none of them wants "+f.channel.source.String())
		p.joined()
		p.silent("kernel_membership")
	})
}

// Where nothing can be joined on the loopback interface the list of filters may
// lack an interface, and the doctor says that it does not know.
func TestStoryDoctorHiddenFilters(t *testing.T) {
	t.Parallel()
	p := newPatient(t, v4)
	p.silent("kernel_membership")
	newReceiver(t, p.Near, testnet.ReceiverConfig{Listen: netip.MustParseAddrPort("239.1.1.1:5001"), Join: "eth0"})
	p.silent("kernel_membership") // by the channel on lo
	p.sysctl("net/ipv4/igmp_max_memberships", "0")()
	p.finds("kernel_membership", doctor.Unknown, "the kernel does not list for which sources")
	p.sysctl("net/ipv4/igmp_max_memberships", "20")()
	p.silent("kernel_membership")
}

func TestStoryDoctorAnySource(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		p := newPatient(t, f)
		p.silent("any_source")
		wide := newReceiver(t, p.Near, testnet.ReceiverConfig{Listen: f.listen(), Join: "eth0"})
		p.finds("any_source", doctor.Warning, f.channel.group.String()+" has users on eth0 that want any source: 1")
		ok(t, wide.Close())
		p.silent("any_source")
		// Of a socket with two sources the kernel's numbers tell it no more.
		both := p.socket()
		ok(t, both.join(p.index(), f.channel))
		ok(t, both.join(p.index(), f.other))
		p.silent("any_source")
		newReceiver(t, p.Near, testnet.ReceiverConfig{Listen: f.listen(), Join: "eth0"})
		p.finds("any_source", doctor.Warning, f.channel.group.String()+" has users on eth0 that want any source: 1")
	})
}
