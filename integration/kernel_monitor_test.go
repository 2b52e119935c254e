package integration

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// The multicast address groups of rtnetlink, since Linux 6.14.
const (
	rtnlgrpIPv4McAddr = 37
	rtnlgrpIPv6McAddr = 38
)

// event is what a netlink message says, as far as the facts need it.
type event struct {
	kind   uint16 // RTM_NEWLINK and so on
	family uint8
	index  int
	attrs  map[uint16][]byte
}

func (e event) String() string {
	names := map[uint16]string{
		unix.RTM_NEWLINK: "NEWLINK", unix.RTM_DELLINK: "DELLINK", unix.RTM_NEWADDR: "NEWADDR",
		unix.RTM_DELADDR: "DELADDR", unix.RTM_NEWMULTICAST: "NEWMULTICAST", unix.RTM_DELMULTICAST: "DELMULTICAST",
	}
	return fmt.Sprintf("%s family %d index %d", names[e.kind], e.family, e.index)
}

// group is the multicast address of a NEWMULTICAST or DELMULTICAST.
func (e event) group() netip.Addr {
	a, _ := netip.AddrFromSlice(e.attrs[unix.IFA_MULTICAST])
	return a
}

// monitor is one netlink socket in a namespace.
type monitor struct {
	t      testing.TB
	socket *nl.NetlinkSocket
	read   []event // received and not yet taken
}

func newMonitor(t testing.TB, n *testnet.Namespace, groups ...uint) *monitor {
	t.Helper()
	s, err := nl.SubscribeAt(n.Handle(), netns.None(), unix.NETLINK_ROUTE)
	ok(t, err)
	t.Cleanup(s.Close)
	for _, g := range groups { // the library can subscribe to the first 32 only
		err := unix.SetsockoptInt(s.GetFd(), unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, int(g))
		needs(t, fmt.Sprintf("netlink group %d", g), err)
	}
	ok(t, s.SetReceiveTimeout(&unix.Timeval{Sec: 20}))
	return &monitor{t: t, socket: s}
}

// until returns all events up to and including the first that matches.
func (m *monitor) until(what string, match func(event) bool) []event {
	m.t.Helper()
	var seen []event
	for {
		for len(m.read) > 0 {
			e := m.read[0]
			m.read = m.read[1:]
			if seen = append(seen, e); match(e) {
				return seen
			}
		}
		messages, _, err := m.socket.Receive()
		if err != nil {
			m.t.Fatalf("waiting for %s: %v; saw %v", what, err, seen)
		}
		for _, message := range messages {
			m.read = append(m.read, parseEvent(message.Header.Type, message.Data))
		}
	}
}

// mark renames the loopback's alias and returns all events before that.
func (m *monitor) mark(n *testnet.Namespace, alias string) []event {
	m.t.Helper()
	ok(m.t, n.Set("lo", testnet.Alias(alias)))
	return m.until("the mark", func(e event) bool {
		return e.kind == unix.RTM_NEWLINK && string(e.attrs[unix.IFLA_IFALIAS]) == alias+"\x00"
	})
}

// parseEvent reads a message; struct ifinfomsg and struct ifaddrmsg both have
// the family first and the index in the second word.
func parseEvent(kind uint16, data []byte) event {
	e := event{kind: kind, family: data[0], index: int(nl.NativeEndian().Uint32(data[4:])), attrs: map[uint16][]byte{}}
	header := unix.SizeofIfInfomsg
	if kind != unix.RTM_NEWLINK && kind != unix.RTM_DELLINK {
		header = unix.SizeofIfAddrmsg
	}
	attrs, _ := nl.ParseRouteAttr(data[header:])
	for _, a := range attrs {
		e.attrs[a.Attr.Type] = a.Value
	}
	return e
}

func is(kind uint16, family uint8, index int) func(event) bool {
	return func(e event) bool { return e.kind == kind && e.family == family && e.index == index }
}
