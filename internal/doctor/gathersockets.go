package doctor

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// What sock_diag says of a socket, linux/inet_diag.h.
const (
	diagMessageBytes = 72 // struct inet_diag_msg
	diagMemory       = 7  // INET_DIAG_SKMEMINFO, which has to be asked for
	diagV6Only       = 11 // INET_DIAG_SKV6ONLY
	diagOptions      = 22 // INET_DIAG_SOCKOPT, since Linux 5.10
	memoryDrops      = 8  // SK_MEMINFO_DROPS
	multicastAllBit  = 1 << 6
)

// diagRequest is struct inet_diag_req_v2, for all UDP sockets of a family.
type diagRequest uint8

// Len returns its length in bytes.
func (diagRequest) Len() int { return 56 }

// Serialize returns its bytes.
func (family diagRequest) Serialize() []byte {
	b := make([]byte, family.Len())
	b[0], b[1], b[2] = byte(family), unix.IPPROTO_UDP, 1<<(diagMemory-1)
	binary.NativeEndian.PutUint32(b[4:], ^uint32(0)) // whatever their state
	return b
}

// readSockets lists the UDP sockets of the calling thread's namespace. Anybody
// may.
func readSockets() ([]Socket, error) {
	var sockets []Socket
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		request := nl.NewNetlinkRequest(nl.SOCK_DIAG_BY_FAMILY, unix.NLM_F_DUMP)
		request.AddData(diagRequest(family))
		answers, err := request.Execute(unix.NETLINK_INET_DIAG, 0)
		if err != nil {
			return nil, fmt.Errorf("list UDP sockets: %w", err)
		}
		for _, answer := range answers {
			if len(answer) >= diagMessageBytes {
				sockets = append(sockets, parseSocket(answer))
			}
		}
	}
	return sockets, nil
}

func parseSocket(b []byte) Socket {
	s := Socket{Family: ifwatch.IPv6, Device: int(binary.NativeEndian.Uint32(b[40:])), Inode: binary.NativeEndian.Uint32(b[68:])}
	local, peer := netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
	if b[0] == unix.AF_INET {
		s.Family = ifwatch.IPv4
		local, peer = netip.AddrFrom4([4]byte(b[8:12])), netip.AddrFrom4([4]byte(b[24:28]))
	}
	s.Local = netip.AddrPortFrom(local, binary.BigEndian.Uint16(b[4:]))
	s.Peer = netip.AddrPortFrom(peer, binary.BigEndian.Uint16(b[6:]))
	attributes, err := nl.ParseRouteAttr(b[diagMessageBytes:])
	if err != nil {
		return s
	}
	for _, a := range attributes {
		switch {
		case a.Attr.Type == diagMemory && len(a.Value) >= 4*(memoryDrops+1):
			s.Drops = binary.NativeEndian.Uint32(a.Value[4*memoryDrops:])
		case a.Attr.Type == diagV6Only && len(a.Value) > 0:
			s.OnlyIPv6 = a.Value[0] != 0
		case a.Attr.Type == diagOptions && len(a.Value) > 0 && b[0] == unix.AF_INET:
			all := a.Value[0]&multicastAllBit != 0
			s.MulticastAll = &all
		}
	}
	return s
}
