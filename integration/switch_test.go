package integration

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/internal/testnet"
)

// network is a lab whose far side is a switch: the bridge br0 with IGMP
// snooping, which is the querier and the source too. eth0 is at its port port0,
// and eth1, on which nobody joins anything, at port1.
type network struct{ *lab }

// newSwitch makes a switch whose bridge has these attributes besides.
func newSwitch(t testing.TB, more ...*nl.RtAttr) *network {
	t.Helper()
	s := &network{&lab{&testnet.Network{Near: newNamespace(t), Far: newNamespace(t)}, t, patience(t), v4}}
	const tenth = 10 // hundredths of a second
	ok(t, s.Far.Add(testnet.Bridge("br0")))
	s.bridge(append([]*nl.RtAttr{
		nl.NewRtAttr(nl.IFLA_BR_MCAST_IGMP_VERSION, []byte{3}),
		nl.NewRtAttr(nl.IFLA_BR_MCAST_QUERY_RESPONSE_INTVL, nl.Uint64Attr(tenth)), // from then on it floods no more
	}, more...)...)
	s.bridge(nl.NewRtAttr(nl.IFLA_BR_MCAST_QUERIER, []byte{1})) // later, as it begins with that interval
	ok(t, s.Far.Set("br0", testnet.Address(netip.PrefixFrom(v4.channel.source, 24).String()), testnet.Up))
	ok(t, s.Near.SetSysctl("net/ipv6/conf/default/disable_ipv6", "1")) // its groups take places in the table too
	for n, address := range []string{"10.1.0.2/24", "10.1.0.3/24"} {
		near, far := fmt.Sprint("eth", n), fmt.Sprint("port", n)
		ok(t, testnet.AddVeth(s.Near, s.Far, testnet.Veth{Name: near, PeerName: far, Addresses: []string{address}}))
		ok(t, s.Far.Set(far, testnet.Master("br0")))
	}
	return s
}

// set sets attributes of a link's kind, or of a bridge's port.
func (s *network) set(name string, info ...*nl.RtAttr) error {
	index, err := s.Far.Index(name)
	if err != nil {
		return err
	}
	request := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_ACK)
	message := nl.NewIfInfomsg(unix.AF_UNSPEC)
	message.Index = int32(index)
	request.AddData(message)
	for _, attribute := range info {
		request.AddData(attribute)
	}
	return s.Far.Do(func() error {
		_, err := request.Execute(unix.NETLINK_ROUTE, 0)
		return err
	})
}

// bridge sets attributes of the bridge.
func (s *network) bridge(attributes ...*nl.RtAttr) {
	s.t.Helper()
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("bridge"))
	data := info.AddRtAttr(nl.IFLA_INFO_DATA, nil)
	for _, a := range attributes {
		data.AddChild(a)
	}
	ok(s.t, s.set("br0", info))
}

// limitPort has a port of the bridge take only so many groups, each of which is
// two: with and without its source.
func (s *network) limitPort(name string, groups uint32) {
	s.t.Helper()
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_SLAVE_KIND, nl.NonZeroTerminated("bridge"))
	info.AddRtAttr(nl.IFLA_INFO_SLAVE_DATA, nil).AddRtAttr(nl.IFLA_BRPORT_MCAST_MAX_GROUPS, nl.Uint32Attr(groups))
	err := s.set(name, info)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) {
		needs(s.t, "bridge that limits the groups of a port", err)
	}
	ok(s.t, err)
}

// snoops reports whether the bridge does.
func (s *network) snoops() bool {
	s.t.Helper()
	link, err := s.Far.Netlink.LinkByName("br0")
	ok(s.t, err)
	return *link.(*netlink.Bridge).MulticastSnooping
}

// forwards returns the source-specific groups that the bridge's table leads to
// a port.
func (s *network) forwards(port string) map[netip.Addr]bool {
	s.t.Helper()
	const (
		entryInfo = 1  // MDBA_MDB, MDBA_MDB_ENTRY and MDBA_MDB_ENTRY_INFO
		header    = 8  // of struct br_port_msg
		addressAt = 8  // in struct br_mdb_entry
		protoAt   = 24 // likewise, big-endian
	)
	index, err := s.Far.Index(port)
	ok(s.t, err)
	groups := make(map[netip.Addr]bool)
	request := nl.NewNetlinkRequest(unix.RTM_GETMDB, unix.NLM_F_DUMP)
	request.AddRawData(append([]byte{unix.AF_BRIDGE}, make([]byte, header-1)...))
	var all [][]byte
	ok(s.t, s.Far.Do(func() (err error) {
		all, err = request.Execute(unix.NETLINK_ROUTE, unix.RTM_GETMDB)
		return err
	}))
	nested := func(b []byte) [][]byte {
		attributes, err := nl.ParseRouteAttr(b)
		ok(s.t, err)
		var values [][]byte
		for _, a := range attributes {
			if a.Attr.Type&nl.NLA_TYPE_MASK == entryInfo {
				values = append(values, a.Value)
			}
		}
		return values
	}
	for _, m := range all {
		for _, mdb := range nested(m[header:]) {
			for _, entry := range nested(mdb) {
				for _, info := range nested(entry) {
					if binary.NativeEndian.Uint32(info) == uint32(index) && binary.BigEndian.Uint16(info[protoAt:]) == unix.ETH_P_IP {
						groups[netip.AddrFrom4([4]byte(info[addressAt:]))] = true
					}
				}
			}
		}
	}
	return groups
}

// seen notes the groups of the datagrams that reach an interface, whoever is a
// member there.
type seen struct {
	mu     sync.Mutex
	groups map[netip.Addr]int
}

// watch begins to look at an interface of the near side.
func (s *network) watch(name string) *seen {
	s.t.Helper()
	index, err := s.Near.Index(name)
	ok(s.t, err)
	protocol := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, unix.ETH_P_IP))
	w, fd := &seen{groups: make(map[netip.Addr]int)}, -1
	ok(s.t, s.Near.Do(func() (err error) {
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(protocol)); err != nil {
			return err
		}
		return errors.Join(
			unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: protocol, Ifindex: index}),
			unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 50_000}),
			unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1))
	}))
	background(s.t, func(ctx context.Context) error {
		defer unix.Close(fd)
		packet := make([]byte, 64)
		for ctx.Err() == nil {
			n, err := unix.Read(fd, packet)
			if err == nil && n >= 20 && packet[9] == unix.IPPROTO_UDP {
				w.mu.Lock()
				w.groups[netip.AddrFrom4([4]byte(packet[16:]))]++
				w.mu.Unlock()
			}
		}
		return nil
	})
	return w
}

// count returns how many datagrams of a group were seen.
func (w *seen) count(group netip.Addr) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.groups[group]
}

// all returns how many datagrams were seen.
func (w *seen) all() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, count := range w.groups {
		n += count
	}
	return n
}

// send has the switch send to groups over and over.
func (s *network) send(groups ...netip.Addr) {
	s.t.Helper()
	c := testnet.SenderConfig{Interface: "br0"}
	for _, g := range groups {
		c.To = append(c.To, netip.AddrPortFrom(g, port))
	}
	background(s.t, testnet.NewSender(s.Far, c).Run)
}
