package doctor

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/membership"
)

// ear listens to an interface, to what comes in and what goes out, and disturbs
// neither: the interface gets into no other mode by that.
type ear struct {
	file  *os.File
	heard Heard
	count map[streamKey]int
}

type streamKey struct {
	source netip.Addr
	to     netip.AddrPort
}

// snapshot is how much of a packet is looked at, in bytes; of a report with many
// groups the rest is left out.
const snapshot = 1600

// listen opens a packet socket in the namespace of the calling thread. It needs
// CAP_NET_RAW.
func listen(index int, channels []membership.Channel) (*ear, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if errors.Is(err, unix.EPERM) {
		return nil, fmt.Errorf("open a packet socket: %w (needs CAP_NET_RAW)", err)
	}
	if err != nil {
		return nil, fmt.Errorf("open a packet socket: %w", err)
	}
	file := os.NewFile(uintptr(fd), "packets")
	if err := prepare(fd, index, channels); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("listen to the interface: %w", err)
	}
	return &ear{file: file, count: make(map[streamKey]int)}, nil
}

// prepare sets the filter before the socket is bound, so that nothing else gets
// in.
func prepare(fd, index int, channels []membership.Channel) error {
	program, err := bpf.Assemble(filterFor(channels))
	if err != nil {
		return err
	}
	raw := make([]unix.SockFilter, len(program))
	for n, i := range program {
		raw[n] = unix.SockFilter{Code: i.Op, Jt: i.Jt, Jf: i.Jf, K: i.K}
	}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(raw)), Filter: &raw[0]}); err != nil {
		return err
	}
	const buffer = 8 << 20
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, buffer) // as much as is allowed
	return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: hton(unix.ETH_P_ALL), Ifindex: index})
}

// hton returns a number whose bytes are in network order.
func hton(n uint16) uint16 { return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, n)) }

// listen reads until the time is over, or ctx ends, and closes the socket.
func (e *ear) listen(ctx context.Context, wait time.Duration) Heard {
	defer e.file.Close()
	began := time.Now()
	_ = e.file.SetReadDeadline(began.Add(wait))
	defer context.AfterFunc(ctx, func() { _ = e.file.SetReadDeadline(time.Unix(1, 0)) })()
	raw, err := e.file.SyscallConn()
	for err == nil {
		err = e.read(raw)
	}
	e.heard.For = time.Since(began)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		e.heard.Err = fmt.Errorf("listen to the interface: %w", err)
	}
	for key, n := range e.count {
		e.heard.Streams = append(e.heard.Streams, Stream{key.source, key.to, n})
	}
	return e.heard
}

func (e *ear) read(raw syscall.RawConn) error {
	var packet [snapshot]byte
	var size int
	var from unix.Sockaddr
	var err error
	if failure := raw.Read(func(fd uintptr) bool {
		size, from, err = unix.Recvfrom(int(fd), packet[:], 0)
		return !errors.Is(err, unix.EAGAIN)
	}); failure != nil {
		return failure
	}
	if err != nil {
		return err
	}
	if link, ok := from.(*unix.SockaddrLinklayer); ok {
		e.hear(packet[:size], link.Pkttype == unix.PACKET_OUTGOING)
	}
	return nil
}

// hear takes a packet, from its IP header on.
func (e *ear) hear(packet []byte, outgoing bool) {
	p, ok := parsePacket(packet)
	switch {
	case !ok:
	case p.protocol == unix.IPPROTO_UDP && !outgoing:
		e.count[streamKey{p.source, netip.AddrPortFrom(p.destination, p.port())}]++
	case outgoing:
		e.heard.Reports = append(e.heard.Reports, p.reports()...)
	default:
		if version := p.query(); version > 0 {
			e.heard.Queries = append(e.heard.Queries, Query{p.source, ifwatch.FamilyOf(p.destination), version})
		}
	}
}
