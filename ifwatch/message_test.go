package ifwatch

import (
	"encoding/binary"
	"net/netip"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// attr is one attribute with its padding; kind may bear NLA_F_NESTED.
func attr(kind uint16, values ...[]byte) []byte {
	var value []byte
	for _, v := range values {
		value = append(value, v...)
	}
	b := binary.NativeEndian.AppendUint16(nil, uint16(4+len(value)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = append(b, value...)
	return append(b, make([]byte, -len(b)&3)...)
}

func u32(n uint32) []byte         { return binary.NativeEndian.AppendUint32(nil, n) }
func zeroEnded(s string) []byte   { return append([]byte(s), 0) }
func address(text string) []byte  { return netip.MustParseAddr(text).AsSlice() }
func ifname(name string) []byte   { return attr(unix.IFLA_IFNAME, zeroEnded(name)) }
func mtu(n uint32) []byte         { return attr(unix.IFLA_MTU, u32(n)) }
func join(parts ...[]byte) []byte { return attr(0, parts...)[4:] }

// linkMessage is RTM_NEWLINK, or RTM_DELLINK, of interface 5.
func linkMessage(kind uint16, family byte, flags uint32, attrs ...[]byte) syscall.NetlinkMessage {
	data := []byte{family, 0}
	data = binary.NativeEndian.AppendUint16(data, unix.ARPHRD_ETHER)
	data = append(append(append(data, u32(5)...), u32(flags)...), u32(0)...)
	return syscall.NetlinkMessage{Header: syscall.NlMsghdr{Type: kind}, Data: append(data, join(attrs...)...)}
}

func addressMessage(kind uint16, family, length, flags byte, attrs ...[]byte) syscall.NetlinkMessage {
	data := append([]byte{family, length, flags, 0}, u32(5)...)
	return syscall.NetlinkMessage{Header: syscall.NlMsghdr{Type: kind}, Data: append(data, join(attrs...)...)}
}

func plainLink(changes ...func(*link)) link {
	l := link{Interface: Interface{Index: 5, Name: "eth0", AltNames: []string{}, Kind: "physical", LinkType: "ether", VLANID: -1, MTU: 1500}}
	for _, change := range changes {
		change(&l)
	}
	return l
}

var compareAddresses = cmp.Options{
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.AllowUnexported(link{}, linkGone{}, addressEvent{}),
}

func TestDecodeLink(t *testing.T) {
	t.Parallel()
	const nested = unix.NLA_F_NESTED
	tests := []struct {
		name string
		msg  syscall.NetlinkMessage
		want any
	}{
		{"removal", linkMessage(unix.RTM_DELLINK, unix.AF_UNSPEC, 0, ifname("eth0")), linkGone{5}},
		{"K10: a port leaves its bridge", linkMessage(unix.RTM_DELLINK, unix.AF_BRIDGE, 0, ifname("eth0"), mtu(1500)), nil},
		{"K10: partial, of the bridge", linkMessage(unix.RTM_NEWLINK, unix.AF_BRIDGE, 0, ifname("eth0"), mtu(1500)), nil},
		{"K10: partial, of IPv6", linkMessage(unix.RTM_NEWLINK, unix.AF_INET6, 0, ifname("eth0"), mtu(1500)), nil},
		{"partial, of wireless extensions", linkMessage(unix.RTM_NEWLINK, unix.AF_UNSPEC, unix.IFF_UP, ifname("eth0"), attr(unix.IFLA_WIRELESS, u32(0))), nil},
		{"least", linkMessage(unix.RTM_NEWLINK, unix.AF_UNSPEC, 0, ifname("eth0"), mtu(1500)), plainLink()},
		{"flags", linkMessage(unix.RTM_NEWLINK, unix.AF_UNSPEC, unix.IFF_UP|unix.IFF_LOWER_UP|unix.IFF_MULTICAST, ifname("eth0"), mtu(1500)),
			plainLink(func(l *link) { l.Up, l.Carrier, l.Multicast = true, true, true })},
		{"texts", linkMessage(unix.RTM_NEWLINK, unix.AF_UNSPEC, 0, ifname("eth0"), mtu(1500),
			attr(unix.IFLA_IFALIAS, []byte("feed A")), attr(unix.IFLA_ADDRESS, []byte{2, 0, 0, 0, 0, 0xa}), attr(unix.IFLA_PERM_ADDRESS, make([]byte, 6)),
			attr(unix.IFLA_PARENT_DEV_NAME, zeroEnded("0000:3b:00.0")), attr(unix.IFLA_PARENT_DEV_BUS_NAME, zeroEnded("pci")),
			attr(unix.IFLA_PROP_LIST|nested, attr(unix.IFLA_ALT_IFNAME, zeroEnded("up")), attr(unix.IFLA_ALT_IFNAME, zeroEnded("enp59s0")))),
			plainLink(func(l *link) {
				l.Alias, l.MAC, l.Device, l.AltNames = "feed A", "02:00:00:00:00:0a", "pci/0000:3b:00.0", []string{"up", "enp59s0"}
			})},
		{"VLAN", linkMessage(unix.RTM_NEWLINK, unix.AF_UNSPEC, 0, ifname("eth0"), mtu(1500), attr(unix.IFLA_LINK, u32(2)), attr(unix.IFLA_MASTER, u32(3)), attr(unix.IFLA_GROUP, u32(7)),
			attr(unix.IFLA_LINKINFO|nested, attr(nl.IFLA_INFO_KIND, zeroEnded("vlan")), attr(nl.IFLA_INFO_DATA|nested, attr(nl.IFLA_VLAN_ID, []byte{100, 0})))),
			plainLink(func(l *link) { l.Kind, l.VLANID, l.parent, l.master, l.LinkGroup = "vlan", 100, 2, 3, 7 })},
		{"details before the kind", linkMessage(unix.RTM_NEWLINK, unix.AF_UNSPEC, 0, ifname("eth0"), mtu(1500),
			attr(unix.IFLA_LINKINFO, attr(nl.IFLA_INFO_DATA, attr(nl.IFLA_VLAN_ID, []byte{100, 0})), attr(nl.IFLA_INFO_KIND, zeroEnded("vlan")))),
			plainLink(func(l *link) { l.Kind, l.VLANID = "vlan", 100 })},
		{"link info without a kind", linkMessage(unix.RTM_NEWLINK, unix.AF_UNSPEC, 0, ifname("eth0"), mtu(1500), attr(unix.IFLA_LINKINFO, attr(nl.IFLA_INFO_SLAVE_KIND, zeroEnded("bridge")))), plainLink()},
		{"parent in another namespace", linkMessage(unix.RTM_NEWLINK, unix.AF_UNSPEC, 0, ifname("eth0"), mtu(1500), attr(unix.IFLA_LINK_NETNSID, u32(0)), attr(unix.IFLA_LINK, u32(2))), plainLink()},
		{"numbers cut short", linkMessage(unix.RTM_NEWLINK, unix.AF_UNSPEC, 0, ifname("eth0"), mtu(1500), attr(unix.IFLA_LINK, []byte{2}), attr(unix.IFLA_IFALIAS)), plainLink()},
		{"peers are to be told", linkMessage(unix.RTM_NEWLINK, unix.AF_UNSPEC, 0, ifname("eth0"), mtu(1500), attr(unix.IFLA_EVENT, u32(4))), plainLink(func(l *link) { l.notice = true })},
		{"a bond failed over", linkMessage(unix.RTM_NEWLINK, unix.AF_UNSPEC, 0, ifname("eth0"), mtu(1500), attr(unix.IFLA_EVENT, u32(3))), plainLink(func(l *link) { l.notice = true })},
		{"another event", linkMessage(unix.RTM_NEWLINK, unix.AF_UNSPEC, 0, ifname("eth0"), mtu(1500), attr(unix.IFLA_EVENT, u32(2))), plainLink()},
		{"of no interest", linkMessage(unix.RTM_NEWNEIGH, unix.AF_UNSPEC, 0), nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := decode(tt.msg)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got, compareAddresses); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDecodeAddress(t *testing.T) {
	t.Parallel()
	prefix, addr := netip.MustParsePrefix, netip.MustParseAddr
	flags := func(f uint32) []byte { return attr(unix.IFA_FLAGS, u32(f)) }
	v4 := attr(unix.IFA_ADDRESS, address("10.1.0.2"))
	v6 := attr(unix.IFA_ADDRESS, address("2001:db8::1"))
	tests := []struct {
		name string
		msg  syscall.NetlinkMessage
		want any
	}{
		{"IPv4", addressMessage(unix.RTM_NEWADDR, unix.AF_INET, 24, 0, v4, attr(unix.IFA_LOCAL, address("10.1.0.2"))),
			addressEvent{5, Address{prefix("10.1.0.2/24"), false}, addr("10.1.0.2"), false}},
		{"peer", addressMessage(unix.RTM_NEWADDR, unix.AF_INET, 32, 0, attr(unix.IFA_ADDRESS, address("10.9.0.1")), attr(unix.IFA_LOCAL, address("10.1.0.2"))),
			addressEvent{5, Address{prefix("10.1.0.2/32"), false}, addr("10.9.0.1"), false}},
		{"gone", addressMessage(unix.RTM_DELADDR, unix.AF_INET, 24, 0, v4), addressEvent{5, Address{prefix("10.1.0.2/24"), false}, addr("10.1.0.2"), true}},
		{"IPv6, tentative in the short flags", addressMessage(unix.RTM_NEWADDR, unix.AF_INET6, 64, unix.IFA_F_TENTATIVE, v6), addressEvent{5, Address{prefix("2001:db8::1/64"), true}, addr("2001:db8::1"), false}},
		{"the long flags count", addressMessage(unix.RTM_NEWADDR, unix.AF_INET6, 64, unix.IFA_F_TENTATIVE, v6, flags(unix.IFA_F_PERMANENT)), addressEvent{5, Address{prefix("2001:db8::1/64"), false}, addr("2001:db8::1"), false}},
		{"optimistic", addressMessage(unix.RTM_NEWADDR, unix.AF_INET6, 64, 0, v6, flags(unix.IFA_F_TENTATIVE|unix.IFA_F_OPTIMISTIC)), addressEvent{5, Address{prefix("2001:db8::1/64"), false}, addr("2001:db8::1"), false}},
		{"other family", addressMessage(unix.RTM_NEWADDR, unix.AF_PHONET, 0, 0), nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := decode(tt.msg)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got, compareAddresses); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	short := func(m syscall.NetlinkMessage, n int) syscall.NetlinkMessage { m.Data = m.Data[:n]; return m }
	named := linkMessage(unix.RTM_NEWLINK, unix.AF_UNSPEC, 0, ifname("eth0"), mtu(1500))
	tests := map[string]syscall.NetlinkMessage{
		"no link header":      short(named, 15),
		"nothing":             short(named, 0),
		"no address header":   short(addressMessage(unix.RTM_NEWADDR, unix.AF_INET, 24, 0), 7),
		"no address":          addressMessage(unix.RTM_NEWADDR, unix.AF_INET, 24, 0),
		"length of a prefix":  addressMessage(unix.RTM_NEWADDR, unix.AF_INET, 33, 0, attr(unix.IFA_LOCAL, address("10.1.0.2"))),
		"address of 3 bytes":  addressMessage(unix.RTM_NEWADDR, unix.AF_INET, 24, 0, attr(unix.IFA_LOCAL, []byte{1, 2, 3})),
		"attribute too long":  linkMessage(unix.RTM_NEWLINK, unix.AF_UNSPEC, 0, ifname("eth0"), mtu(1500), []byte{99, 0, 3, 0}),
		"attribute too short": addressMessage(unix.RTM_NEWADDR, unix.AF_INET, 24, 0, []byte{3, 0, 1, 0}),
	}
	for name, msg := range tests {
		if got, err := decode(msg); err == nil {
			t.Errorf("%s: got %+v, want an error", name, got)
		}
	}
}

// The last attribute may lack the padding that the length of the others
// includes.
func TestDecodeWithoutPadding(t *testing.T) {
	t.Parallel()
	m := linkMessage(unix.RTM_NEWLINK, unix.AF_UNSPEC, 0, mtu(1500), attr(unix.IFLA_IFNAME, []byte("eth01")))
	m.Data = m.Data[:len(m.Data)-3]
	got, err := decode(m)
	if l, ok := got.(link); err != nil || !ok || l.Name != "eth01" {
		t.Errorf("%+v, %v", got, err)
	}
}

func FuzzDecode(f *testing.F) {
	add := func(m syscall.NetlinkMessage) { f.Add(m.Header.Type, m.Data) }
	add(linkMessage(unix.RTM_NEWLINK, unix.AF_UNSPEC, 1, ifname("eth0"), mtu(1500),
		attr(unix.IFLA_LINKINFO, attr(nl.IFLA_INFO_KIND, zeroEnded("vlan")), attr(nl.IFLA_INFO_DATA, attr(nl.IFLA_VLAN_ID, []byte{100, 0}))),
		attr(unix.IFLA_PROP_LIST, attr(unix.IFLA_ALT_IFNAME, zeroEnded("up")))))
	add(linkMessage(unix.RTM_DELLINK, unix.AF_UNSPEC, 0))
	add(addressMessage(unix.RTM_NEWADDR, unix.AF_INET6, 64, 0, attr(unix.IFA_ADDRESS, address("2001:db8::1")), attr(unix.IFA_FLAGS, u32(64))))
	f.Add(uint16(unix.RTM_NEWLINK), []byte{})
	f.Fuzz(func(t *testing.T, kind uint16, data []byte) {
		m, err := decode(syscall.NetlinkMessage{Header: syscall.NlMsghdr{Type: kind}, Data: data})
		if err != nil {
			return
		}
		w := New(Options{})
		w.synced = true
		w.table.apply(m, false)
		if l, ok := m.(link); ok && (l.Index <= 0 || l.Name == "" || len(w.Take().Changes) != 1) {
			t.Errorf("%+v", l)
		}
		if a, ok := m.(addressEvent); ok && (a.index <= 0 || !a.address.Prefix.IsValid()) {
			t.Errorf("%+v", a)
		}
	})
}
