package firewall

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// Direction is the way of a packet.
type Direction string

// The directions.
const (
	In  Direction = "in"
	Out Direction = "out"
)

// Packet is what is known of a packet. The zero value of a field is one that is
// not known, or that the packet does not have.
type Packet struct {
	Direction   Direction
	Interface   string
	Index       int
	Source      netip.Addr
	Likely      netip.Addr // where the source is not known: what it may well be
	Destination netip.Addr // of a multicast group
	Protocol    uint8      // IPPROTO_UDP, IPPROTO_IGMP or IPPROTO_ICMPV6
	Port        uint16     // that it is sent to
	Type        uint8      // of IGMP or ICMPv6
	Path        Path       // of one that comes in

	untracked answer // by a rule, empty for no
}

// Path is where the route to the source of a packet leads.
type Path string

// The paths.
const (
	PathUnknown Path = ""
	PathBack    Path = "back" // over the interface that the packet comes in on
	PathAway    Path = "away" // over another one, or nowhere
)

// returns reports whether the source is reached over the interface.
func (p Packet) returns() answer {
	if p.Path == PathUnknown || p.Direction != In {
		return perhaps
	}
	return answerOf(p.Path == PathBack)
}

func (p Packet) family() ifwatch.Family { return ifwatch.FamilyOf(p.Destination) }

func (p Packet) source() netip.Addr {
	if p.Source.IsValid() {
		return p.Source
	}
	return p.Likely
}

// value is bytes of which some are known.
type value struct {
	bytes []byte
	known []bool
}

func unknown(length int) value { return value{make([]byte, length), make([]bool, length)} }

func known(bytes ...byte) value {
	v := unknown(len(bytes))
	v.put(0, bytes...)
	return v
}

func (v value) put(at int, bytes ...byte) {
	for n, b := range bytes {
		v.bytes[at+n], v.known[at+n] = b, true
	}
}

// whole reports whether every byte is known.
func (v value) whole() bool {
	for _, k := range v.known {
		if !k {
			return false
		}
	}
	return true
}

// slice returns a part, of which what lies behind the end is not known.
func (v value) slice(from, length int) value {
	part := unknown(length)
	for n := range length {
		if from+n < len(v.bytes) && v.known[from+n] {
			part.put(n, v.bytes[from+n])
		}
	}
	return part
}

// The lengths of headers, with the router alert option where reports have it
// (RFC 2113).
const (
	lengthIPv4  = 20
	lengthAlert = 4
	lengthIPv6  = 40
	lengthUDP   = 8
	lengthICMP  = 8
)

// network is the IP header.
func (p Packet) network() value {
	if p.family() == ifwatch.IPv6 {
		v := unknown(lengthIPv6)
		if p.Protocol == unix.IPPROTO_ICMPV6 {
			v.put(6, unix.IPPROTO_HOPOPTS)
			v.put(7, 1) // hop limit, RFC 3810, section 5
		} else {
			v.put(6, p.Protocol)
		}
		v.putAddr(8, p.source())
		v.putAddr(24, p.Destination)
		return v
	}
	v, length := unknown(lengthIPv4), byte(lengthIPv4/4)
	if p.Protocol == unix.IPPROTO_IGMP {
		v, length = unknown(lengthIPv4+lengthAlert), byte((lengthIPv4+lengthAlert)/4)
		v.put(8, 1) // time to live, RFC 3376, section 4
	}
	v.put(0, 4<<4|length)
	v.put(9, p.Protocol)
	v.putAddr(12, p.source())
	v.putAddr(16, p.Destination)
	return v
}

func (v value) putAddr(at int, a netip.Addr) {
	if a.IsValid() {
		v.put(at, a.AsSlice()...)
	}
}

// transport is the header above IP.
func (p Packet) transport() value {
	if p.Protocol != unix.IPPROTO_UDP {
		v := unknown(lengthICMP)
		v.put(0, p.Type)
		return v
	}
	v := unknown(lengthUDP)
	if p.Port != 0 {
		v.put(2, byte(p.Port>>8), byte(p.Port))
	}
	return v
}

// link is the Ethernet header: of a multicast packet its destination is known
// (RFC 1112, section 6.4; RFC 2464, section 7).
func (p Packet) link() value {
	v := unknown(14)
	d := p.Destination.AsSlice()
	if p.family() == ifwatch.IPv4 {
		v.put(0, 0x01, 0x00, 0x5e, d[1]&0x7f, d[2], d[3])
		v.put(12, 0x08, 0x00)
		return v
	}
	v.put(0, append([]byte{0x33, 0x33}, d[12:]...)...)
	v.put(12, 0x86, 0xdd)
	return v
}
