package control

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// nobodyKnown stands for a user or group that has no number here. The kernel
// never gives it to anybody (it is -1, setuid(2)).
const nobodyKnown = math.MaxUint32

// peer is who connected, as of that moment. The zero value is root: use
// unknownPeer for somebody of whom nothing is known.
type peer struct {
	uid    uint32
	groups []uint32 // the effective one first
	pid    int      // zero where it has none in this namespace
}

var unknownPeer = peer{uid: nobodyKnown}

// String names the user, as errors do.
func (p peer) String() string {
	if p.uid == nobodyKnown {
		return "a user without a number in the daemon's user namespace"
	}
	return fmt.Sprintf("user %d", p.uid)
}

// privileged reports whether it is root or the daemon's own user.
func (p peer) privileged() bool {
	return p.uid != nobodyKnown && (p.uid == 0 || p.uid == uint32(os.Geteuid()))
}

func (p peer) in(group uint32) bool { return group != nobodyKnown && slices.Contains(p.groups, group) }

// peerOf asks the kernel who is at the other end (unix(7), SO_PEERCRED).
func peerOf(c net.Conn) (peer, error) {
	socket, ok := c.(syscall.Conn)
	if !ok {
		return unknownPeer, fmt.Errorf("ask who connected: %T is no socket", c)
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return unknownPeer, fmt.Errorf("ask who connected: %w", err)
	}
	var cred *unix.Ucred
	var groups []uint32
	var credErr, groupsErr error
	err = raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		groups, groupsErr = peerGroups(int(fd))
	})
	if err := errors.Join(err, credErr, groupsErr); err != nil {
		return unknownPeer, fmt.Errorf("ask who connected: %w", err)
	}
	p := knownPeer(cred.Uid, append([]uint32{cred.Gid}, groups...), overflow())
	p.pid = int(cred.Pid)
	return p, nil
}

// peerGroups returns the supplementary groups of the other end (Linux 4.13).
func peerGroups(fd int) ([]uint32, error) {
	groups := make([]uint32, 64)
	for {
		size := uint32(len(groups) * 4)
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(unsafe.SliceData(groups))), uintptr(unsafe.Pointer(&size)), 0)
		switch {
		case errno == unix.ERANGE && int(size) > len(groups)*4: // it says how much there is
			groups = make([]uint32, size/4)
		case errno == unix.ERANGE:
			return nil, errno
		case errno == unix.ENODATA: // whoever made the socket had no identity
			return nil, nil
		case errno != 0:
			return nil, errno
		default:
			return groups[:size/4], nil
		}
	}
}

// overflowIDs are the numbers that the kernel shows for users and groups which
// have none in this user namespace (user_namespaces(7)); nobodyKnown where
// every one has.
type overflowIDs struct{ uid, gid uint32 }

// knownPeer leaves out what stands for anybody: whoever has no number here
// must not be taken for the user or the group of the number that is shown.
func knownPeer(uid uint32, groups []uint32, o overflowIDs) peer {
	if uid == o.uid {
		uid = nobodyKnown
	}
	return peer{uid: uid, groups: slices.DeleteFunc(groups, func(g uint32) bool { return g == o.gid })}
}

// overflow returns the numbers of this process's user namespace, which is for
// life where it has threads.
var overflow = sync.OnceValue(func() overflowIDs {
	return overflowIDs{uid: overflowID("uid"), gid: overflowID("gid")}
})

func overflowID(kind string) uint32 {
	if m, err := os.ReadFile("/proc/self/" + kind + "_map"); err == nil && mapsAll(string(m)) {
		return nobodyKnown
	}
	const usual = 65534 // DEFAULT_OVERFLOWUID
	text, err := os.ReadFile("/proc/sys/kernel/overflow" + kind)
	if err != nil {
		return usual
	}
	var id uint32
	if _, err := fmt.Sscan(string(text), &id); err != nil {
		return usual
	}
	return id
}

// mapsAll reports whether a uid_map or gid_map leaves nobody without a number:
// its lines are ranges that do not overlap.
func mapsAll(m string) bool {
	var all uint64
	for line := range strings.Lines(m) {
		var inside, outside, count uint64
		if _, err := fmt.Sscan(line, &inside, &outside, &count); err != nil {
			return false
		}
		all += count
	}
	return all == math.MaxUint32
}

type peerKey struct{}

// peerIn returns who sent a request.
func peerIn(ctx context.Context) peer {
	if p, ok := ctx.Value(peerKey{}).(peer); ok {
		return p
	}
	return unknownPeer
}

func withPeer(ctx context.Context, p peer) context.Context {
	return context.WithValue(ctx, peerKey{}, p)
}
