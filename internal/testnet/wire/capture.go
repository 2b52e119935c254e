package wire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/internal/testnet"
)

// Capture hears what hosts report to a namespace: every IGMPv2, IGMPv3 and
// MLDv2 report that arrives on any of its interfaces, also ones that are made
// later. It keeps them all.
type Capture struct {
	file   *os.File
	closed atomic.Bool
	bell   testnet.Bell

	mu      sync.Mutex
	packets int
	reports []Report
	err     error
}

// NewCapture begins to capture: what arrives from now on is kept, once Run
// runs. Close it.
func NewCapture(n *testnet.Namespace) (*Capture, error) {
	c := &Capture{}
	if err := n.Do(c.open); err != nil {
		return nil, fmt.Errorf("open capture: %w", err)
	}
	return c, nil
}

func (c *Capture) open() error {
	filter, err := reportFilter()
	if err != nil {
		return err
	}
	// The protocol is 0, which receives nothing, until the filter is set.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	err = errors.Join(
		unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, filter),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 4<<20),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: swap(unix.ETH_P_ALL)}),
	)
	if err != nil {
		unix.Close(fd)
		return err
	}
	c.file = os.NewFile(uintptr(fd), "capture")
	return nil
}

// swap turns a short to network byte order, as the kernel wants a protocol.
func swap(v uint16) uint16 { return v<<8 | v>>8 }

// reportFilter lets pass what another host sent as IGMP or with a hop-by-hop
// header, as MLD has it: data never leaves the kernel.
func reportFilter() (*unix.SockFprog, error) {
	raw, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtType},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.PACKET_OUTGOING, SkipTrue: 8},
		bpf.LoadExtension{Num: bpf.ExtProto},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.ETH_P_IP, SkipFalse: 2},
		bpf.LoadAbsolute{Off: 9, Size: 1}, // the IPv4 header's protocol
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.IPPROTO_IGMP, SkipTrue: 3, SkipFalse: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.ETH_P_IPV6, SkipFalse: 3},
		bpf.LoadAbsolute{Off: 6, Size: 1}, // the IPv6 header's next header
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.IPPROTO_HOPOPTS, SkipFalse: 1},
		bpf.RetConstant{Val: 1 << 16},
		bpf.RetConstant{Val: 0},
	})
	if err != nil {
		return nil, err
	}
	program := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		program[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	return &unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}, nil
}

// Run reads until ctx ends or Close is called, and then returns nil. Call it
// once.
func (c *Capture) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = c.file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	err := c.read()
	// A read by the raw connection does not end with os.ErrClosed.
	if errors.Is(err, os.ErrDeadlineExceeded) || c.closed.Load() {
		return nil
	}
	c.mu.Lock()
	c.err = err
	c.mu.Unlock()
	c.bell.Ring()
	return fmt.Errorf("read capture: %w", err)
}

func (c *Capture) read() error {
	conn, err := c.file.SyscallConn()
	if err != nil {
		return err
	}
	buffer := make([]byte, 1<<16)
	for {
		var size int
		var from unix.Sockaddr
		var failure error
		err := conn.Read(func(fd uintptr) bool {
			size, from, failure = unix.Recvfrom(int(fd), buffer, 0)
			return !errors.Is(failure, unix.EAGAIN)
		})
		switch {
		case err != nil:
			return err
		case errors.Is(failure, unix.ENETDOWN), errors.Is(failure, unix.EINTR):
			continue // one of the interfaces went down
		case failure != nil:
			return failure
		}
		if link, ok := from.(*unix.SockaddrLinklayer); ok {
			if err := c.keep(slices.Clone(buffer[:size]), link); err != nil {
				return err
			}
		}
	}
}

// keep decodes one packet and wakes who waits for it.
func (c *Capture) keep(packet []byte, from *unix.SockaddrLinklayer) error {
	reports, err := decodeReports(packet)
	if err != nil {
		return err
	}
	now, name := time.Now(), c.interfaceName(from.Ifindex)
	mac := net.HardwareAddr(from.Addr[:min(int(from.Halen), len(from.Addr))]).String()
	c.mu.Lock()
	c.packets++
	for _, r := range reports {
		r.Time, r.Packet, r.Interface, r.MAC = now, c.packets, name, mac
		c.reports = append(c.reports, r)
	}
	c.mu.Unlock()
	c.bell.Ring()
	return nil
}

// interfaceName asks the kernel, in the capture's namespace; a name can change
// and an index come back.
func (c *Capture) interfaceName(ifindex int) string {
	ifr, err := unix.NewIfreq("")
	if err != nil {
		return ""
	}
	ifr.SetUint32(uint32(ifindex))
	conn, err := c.file.SyscallConn()
	if err != nil {
		return ""
	}
	var failure error
	err = conn.Control(func(fd uintptr) { failure = unix.IoctlIfreq(int(fd), unix.SIOCGIFNAME, ifr) })
	if err != nil || failure != nil {
		return ""
	}
	return ifr.Name()
}

// Reports returns all reports since the capture began, in their order.
func (c *Capture) Reports() []Report {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.reports)
}

// Count returns how many reports since the capture began match.
func (c *Capture) Count(match func(Report) bool) int {
	count := 0
	for _, r := range c.Reports() {
		if match(r) {
			count++
		}
	}
	return count
}

// Wait waits for the first report, since the capture began, that matches. Its
// error lists the reports there were.
func (c *Capture) Wait(ctx context.Context, match func(Report) bool) (Report, error) {
	return c.WaitFrom(ctx, 0, match)
}

// WaitFrom is Wait without the first n reports. With n from len(c.Reports())
// it waits for something new.
func (c *Capture) WaitFrom(ctx context.Context, n int, match func(Report) bool) (found Report, err error) {
	var failure error
	err = c.bell.Until(ctx, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		for ; n < len(c.reports); n++ {
			if match(c.reports[n]) {
				found = c.reports[n]
				return true
			}
		}
		failure = c.err
		return failure != nil
	})
	if err = errors.Join(err, failure); err != nil {
		return Report{}, fmt.Errorf("wait for a report: %w; heard %v", err, c.Reports())
	}
	return found, nil
}

// Close ends the capture and Run.
func (c *Capture) Close() error {
	c.closed.Store(true)
	return c.file.Close()
}
