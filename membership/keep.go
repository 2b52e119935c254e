package membership

import (
	"errors"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// Keep says what stays joined on a caller's socket when the manager has no more
// to do with it.
type Keep int

const (
	// KeepNothing has everything left: where the membership is removed, and
	// when Run ends.
	KeepNothing Keep = iota
	// KeepAtEnd is KeepNothing, but that what is joined stays joined when Run
	// ends. A later manager counts it as joined.
	KeepAtEnd
	// KeepAlways is for a socket whose program joins and leaves on it too,
	// and knows nothing of the manager. Nothing is ever left on an interface
	// that lives, and a channel is joined there only if the program had it
	// until its interface went: what the program left meanwhile, or never
	// joined, is refused with ErrOwnerLeft. What is left behind by a dead
	// interface is freed only when its channels are joined elsewhere.
	KeepAlways
)

// ErrOwnerLeft is wrapped where a channel is not joined on a caller's socket that
// is kept always, because the socket's program has left it, or never joined it.
var ErrOwnerLeft = errors.New("the socket's program has left the channel")

// mostSearches bounds for how many groups entries of dead interfaces are
// searched on a socket that has none.
const mostSearches = 4

// follow joins a channel on a socket whose program decides what is joined: only
// if it had the channel when its interface went.
func (c *callerSocket) follow(channel Channel) error {
	if err := c.takeAlong(channel.Group); err != nil {
		return err
	}
	if n := slices.Index(c.along, channel); n >= 0 {
		c.along = slices.Delete(c.along, n, n+1)
		return nil
	}
	sources, err := c.socket.sources(c.index, channel.Group)
	switch {
	case err != nil:
		return err
	case slices.Contains(sources, channel.Source):
		return c.takeOver(channel)
	case !slices.Contains(c.former[channel.Group], channel.Source):
		return ErrOwnerLeft
	}
	return c.joinFreed(channel)
}

// joinFreed joins a channel whose entry of a dead life is freed: nothing on the
// socket tells any more that the program wants it. Where this life ends before the
// join, that is remembered for the next one.
func (c *callerSocket) joinFreed(channel Channel) error {
	err := c.socket.join(c.index, channel)
	if errors.Is(err, unix.ENODEV) {
		c.lot.remember(c.entry(c.index, channel.Group), c.former[channel.Group])
	}
	return err
}

func (c *callerSocket) entry(index int, group netip.Addr) entryKey {
	return entryKey{c.socket.cookie(), index, group}
}

// takeAlong joins what the socket has of a group from the interface whose place
// this one takes, and frees it there. Where another index is joined on, and there
// is room, in this order: a process that dies in between leaves the program with
// both, and not with neither.
func (c *callerSocket) takeAlong(group netip.Addr) error {
	if _, known := c.former[group]; known {
		return nil
	}
	if sources := c.lot.recall(c.entry(c.lost, group)); sources != nil {
		c.former[group] = sources
		return nil
	}
	sources, err := c.lostSources(group)
	switch {
	case err != nil:
		return err
	case c.lost == c.index, len(sources) == 0:
		return c.freeFormer(group)
	}
	before, err := c.socket.sources(c.index, group)
	if err != nil {
		return err
	}
	if len(before) == 0 { // no entry of a dead life of this index, into which a join would be made
		for _, source := range sources {
			channel := Channel{source, group}
			if c.socket.join(c.index, channel) != nil {
				break // once there is room
			}
			c.along = append(c.along, channel)
		}
	}
	return c.freeFormer(group)
}

// lostSources returns the sources that the socket has of a group from the interface
// whose place this one takes. Where it has none there, another one is searched: an
// earlier manager may have been killed before it told of a later one.
func (c *callerSocket) lostSources(group netip.Addr) ([]netip.Addr, error) {
	if c.lost != 0 {
		if sources, err := c.socket.sources(c.lost, group); err != nil || len(sources) > 0 {
			return sources, err
		}
	}
	if c.searches >= mostSearches {
		return nil, nil
	}
	c.searches++
	found := c.socket.staleIndex(group, c.index)
	if found == 0 {
		return nil, nil
	}
	c.lost = found
	return c.socket.sources(found, group)
}

// takeFormer frees what an earlier manager left behind on a socket that it kept.
// What this one did is freed already.
func (c *callerSocket) takeFormer(group netip.Addr) error {
	if c.lost != 0 && c.searches == 0 {
		return nil
	}
	return c.freeFormer(group)
}

// takeOver counts a channel as joined that the socket has already. Where the
// kernel has nothing of the group, the socket has it of a dead life of the index:
// where no other has begun there, that is kept for where the interface comes back.
func (c *callerSocket) takeOver(channel Channel) error {
	if c.isListed(channel.Group) {
		return nil
	}
	if !c.socket.occupied(c.index) {
		return errEnded
	}
	if err := c.freeAt(c.index, channel.Group); err != nil {
		return err
	}
	return c.joinFreed(channel)
}

// isListed reports whether anybody is a member of the group on the index, also
// where nobody can tell: the next audit will.
func (c *callerSocket) isListed(group netip.Addr) bool {
	if c.listed == nil {
		groups, err := c.kernel.groups(c.family)
		if err != nil {
			return true
		}
		c.listed = groups.Users
	}
	return c.listed[ifwatch.GroupKey{Index: c.index, Group: group}] > 0
}

// freeFormer frees what the socket has of a group from the interface whose place
// this one takes. Where the manager knows of none, as after its predecessor's
// end, it is searched.
func (c *callerSocket) freeFormer(group netip.Addr) error {
	if _, known := c.former[group]; known {
		return nil
	}
	if c.lost == 0 && c.searches < mostSearches {
		c.searches++
		c.lost = c.socket.staleIndex(group, c.index)
	}
	if c.lost == 0 {
		return nil
	}
	return c.freeAt(c.lost, group)
}

// freeAt frees what the socket has of a group from a dead life of an index, and
// remembers which sources that were.
func (c *callerSocket) freeAt(index int, group netip.Addr) error {
	sources, err := c.socket.sources(index, group)
	if err != nil {
		return err
	}
	if len(sources) == 0 {
		c.former[group] = nil
		return nil
	}
	_, _ = c.lot.takeEntry(place{index, c.family}, c.socket.cookie(), group) // of an earlier try
	channels := make([]Channel, len(sources))
	for n, source := range sources {
		channels[n] = Channel{source, group}
	}
	if !c.freeStale(index, staleEntry{c.socket.cookie(), group, channels}) {
		return errStaleEntry
	}
	c.former[group] = sources
	return nil
}
