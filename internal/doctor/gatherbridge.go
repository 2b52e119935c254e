package doctor

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// linkAt is what is needed to go from one interface to the next below it, in
// whatever network namespace that is. netns is the number by which the caller's
// namespace knows the other one; own is none.
type linkAt struct {
	name   string
	kind   string
	index  int
	master int
	parent int // the interface that it is on, or the other end of a veth pair
	netns  int
	info   map[uint16][]byte // of the kind

	parentNetns *int // nil: the interface's own
}

const ownNamespace = -1

// farthest is how many interfaces may lie between one and its bridge.
const farthest = 4

// readBridges follows an interface down to a bridge: itself, its master, the other
// end of a veth pair, and the interface that a VLAN or a macvlan is on. The error
// says that it could not follow; nil and nil is no bridge.
func readBridges(index int) ([]Bridge, error) {
	l, err := readLinkAt(index, ownNamespace)
	if err != nil {
		return nil, err
	}
	if l.kind == "bridge" {
		return []Bridge{bridgeOf(l, TieSelf)}, nil
	}
	tie := TiePort
	for range farthest {
		if l.master != 0 {
			if master, err := readLinkAt(l.master, l.netns); err == nil && master.kind == "bridge" {
				return []Bridge{bridgeOf(master, tie)}, nil
			}
		}
		if l.parent == 0 || l.below() == nowhere {
			return nil, nil
		}
		if l, err = readLinkAt(l.parent, l.below()); err != nil {
			return nil, err
		}
		tie = TieBelow
		if l.kind == "bridge" {
			return []Bridge{bridgeOf(l, TieBelow)}, nil
		}
	}
	return nil, nil
}

// below is the namespace of the parent. Numbers are each namespace's own: from
// another one than the caller's there is no way on.
func (l linkAt) below() int {
	switch {
	case l.parentNetns == nil:
		return l.netns
	case l.netns != ownNamespace:
		return nowhere
	}
	return *l.parentNetns
}

const nowhere = -2

// readLinkAt asks for an interface in a namespace that the calling thread's
// knows by a number. That needs CAP_NET_ADMIN over there.
func readLinkAt(index, netns int) (linkAt, error) {
	request := nl.NewNetlinkRequest(unix.RTM_GETLINK, unix.NLM_F_REQUEST)
	header := nl.NewIfInfomsg(unix.AF_UNSPEC)
	header.Index = int32(index)
	request.AddData(header)
	if netns != ownNamespace {
		request.AddData(nl.NewRtAttr(unix.IFLA_TARGET_NETNSID, nl.Uint32Attr(uint32(netns))))
	}
	answers, err := request.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWLINK)
	if errors.Is(err, unix.EPERM) {
		return linkAt{}, fmt.Errorf("look into another network namespace: %w (needs CAP_NET_ADMIN there)", err)
	}
	if err != nil {
		return linkAt{}, err
	}
	if len(answers) == 0 || len(answers[0]) < unix.SizeofIfInfomsg {
		return linkAt{}, fmt.Errorf("read link %d: a short answer", index)
	}
	attributes, err := nl.ParseRouteAttr(answers[0][unix.SizeofIfInfomsg:])
	if err != nil {
		return linkAt{}, err
	}
	l := linkAt{index: index, netns: netns, info: make(map[uint16][]byte)}
	for _, a := range attributes {
		switch a.Attr.Type &^ unix.NLA_F_NESTED {
		case unix.IFLA_IFNAME:
			l.name = nl.BytesToString(a.Value)
		case unix.IFLA_MASTER:
			l.master = int(binary.NativeEndian.Uint32(a.Value))
		case unix.IFLA_LINK:
			l.parent = int(binary.NativeEndian.Uint32(a.Value))
		case unix.IFLA_LINK_NETNSID:
			netns := int(int32(binary.NativeEndian.Uint32(a.Value)))
			l.parentNetns = &netns
		case unix.IFLA_LINKINFO:
			l.readInfo(a.Value)
		}
	}
	return l, nil
}

func (l *linkAt) readInfo(data []byte) {
	attributes, err := nl.ParseRouteAttr(data)
	if err != nil {
		return
	}
	for _, a := range attributes {
		switch a.Attr.Type &^ unix.NLA_F_NESTED {
		case nl.IFLA_INFO_KIND:
			l.kind = nl.BytesToString(a.Value)
		case nl.IFLA_INFO_DATA:
			below, err := nl.ParseRouteAttr(a.Value)
			if err != nil {
				return
			}
			for _, b := range below {
				l.info[b.Attr.Type&^unix.NLA_F_NESTED] = b.Value
			}
		}
	}
}

// What netlink says of a bridge's queriers: IFLA_BR_MCAST_QUERIER_STATE, since
// Linux 5.16, has a timer for each family while another querier is heard.
const (
	bridgeQuerierState = 47
	otherQuerierIPv4   = 3 // BRIDGE_QUERIER_IP_OTHER_TIMER
	otherQuerierIPv6   = 7 // BRIDGE_QUERIER_IPV6_OTHER_TIMER
)

func bridgeOf(l linkAt, tie BridgeTie) Bridge {
	b := Bridge{Name: l.name, Tie: tie, Elsewhere: l.netns != ownNamespace, Others: make(map[ifwatch.Family]bool),
		Snooping: isSet(l.info[nl.IFLA_BR_MCAST_SNOOPING]), Querier: isSet(l.info[nl.IFLA_BR_MCAST_QUERIER])}
	state, err := nl.ParseRouteAttr(l.info[bridgeQuerierState])
	if err != nil {
		return b
	}
	for _, a := range state {
		switch a.Attr.Type &^ unix.NLA_F_NESTED {
		case otherQuerierIPv4:
			b.Others[ifwatch.IPv4] = true
		case otherQuerierIPv6:
			b.Others[ifwatch.IPv6] = true
		}
	}
	return b
}

func isSet(value []byte) bool { return len(value) > 0 && value[0] != 0 }
