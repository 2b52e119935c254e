package monitor

import (
	"encoding/binary"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/internal/monitor/rtp"
)

// batchSize is how many datagrams are read with one call of recvmmsg(2).
const batchSize = 128

const (
	nameRoom    = unix.SizeofSockaddrInet6
	controlRoom = 96 // a time and an IPV6_PKTINFO, with their headers
)

// message is the kernel's struct mmsghdr.
type message struct {
	unix.Msghdr
	size uint32
}

// batch reads datagrams, but not their payload beyond an RTP header. It is read
// with bare recvmmsg: the call of x/net makes an address of each datagram anew,
// which is garbage of 100 MB a second at a million of them.
type batch struct {
	messages [batchSize]message
	vectors  [batchSize]unix.Iovec
	names    [batchSize][nameRoom]byte
	controls [batchSize][controlRoom]byte
	payloads [batchSize][rtp.HeaderSize]byte
}

func newBatch() *batch {
	b := new(batch)
	for n := range b.messages {
		b.vectors[n].Base = &b.payloads[n][0]
		b.vectors[n].SetLen(rtp.HeaderSize)
		h := &b.messages[n].Msghdr
		h.Iov, h.Name, h.Control = &b.vectors[n], &b.names[n][0], &b.controls[n][0]
		h.SetIovlen(1)
	}
	return b
}

// read returns how many datagrams there were, at most a batch. It never waits.
func (b *batch) read(fd int) (int, error) {
	for n := range b.messages {
		h := &b.messages[n].Msghdr
		h.Namelen = nameRoom
		h.SetControllen(controlRoom)
	}
	for {
		// MSG_TRUNC has the length of the whole datagram told.
		n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&b.messages[0])), batchSize, unix.MSG_DONTWAIT|unix.MSG_TRUNC, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EAGAIN:
			return 0, nil
		case unix.EINTR:
			continue
		}
		return 0, errno
	}
}

// datagram is what is known of one that was read.
type datagram struct {
	origin
	size    int
	head    []byte
	arrived time.Time
}

// origin is where a datagram came from.
type origin struct {
	source netip.Addr
	index  int // of the interface
}

func (b *batch) at(n int) datagram {
	m := &b.messages[n]
	d := datagram{size: int(m.size)}
	d.head = b.payloads[n][:min(d.size, rtp.HeaderSize)]
	name := b.names[n][:]
	switch binary.NativeEndian.Uint16(name) {
	case unix.AF_INET:
		d.source = netip.AddrFrom4([4]byte(name[4:8]))
	case unix.AF_INET6:
		d.source = netip.AddrFrom16([16]byte(name[8:24]))
	}
	d.readControl(b.controls[n][:min(m.Controllen, controlRoom)])
	return d
}

// The parts of a struct cmsghdr, cmsg(3): a length of the machine's word, the level
// and the kind. The kernel pads each message to a word.
const (
	wordSize     = int(unsafe.Sizeof(uintptr(0)))
	controlLevel = wordSize
	controlKind  = wordSize + 4
)

// readControl takes what the options of the socket asked for, without garbage.
func (d *datagram) readControl(rest []byte) {
	for len(rest) >= unix.SizeofCmsghdr {
		length := word(rest)
		level, kind := binary.NativeEndian.Uint32(rest[controlLevel:]), binary.NativeEndian.Uint32(rest[controlKind:])
		if length < unix.SizeofCmsghdr || length > len(rest) {
			return
		}
		data := rest[unix.CmsgLen(0):length]
		switch {
		case level == unix.SOL_SOCKET && kind == unix.SO_TIMESTAMPNS_NEW && len(data) >= 16:
			d.arrived = time.Unix(int64(binary.NativeEndian.Uint64(data)), int64(binary.NativeEndian.Uint64(data[8:])))
		case level == unix.IPPROTO_IP && kind == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			d.index = int(binary.NativeEndian.Uint32(data))
		case level == unix.IPPROTO_IPV6 && kind == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			d.index = int(binary.NativeEndian.Uint32(data[16:]))
		}
		rest = rest[min((length+wordSize-1)&^(wordSize-1), len(rest)):]
	}
}

func word(b []byte) int {
	if wordSize == 4 {
		return int(binary.NativeEndian.Uint32(b))
	}
	return int(binary.NativeEndian.Uint64(b))
}
