package membership

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// callerSocket joins channels on one interface instance on a socket that
// belongs to the caller and is never closed. It cannot spread over sockets.
type callerSocket struct {
	kernel kernel
	family ifwatch.Family
	socket callersMemberSocket
	index  int
	lost   int
	lot    *parkingLot
	ended  func() bool // whether the life that this is for has ended
	bound  bool        // to the right device, where it is bound to one
	joined []Channel   // oldest first
}

// cookie tells sockets apart, whatever a program calls them. It is never zero
// and never that of a former socket.
type cookie uint64

// callersMemberSocket is a memberSocket that may be bound to a device.
type callersMemberSocket interface {
	memberSocket
	// cookie tells the socket from every other.
	cookie() cookie
	// rebind binds the socket to the device of an index where it is bound
	// to that of the lost index, or of one that nobody has: it would
	// receive nothing.
	rebind(index, lost int) error
}

// newCallerSocket prepares the caller's socket for memberships on an index.
// lost is the index of the instance whose place this one takes, or zero.
func newCallerSocket(k kernel, f ifwatch.Family, s callersMemberSocket, index, lost int, lot *parkingLot, ended func() bool) *callerSocket {
	return &callerSocket{kernel: k, family: f, socket: s, index: index, lost: lost, lot: lot, ended: ended}
}

// errStaleEntry says that a group has an entry of a dead life on the socket,
// and no memory or descriptor is left for the ballast with which to free it.
var errStaleEntry = errors.New("the socket has the group from a former interface still")

func (c *callerSocket) expect(int)       {}
func (c *callerSocket) openSockets() int { return 0 }

func (c *callerSocket) has(group netip.Addr) bool {
	return slices.ContainsFunc(c.joined, func(j Channel) bool { return j.Group == group })
}

func (c *callerSocket) takeInherited(Channel) *sourceSet { return nil } // it stays the caller's

func (c *callerSocket) join(channel Channel) (*sourceSet, error) {
	if !c.bound {
		if err := c.socket.rebind(c.index, c.lost); err != nil {
			return nil, err
		}
		c.bound = true
	}
	if c.ended() {
		return nil, errEnded
	}
	if stale, found := c.lot.takeEntry(place{c.index, c.family}, c.socket.cookie(), channel.Group); found && !c.freeStale(stale) {
		return nil, errStaleEntry
	}
	if err := c.socket.join(c.index, channel); err != nil {
		return nil, err
	}
	c.joined = append(c.joined, channel)
	return nil, nil // there is only one socket
}

func (c *callerSocket) leave(channel Channel, _ *sourceSet) error {
	c.joined = deleteLast(c.joined, channel)
	err := c.socket.leave(c.index, channel)
	if errors.Is(err, unix.ENODEV) {
		// The index is vacant: nobody is robbed, and every source is stale.
		_ = c.socket.leaveGroup(c.index, channel.Group)
	}
	return err
}

func (c *callerSocket) rejoin(channel Channel, _ *sourceSet) (time.Duration, error) {
	if c.ended() {
		return 0, errEnded
	}
	gap, err := c.socket.rejoin(c.index, channel)
	if err != nil {
		c.joined = deleteLast(c.joined, channel)
	}
	return gap, err
}

func (c *callerSocket) warmUp() { c.kernel.warmUp(c.family) }

func (c *callerSocket) free(_ *sourceSet, channels []Channel) bool {
	group := channels[0].Group
	ballast := newOwnSockets(c.kernel, c.family, c.index, c.lot, func() bool { return false })
	freed := joinAll(ballast, channels) && !c.ended() // or the index has another life by now
	if freed {
		_ = c.socket.leaveGroup(c.index, group)
		c.joined = slices.DeleteFunc(c.joined, func(j Channel) bool { return j.Group == group })
	}
	ballast.abandon() // never to leave in this life of the index
	return freed
}

func (c *callerSocket) release() {
	for len(c.joined) > 0 {
		_ = c.leave(c.joined[len(c.joined)-1], nil) // the socket may be closed by now
	}
}

// abandon frees the socket's entries of the dead life, which otherwise use up
// its room, and which would make a join in a new life of the same index
// ineffective.
func (c *callerSocket) abandon() {
	groups, channels := c.byGroup()
	for _, group := range groups {
		c.freeStale(staleEntry{c.socket.cookie(), group, channels[group]})
	}
	c.joined = nil
}

// freeStale frees an entry of a dead life, and reports whether it could. Where the
// index is occupied again, ballast joins its channels there first: leaving then
// takes the ballast's membership and nobody else's. Without the ballast, rather
// a stale entry than a theft.
func (c *callerSocket) freeStale(stale staleEntry) bool {
	leave := func() { _ = c.socket.leaveGroup(c.index, stale.group) } // refused where the caller left it
	ballast := newOwnSockets(c.kernel, c.family, c.index, c.lot, func() bool { return false })
	freed := !c.socket.occupied(c.index) || joinAll(ballast, stale.channels)
	if freed {
		leave()
	} else {
		c.lot.freeOrPark(place{c.index, c.family}, staleSocket{c.socket, leave, stale})
	}
	ballast.abandon() // never to leave in this life of the index
	return freed
}

// byGroup returns the groups, newest first, and the channels of each.
func (c *callerSocket) byGroup() ([]netip.Addr, map[netip.Addr][]Channel) {
	var groups []netip.Addr
	channels := make(map[netip.Addr][]Channel)
	for _, channel := range slices.Backward(c.joined) {
		if channels[channel.Group] == nil {
			groups = append(groups, channel.Group)
		}
		channels[channel.Group] = append(channels[channel.Group], channel)
	}
	return groups, channels
}

// joinAll reports whether all channels were joined, or the index has just
// become vacant.
func joinAll(o *ownSockets, channels []Channel) bool {
	for _, channel := range channels {
		if _, err := o.join(channel); err != nil && !errors.Is(err, unix.ENODEV) {
			return false
		}
	}
	return true
}

// isClosed reports whether an error says that the caller closed its socket.
func isClosed(err error) bool {
	return errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrClosed) || errors.Is(err, unix.EBADF)
}
