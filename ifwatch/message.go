package ifwatch

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// link is what one RTM_NEWLINK says of an interface. Parent and master are
// indexes here; the table turns them into names.
type link struct {
	Interface // without ID, Addresses, Parent, Master and the protocols
	parent    int
	master    int

	carriers uint32 // IFLA_CARRIER_UP_COUNT, zero where there is none
	notice   bool   // IFLA_EVENT says that its peers are to be told of it
}

// addressEvent is one RTM_NEWADDR or RTM_DELADDR.
type addressEvent struct {
	index   int
	address Address
	peer    netip.Addr // two addresses may differ in nothing else
	gone    bool
}

// linkGone is an RTM_DELLINK that is a removal.
type linkGone struct{ index int }

// decode turns a message of rtnetlink into a link, a linkGone, an addressEvent,
// or nil where it is of no interest.
//
// RTM_NEWLINK and RTM_DELLINK of a family are partial and no removal: a port
// that leaves a bridge sends RTM_DELLINK of AF_BRIDGE and lives on. Only
// AF_UNSPEC speaks of the interface itself.
func decode(msg syscall.NetlinkMessage) (any, error) {
	switch msg.Header.Type {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		if len(msg.Data) < unix.SizeofIfInfomsg {
			return nil, fmt.Errorf("decode link message: %d bytes, want at least %d", len(msg.Data), unix.SizeofIfInfomsg)
		}
		header := linkHeader(msg.Data)
		switch {
		case header.Family != unix.AF_UNSPEC:
			return nil, nil
		case header.Index <= 0:
			return nil, fmt.Errorf("decode link message: index %d", header.Index)
		case msg.Header.Type == unix.RTM_DELLINK:
			return linkGone{int(header.Index)}, nil
		}
		return decodeLink(header, msg.Data[unix.SizeofIfInfomsg:])
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		if len(msg.Data) < unix.SizeofIfAddrmsg {
			return nil, fmt.Errorf("decode address message: %d bytes, want at least %d", len(msg.Data), unix.SizeofIfAddrmsg)
		}
		return decodeAddress(msg.Data, msg.Header.Type == unix.RTM_DELADDR)
	}
	return nil, nil
}

// linkHeader reads a struct ifinfomsg.
func linkHeader(data []byte) nl.IfInfomsg {
	return nl.IfInfomsg{IfInfomsg: unix.IfInfomsg{
		Family: data[0],
		Type:   binary.NativeEndian.Uint16(data[2:]),
		Index:  int32(binary.NativeEndian.Uint32(data[4:])),
		Flags:  binary.NativeEndian.Uint32(data[8:]),
	}}
}

// decodeLink returns nil for a message without name or MTU: it is partial, and
// says nothing of what it leaves out. Wireless extensions send such ones, of
// AF_UNSPEC, at every scan.
func decodeLink(header nl.IfInfomsg, data []byte) (any, error) {
	l := link{Interface: Interface{
		Index:     int(header.Index),
		AltNames:  []string{},
		Kind:      physical,
		LinkType:  header.EncapType(),
		VLANID:    -1,
		Up:        header.Flags&unix.IFF_UP != 0,
		Carrier:   header.Flags&unix.IFF_LOWER_UP != 0,
		Running:   header.Flags&unix.IFF_RUNNING != 0,
		Multicast: header.Flags&unix.IFF_MULTICAST != 0,
	}}
	var bus, device string
	foreignParent, hasMTU := false, false
	attrs := attributes{data: data}
	for attrs.next() {
		value := attrs.value
		switch attrs.kind {
		case unix.IFLA_IFNAME:
			l.Name = text(value)
		case unix.IFLA_PROP_LIST:
			l.AltNames = altNames(value)
		case unix.IFLA_LINKINFO:
			l.Kind, l.VLANID = linkInfo(value)
		case unix.IFLA_ADDRESS:
			l.MAC = mac(value)
		case unix.IFLA_PERM_ADDRESS:
			l.PermMAC = mac(value)
		case unix.IFLA_PARENT_DEV_NAME:
			device = text(value)
		case unix.IFLA_PARENT_DEV_BUS_NAME:
			bus = text(value)
		case unix.IFLA_LINK:
			l.parent = int(number(value))
		case unix.IFLA_LINK_NETNSID:
			foreignParent = true
		case unix.IFLA_MASTER:
			l.master = int(number(value))
		case unix.IFLA_GROUP:
			l.LinkGroup = number(value)
		case unix.IFLA_IFALIAS:
			l.Alias = text(value)
		case unix.IFLA_CARRIER_UP_COUNT:
			l.carriers = number(value)
		case unix.IFLA_EVENT:
			event := number(value)
			l.notice = event == eventNotifyPeers || event == eventBondingFailover
		case unix.IFLA_MTU:
			l.MTU, hasMTU = int(number(value)), true
		}
	}
	if attrs.malformed {
		return nil, fmt.Errorf("decode link message of interface %d: malformed attribute", header.Index)
	}
	if l.Name == "" || !hasMTU {
		return nil, nil
	}
	if device != "" {
		l.Device = bus + "/" + device
	}
	if foreignParent {
		l.parent = 0
	}
	return l, nil
}

// The values of IFLA_EVENT that tell of another place in the network.
const (
	eventBondingFailover = 3 // IFLA_EVENT_BONDING_FAILOVER
	eventNotifyPeers     = 4 // IFLA_EVENT_NOTIFY_PEERS
)

const physical = "physical" // the kind of an interface for which the kernel names none

// linkInfo returns the kind and, of a VLAN interface, its id.
func linkInfo(data []byte) (kind string, vlanID int) {
	kind, vlanID = physical, -1
	var details []byte
	attrs := attributes{data: data}
	for attrs.next() {
		switch attrs.kind {
		case unix.IFLA_INFO_KIND:
			kind = text(attrs.value)
		case unix.IFLA_INFO_DATA:
			details = attrs.value
		}
	}
	if kind != "vlan" {
		return kind, vlanID
	}
	attrs = attributes{data: details}
	for attrs.next() {
		if attrs.kind == nl.IFLA_VLAN_ID && len(attrs.value) >= 2 {
			vlanID = int(binary.NativeEndian.Uint16(attrs.value))
		}
	}
	return kind, vlanID
}

func altNames(data []byte) []string {
	names := []string{}
	attrs := attributes{data: data}
	for attrs.next() {
		if attrs.kind == unix.IFLA_ALT_IFNAME {
			names = append(names, text(attrs.value))
		}
	}
	return names
}

// decodeAddress takes IFA_LOCAL for the address where there is one: with a
// peer, IFA_ADDRESS is the peer's.
func decodeAddress(data []byte, gone bool) (any, error) {
	family, length, flags := data[0], int(data[1]), uint32(data[2])
	index := int(int32(binary.NativeEndian.Uint32(data[4:])))
	if family != unix.AF_INET && family != unix.AF_INET6 {
		return nil, nil
	}
	var local, address netip.Addr
	attrs := attributes{data: data[unix.SizeofIfAddrmsg:]}
	for attrs.next() {
		switch attrs.kind {
		case unix.IFA_LOCAL:
			local, _ = netip.AddrFromSlice(attrs.value)
		case unix.IFA_ADDRESS:
			address, _ = netip.AddrFromSlice(attrs.value)
		case unix.IFA_FLAGS:
			flags = number(attrs.value)
		}
	}
	if attrs.malformed {
		return nil, fmt.Errorf("decode address message of interface %d: malformed attribute", index)
	}
	if !local.IsValid() {
		local = address
	}
	prefix := netip.PrefixFrom(local, length)
	if !prefix.IsValid() || index <= 0 {
		return nil, fmt.Errorf("decode address message: address %v/%d of interface %d", local, length, index)
	}
	// An optimistic address is used while its uniqueness is checked (RFC 4429).
	tentative := flags&unix.IFA_F_TENTATIVE != 0 && flags&unix.IFA_F_OPTIMISTIC == 0
	return addressEvent{index, Address{Prefix: prefix, Tentative: tentative}, address, gone}, nil
}

// attributes walks the attributes of a message, or those nested in one.
type attributes struct {
	data      []byte // what is left
	kind      uint16 // of the present one, without flags
	value     []byte
	malformed bool
}

// next goes to the next attribute, and returns false at the end or at one that
// is malformed.
func (a *attributes) next() bool {
	if len(a.data) < unix.SizeofRtAttr {
		return false
	}
	length := int(binary.NativeEndian.Uint16(a.data))
	if length < unix.SizeofRtAttr || length > len(a.data) {
		a.malformed = true
		return false
	}
	a.kind = binary.NativeEndian.Uint16(a.data[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
	a.value = a.data[unix.SizeofRtAttr:length]
	aligned := (length + unix.RTA_ALIGNTO - 1) &^ (unix.RTA_ALIGNTO - 1)
	a.data = a.data[min(aligned, len(a.data)):] // the last one may lack its padding
	return true
}

func text(value []byte) string { return strings.TrimRight(string(value), "\x00") }

func number(value []byte) uint32 {
	if len(value) < 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(value)
}

// mac is empty for an address of zeros only: the loopback interface has one.
func mac(value []byte) string {
	for _, b := range value {
		if b != 0 {
			return net.HardwareAddr(value).String()
		}
	}
	return ""
}
