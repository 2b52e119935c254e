package membership

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"

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
	ended  func() bool // whether the life that this is for has ended
	bound  bool        // to the right device, where it is bound to one
	joined []Channel   // oldest first
}

// callersMemberSocket is a memberSocket that may be bound to a device.
type callersMemberSocket interface {
	memberSocket
	// rebind binds the socket to the device of an index where it is bound
	// to that of the lost index, or of one that nobody has: it would
	// receive nothing.
	rebind(index, lost int) error
}

// newCallerSocket prepares the caller's socket for memberships on an index.
// lost is the index of the instance whose place this one takes, or zero.
func newCallerSocket(k kernel, f ifwatch.Family, s callersMemberSocket, index, lost int, ended func() bool) *callerSocket {
	return &callerSocket{kernel: k, family: f, socket: s, index: index, lost: lost, ended: ended}
}

func (c *callerSocket) expect(int) {}

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
	if err := c.socket.join(c.index, channel); err != nil {
		return nil, err
	}
	c.joined = append(c.joined, channel)
	return nil, nil // there is only one socket
}

func (c *callerSocket) leave(channel Channel, _ *sourceSet) error {
	c.joined = slices.DeleteFunc(c.joined, func(x Channel) bool { return x == channel })
	return c.socket.leave(c.index, channel)
}

func (c *callerSocket) release() {
	for _, channel := range slices.Backward(c.joined) {
		_ = c.socket.leave(c.index, channel) // the socket may be closed by now
	}
	c.joined = nil
}

// abandon frees the socket's entries of the dead life, which otherwise use up
// its room, and which would make a join in a new life of the same index
// ineffective. Where the index is occupied again, ballast joins each channel
// there first: leaving then takes the ballast's membership and nobody else's.
func (c *callerSocket) abandon(lot *parkingLot) {
	ballast := newOwnSockets(c.kernel, c.family, c.index, func() bool { return false })
	groups, channels := c.byGroup()
	for _, group := range groups {
		leave := func() { _ = c.socket.leaveGroup(c.index, group) } // refused where the caller left it
		if c.socket.occupied(c.index) && !joinAll(ballast, channels[group]) {
			lot.freeOrPark(c.index, staleSocket{c.socket, leave}) // rather a stale entry than a theft
			continue
		}
		leave()
	}
	for _, s := range ballast.sockets {
		lot.closeOrPark(c.index, s.holdingSocket) // never to leave in this life of the index
	}
	c.joined = nil
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

func (s *linuxSocket) rebind(index, lost int) error {
	var bound int
	var err error
	controlErr := s.conn.Control(func(fd uintptr) {
		bound, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX)
		if err != nil || bound == 0 || bound == index || bound != lost && indexOccupied(int(fd), bound, s.family) {
			return
		}
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX, index)
	})
	switch {
	case controlErr != nil:
		return controlErr
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("bind socket to interface %d instead of %d: %w (needs CAP_NET_RAW)", index, bound, err)
	case err != nil:
		return fmt.Errorf("bind socket to interface %d: %w", index, err)
	}
	return nil
}

// isClosed reports whether an error says that the caller closed its socket.
func isClosed(err error) bool {
	return errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrClosed) || errors.Is(err, unix.EBADF)
}
