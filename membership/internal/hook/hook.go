// Package hook lets package membershiptest run a manager on a kernel that is none.
// It is not for anybody else, and package membership has nothing of it in its API.
package hook

import (
	"context"
	"net/netip"
	"syscall"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// New returns a *membership.Manager on a kernel and a watcher, with
// membership.Options. Package membership sets it.
var New func(k Kernel, w Watcher, options any) any

// Kernel is what a manager asks of a kernel. Its methods are called from more than
// one goroutine.
type Kernel interface {
	// Open returns a new socket of the manager's own.
	Open(ifwatch.Family) (Socket, error)
	// Caller returns a caller's socket, as used for a family.
	Caller(ifwatch.Family, syscall.Conn) (Socket, error)
	// Groups lists the groups of a family.
	Groups(ifwatch.Family) ifwatch.Groups
	// Filters lists the channels of a family.
	Filters(ifwatch.Family) []ifwatch.Filter
	// Life tells whether the present life of a protocol on an interface has
	// ended, or has had no beginning.
	Life(name string, f ifwatch.Family) (ended func() bool)
}

// Socket holds entries of (index, group), alive or dead, and answers as the kernel
// does, with its errnos.
type Socket interface {
	Join(index int, source, group netip.Addr) error
	Leave(index int, source, group netip.Addr) error
	LeaveGroup(index int, group netip.Addr) error
	// Sources are those of an entry.
	Sources(index int, group netip.Addr) ([]netip.Addr, error)
	// Stale returns an index other than this one at which there is an entry of
	// the group and no interface, zero where there is none.
	Stale(group netip.Addr, but int) int
	// Occupied reports whether an interface lives at an index.
	Occupied(index int) bool
	// Cookie tells the socket from every other; it is not zero.
	Cookie() uint64
	Close()
}

// Watcher is what a manager needs of an ifwatch.Watcher.
type Watcher interface {
	Run(ctx context.Context) error
	Changed() <-chan struct{}
	Take() ifwatch.Changes
	Expire(ifwatch.ID)
	Counters() ifwatch.Counters
}
