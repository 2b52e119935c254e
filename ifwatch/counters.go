package ifwatch

// Counters count what a Watcher did. Messages of links and addresses are
// counted those of dumps included.
type Counters struct {
	Links           uint64 // RTM_NEWLINK: an interface that is new, or as it is now
	LinkRemovals    uint64 // RTM_DELLINK
	Addresses       uint64 // RTM_NEWADDR
	AddressRemovals uint64 // RTM_DELADDR
	Undecodable     uint64 // messages that made no sense and were left out
	Overruns        uint64 // times that events were lost
	Dumps           uint64 // complete dumps
}

// Events returns how many messages of links and addresses were understood.
func (c Counters) Events() uint64 {
	return c.Links + c.LinkRemovals + c.Addresses + c.AddressRemovals
}

// Plus returns the sum of two, as of a watcher and the one after it.
func (c Counters) Plus(o Counters) Counters {
	return Counters{
		Links:           c.Links + o.Links,
		LinkRemovals:    c.LinkRemovals + o.LinkRemovals,
		Addresses:       c.Addresses + o.Addresses,
		AddressRemovals: c.AddressRemovals + o.AddressRemovals,
		Undecodable:     c.Undecodable + o.Undecodable,
		Overruns:        c.Overruns + o.Overruns,
		Dumps:           c.Dumps + o.Dumps,
	}
}

// count counts what decode returned.
func (c *Counters) count(decoded any) {
	switch d := decoded.(type) {
	case link:
		c.Links++
	case linkGone:
		c.LinkRemovals++
	case addressEvent:
		if d.gone {
			c.AddressRemovals++
		} else {
			c.Addresses++
		}
	}
}
