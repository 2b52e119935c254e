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
	kernel  kernel
	family  ifwatch.Family
	socket  callersMemberSocket
	index   int
	lost    int
	lot     *parkingLot
	ended   func() bool // whether the life that this is for has ended
	keep    Keep
	address netip.Addr // the one that it is bound to, none for any
	bound   bool       // to the right device, where it is bound to one

	boundFor int       // index of the device that it is bound to by now, where it is bound for the membership
	joined   []Channel // oldest first

	searches int                         // for an index in the place of lost
	former   map[netip.Addr][]netip.Addr // the sources, by group, that were freed of a dead life
	along    []Channel                   // joined with others of their group, and not asked for yet
	listed   map[ifwatch.GroupKey]int    // users of groups, read since the last expect; nil: not read
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
	// sources returns those of a group that the socket includes at an index,
	// also in a dead life; none where it has no entry of it.
	sources(index int, group netip.Addr) ([]netip.Addr, error)
	// staleIndex returns a vacant index other than this one at which the
	// socket has an entry of a group, zero where it finds none.
	staleIndex(group netip.Addr, but int) int
	// boundTo returns the address that the socket is bound to, none where it
	// receives what is sent to any.
	boundTo() netip.Addr
}

// newCallerSocket prepares the caller's socket for memberships on an index.
// lost is the index of the instance whose place this one takes, or zero.
func newCallerSocket(k kernel, f ifwatch.Family, s callersMemberSocket, index, lost int, lot *parkingLot, ended func() bool) *callerSocket {
	return &callerSocket{kernel: k, family: f, socket: s, index: index, lost: lost, boundFor: lost, lot: lot, ended: ended,
		address: s.boundTo(), former: make(map[netip.Addr][]netip.Addr)}
}

// use has the latest of the names of the socket used: the program may have closed
// the one before, or have no right there.
func (c *callerSocket) use(s callersMemberSocket) { c.socket, c.bound = s, false }

// errStaleEntry says that a group has an entry of a dead life on the socket,
// and no memory or descriptor is left for the ballast with which to free it.
var errStaleEntry = errors.New("the socket has the group from a former interface still")

func (c *callerSocket) expect(int)       { c.listed = nil }
func (c *callerSocket) openSockets() int { return 0 }
func (c *callerSocket) isFull() bool     { return false } // as far as is known

func (c *callerSocket) has(group netip.Addr) bool {
	return slices.ContainsFunc(c.joined, func(j Channel) bool { return j.Group == group })
}

func (c *callerSocket) takeInherited(Channel) *sourceSet { return nil } // it stays the caller's

func (c *callerSocket) join(channel Channel) (*sourceSet, error) {
	if !c.bound {
		if err := c.socket.rebind(c.index, c.boundFor); err != nil {
			return nil, err
		}
		c.bound = true
	}
	if c.ended() {
		return nil, errEnded
	}
	if stale, found := c.lot.takeEntry(place{c.index, c.family}, c.socket.cookie(), channel.Group); found && !c.freeStale(c.index, stale) {
		return nil, errStaleEntry
	}
	if err := c.joinKeeping(channel); err != nil {
		return nil, err
	}
	c.joined = append(c.joined, channel)
	return nil, nil // there is only one socket
}

func (c *callerSocket) joinKeeping(channel Channel) error {
	switch c.keep {
	case KeepAlways:
		return c.follow(channel)
	case KeepAtEnd:
		if err := c.takeFormer(channel.Group); err != nil {
			return err
		}
	}
	err := c.socket.join(c.index, channel)
	if errors.Is(err, unix.EADDRNOTAVAIL) { // it has the channel
		return c.takeOver(channel)
	}
	return err
}

func (c *callerSocket) leave(channel Channel, _ *sourceSet) error {
	c.joined = deleteLast(c.joined, channel)
	if c.keep == KeepAlways {
		return nil
	}
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
	if err := c.checkOwner(channel); err != nil {
		c.joined = deleteLast(c.joined, channel)
		return 0, err
	}
	gap, err := c.socket.rejoin(c.index, channel)
	if err != nil {
		c.joined = deleteLast(c.joined, channel)
	}
	return gap, err
}

func (c *callerSocket) warmUp() { c.kernel.warmUp(c.family) }

// checkOwner returns an error where the socket's program decides, and has left a
// channel.
func (c *callerSocket) checkOwner(channel Channel) error {
	if c.keep != KeepAlways {
		return nil
	}
	sources, err := c.socket.sources(c.index, channel.Group)
	if err == nil && !slices.Contains(sources, channel.Source) {
		return ErrOwnerLeft
	}
	return err
}

// check returns an error where the socket is of no use any more.
func (c *callerSocket) check() error {
	if len(c.joined) == 0 {
		return nil
	}
	_, err := c.socket.sources(c.index, c.joined[0].Group)
	return err
}

func (c *callerSocket) free(_ *sourceSet, channels []Channel) error {
	group := channels[0].Group
	if err := c.checkOwner(channels[0]); err != nil {
		return err
	}
	if !c.freeLost(group, channels) {
		return errLost
	}
	c.joined = slices.DeleteFunc(c.joined, func(j Channel) bool { return j.Group == group })
	if c.keep == KeepAlways {
		c.former[group] = sourcesOf(channels)
	}
	return nil
}

// freeLost frees an entry of a life that goes on, which the kernel has no more, and
// reports whether it could.
func (c *callerSocket) freeLost(group netip.Addr, channels []Channel) bool {
	leave := func() error { return c.socket.leaveGroup(c.index, group) }
	if c.needsNoBallast(c.index, group) && !c.ended() {
		_ = leave() // it may be closed
		return true
	}
	return leaveOverBallast(newBallast(c.kernel, c.family, c.index, c.lot), channels, c.ended, leave)
}

func sourcesOf(channels []Channel) []netip.Addr {
	sources := make([]netip.Addr, len(channels))
	for n, c := range channels {
		sources[n] = c.Source
	}
	return sources
}

func (c *callerSocket) retire() {
	if c.keep == KeepNothing {
		c.release()
	}
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
	if c.keep == KeepAlways { // it is how the next one knows what the program wants
		c.joined = nil
		return
	}
	groups, channels := c.byGroup()
	for _, group := range groups {
		c.freeStale(c.index, staleEntry{c.socket.cookie(), group, channels[group]})
	}
	c.joined = nil
}

// freeStale frees an entry of a dead life of an index, and reports whether it
// could. Where the index is occupied again, ballast joins its channels there
// first: leaving then takes the ballast's membership and nobody else's. Without
// the ballast, rather a stale entry than a theft.
func (c *callerSocket) freeStale(index int, stale staleEntry) bool {
	leave := func() error { return c.socket.leaveGroup(index, stale.group) } // refused where the caller left it
	if !c.socket.occupied(index) || c.needsNoBallast(index, stale.group) {
		_ = leave()
		return true
	}
	if leaveOverBallast(newBallast(c.kernel, c.family, index, c.lot), stale.channels, never, leave) {
		return true
	}
	if c.keep != KeepAlways { // there it stays a sign of what the program wants
		c.lot.freeOrPark(place{index, c.family}, staleSocket{c.socket, func() { _ = leave() }, stale})
	}
	return false
}

// needsNoBallast reports whether the kernel lists nobody as a member of a group on
// an index: then a stale leave takes nothing from anyone, but from whoever joins
// between the two calls. Ballast would be worse for a socket that is to keep what
// it has when this process dies: its end takes one user, maybe that socket's.
func (c *callerSocket) needsNoBallast(index int, group netip.Addr) bool {
	if c.keep == KeepNothing {
		return false
	}
	groups, err := c.kernel.groups(c.family)
	return err == nil && groups.Users[ifwatch.GroupKey{Index: index, Group: group}] == 0
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
