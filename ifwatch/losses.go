package ifwatch

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// The groups of rtnetlink that tell of multicast groups, and the message that
// tells of one that an interface has left. Kernels before 6.14 send none.
const (
	groupIPv4Multicast = 37 // RTNLGRP_IPV4_MCADDR
	groupIPv6Multicast = 38 // RTNLGRP_IPV6_MCADDR
	delMulticast       = unix.RTM_DELMULTICAST
)

// WatchLosses listens from now on for interfaces that may have left a multicast
// group because no socket was left on it. The function it returns calls lost
// with the groups whenever some were heard of, and with nil where they are too
// many to be told, or were not heard, until ctx is cancelled. Where the kernel
// tells of none it returns at once.
func WatchLosses(o Options, lost func([]GroupKey)) (run func(ctx context.Context)) {
	file, err := openLosses(o)
	if err != nil {
		return func(context.Context) {} // whoever compares regularly finds out later
	}
	return func(ctx context.Context) {
		defer file.Close()
		defer context.AfterFunc(ctx, func() { _ = file.Close() })()
		conn, err := file.SyscallConn()
		for err == nil && ctx.Err() == nil {
			var groups []GroupKey
			if groups, err = waitForLosses(conn); err == nil {
				lost(groups)
				pause(ctx, pauseAfter(groups))
			}
		}
	}
}

// The pauses are how long a second loss may wait behind the first, and behind so
// many that all is to be compared. Whoever leaves 50,000 groups is told of each,
// and to read each would take as long as leaving.
const (
	lossPause  = 10 * time.Millisecond
	floodPause = 100 * time.Millisecond
)

func pauseAfter(groups []GroupKey) time.Duration {
	if groups == nil {
		return floodPause
	}
	return lossPause
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// mostLosses bounds what is told at once.
const mostLosses = 64

// waitForLosses waits for one at least and takes all. It returns nil after an
// overrun, of what it does not understand, and where there are too many.
func waitForLosses(conn syscall.RawConn) (groups []GroupKey, err error) {
	buffer := make([]byte, 4096)
	groups = []GroupKey{}
	found := false
	var readErr error
	err = conn.Read(func(fd uintptr) bool {
		for {
			n, _, err := unix.Recvfrom(int(fd), buffer, unix.MSG_DONTWAIT)
			switch {
			case err == nil:
				found = true
				if group, understood := parseLoss(buffer[:n]); groups != nil && understood && len(groups) < mostLosses {
					groups = append(groups, group)
				} else {
					groups = nil
				}
			case errors.Is(err, unix.ENOBUFS):
				found, groups = true, nil
			case errors.Is(err, unix.EINTR):
			case errors.Is(err, unix.EAGAIN):
				return found
			default:
				readErr = err
				return true
			}
		}
	})
	return groups, errors.Join(err, readErr)
}

// The parts of a message of a multicast group: a header, a struct ifaddrmsg, and
// the group as the first attribute.
const (
	lossFamilyAt = unix.SizeofNlMsghdr
	lossIndexAt  = unix.SizeofNlMsghdr + 4
	lossGroupAt  = unix.SizeofNlMsghdr + unix.SizeofIfAddrmsg + unix.SizeofRtAttr
)

func parseLoss(message []byte) (GroupKey, bool) {
	if len(message) < lossGroupAt+4 {
		return GroupKey{}, false
	}
	size := 4
	if message[lossFamilyAt] == unix.AF_INET6 {
		size = 16
	}
	group, ok := netip.AddrFromSlice(message[lossGroupAt:min(len(message), lossGroupAt+size)])
	return GroupKey{int(binary.NativeEndian.Uint32(message[lossIndexAt:])), group}, ok && group.IsMulticast()
}

func openLosses(o Options) (*os.File, error) {
	within := o.Within
	if within == nil {
		within = func(f func() error) error { return f() }
	}
	fd := -1
	err := within(func() (err error) {
		fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
		return err
	})
	if err == nil {
		err = subscribeToLosses(fd)
	}
	if err != nil {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
		return nil, err
	}
	return os.NewFile(uintptr(fd), "rtnetlink"), nil
}

// subscribeToLosses lets only RTM_DELMULTICAST through, none of the loopback
// interface, which has one life, and none that other events tell of better:
// whoever joins much, or goes down, wakes nobody.
func subscribeToLosses(fd int) error {
	filter, err := compiled(lossFilter())
	if err != nil {
		return err
	}
	return errors.Join(
		unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, filter),
		unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}),
		unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, groupIPv4Multicast),
		unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, groupIPv6Multicast),
	)
}

// LoopbackIndex is that of the loopback interface in each network namespace.
const LoopbackIndex = 1

// lossFilter looks at nlmsg_type and ifa_index, which are in the machine's byte
// order, while filters load in the network's; and at the group, in the first
// attribute. Groups of the link's own protocols, in 224.0.0.0/24 (RFC 5771,
// section 4) and of interface-local and link-local scope (RFC 4291, section 2.7),
// go with each address and each down: they are no hint.
func lossFilter() []bpf.Instruction {
	var kind [2]byte
	binary.NativeEndian.PutUint16(kind[:], delMulticast)
	var loopback [4]byte
	binary.NativeEndian.PutUint32(loopback[:], LoopbackIndex)
	return []bpf.Instruction{
		bpf.LoadAbsolute{Off: 4, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(binary.BigEndian.Uint16(kind[:])), SkipTrue: 11},
		bpf.LoadAbsolute{Off: lossIndexAt, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: binary.BigEndian.Uint32(loopback[:]), SkipTrue: 9},
		bpf.LoadAbsolute{Off: lossFamilyAt, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.AF_INET6, SkipTrue: 3},
		bpf.LoadAbsolute{Off: lossGroupAt, Size: 4},
		bpf.ALUOpConstant{Op: bpf.ALUOpShiftRight, Val: 8},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 224 << 16, SkipTrue: 4, SkipFalse: 3},
		bpf.LoadAbsolute{Off: lossGroupAt, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0xff01, SkipTrue: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0xff02, SkipTrue: 1},
		bpf.RetConstant{Val: 1 << 16},
		bpf.RetConstant{Val: 0},
	}
}

// compiled is a filter as the kernel takes it.
func compiled(filter []bpf.Instruction) (*unix.SockFprog, error) {
	raw, err := bpf.Assemble(filter)
	if err != nil {
		return nil, err
	}
	program := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		program[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	return &unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}, nil
}
