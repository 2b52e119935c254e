package membership

import (
	"encoding/binary"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// Datagram is what a [Conn] knows of a datagram besides its payload.
type Datagram struct {
	Size     int            // bytes of the payload, as far as the buffer took them
	From     netip.AddrPort // the source
	Group    netip.Addr     // the destination
	Index    int            // of the interface that it came through
	Received time.Time      // by the kernel's clock
	Leftover bool           // it came by an attachment that has ended
}

// controlRoom is enough for the control messages of a datagram: the address and
// the index, and the time.
const controlRoom = 128

// readControl reads what the kernel says beside a datagram.
func (d *Datagram) readControl(control []byte) {
	for len(control) >= unix.SizeofCmsghdr { // of less, the parser looks behind the end
		header, data, rest, err := unix.ParseOneSocketControlMessage(control)
		if err != nil {
			return
		}
		switch {
		case header.Level == unix.IPPROTO_IP && header.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			d.Index = int(binary.NativeEndian.Uint32(data))
			d.Group = netip.AddrFrom4([4]byte(data[8:12]))
		case header.Level == unix.IPPROTO_IPV6 && header.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			d.Group = netip.AddrFrom16([16]byte(data))
			d.Index = int(binary.NativeEndian.Uint32(data[16:]))
		case header.Level == unix.SOL_SOCKET && header.Type == unix.SO_TIMESTAMPNS_NEW && len(data) >= 16:
			d.Received = time.Unix(int64(binary.NativeEndian.Uint64(data)), int64(binary.NativeEndian.Uint64(data[8:])))
		}
		control = rest
	}
}
