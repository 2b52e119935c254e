package ifwatch

import (
	"net/netip"
	"slices"
	"time"
)

// addresses are those of one instance, with what has to be known to keep them
// right.
type addresses struct {
	held     []heldAddress
	present  []Address // of held, each prefix once; handed out, so never changed in place
	departed []departedAddress
}

// heldAddress is an address as the kernel holds it. Several may have the same
// prefix and different peers.
type heldAddress struct {
	Address
	peer netip.Addr
	seen uint64 // the dump in which it was seen last
}

// departedAddress is one that the instance lost and may have to be remembered
// by.
type departedAddress struct {
	Address
	at time.Time
}

// together is how long the addresses that a removal takes away may leave after
// each other. What left earlier is no part of it.
const together = 10 * time.Second

type addressKey struct {
	prefix netip.Prefix
	peer   netip.Addr
}

func (e addressEvent) key() addressKey { return addressKey{e.address.Prefix, e.peer} }

func noAddresses() addresses { return addresses{present: []Address{}} }

// set takes one event, read at a time, while the dump of that number is the
// last.
func (a *addresses) set(e addressEvent, dump uint64, read time.Time) {
	at := slices.IndexFunc(a.held, func(h heldAddress) bool {
		return h.Prefix == e.address.Prefix && h.peer == e.peer
	})
	h := heldAddress{e.address, e.peer, dump}
	switch {
	case e.gone && at < 0:
		return
	case e.gone:
		a.held = slices.Delete(a.held, at, at+1)
	case at >= 0:
		unchanged := a.held[at].Address == e.address
		a.held[at] = h
		if unchanged {
			return
		}
	default:
		a.held = append(a.held, h)
	}
	is, held := a.merged(e.address.Prefix)
	switch was := find(a.present, e.address.Prefix); {
	case held && was < 0:
		a.present = append(slices.Clip(a.present), is)
		a.arrive(is)
	case held:
		a.present = slices.Clone(a.present)
		a.present[was] = is
	default:
		gone := a.present[was]
		a.present = slices.Delete(slices.Clone(a.present), was, was+1)
		a.depart(gone, read)
	}
}

// merged returns what those that have a prefix amount to: tentative where all
// of them are.
func (a *addresses) merged(p netip.Prefix) (is Address, held bool) {
	for _, h := range a.held {
		switch {
		case h.Prefix != p:
		case !held:
			is, held = h.Address, true
		default:
			is.Tentative = is.Tentative && h.Tentative
		}
	}
	return is, held
}

func find(addresses []Address, p netip.Prefix) int {
	return slices.IndexFunc(addresses, func(a Address) bool { return a.Prefix == p })
}

// depart remembers an address, and forgets those of its family that were gone
// long before.
func (a *addresses) depart(gone Address, at time.Time) {
	family := FamilyOf(gone.Prefix.Addr())
	a.departed = slices.DeleteFunc(a.departed, func(d departedAddress) bool {
		return d.Prefix == gone.Prefix || FamilyOf(d.Prefix.Addr()) == family && at.Sub(d.at) > together
	})
	a.departed = append(a.departed, departedAddress{gone, at})
}

// arrive forgets what a new address replaces.
func (a *addresses) arrive(come Address) {
	family := FamilyOf(come.Prefix.Addr())
	a.departed = slices.DeleteFunc(a.departed, func(d departedAddress) bool {
		return d.Prefix == come.Prefix || come.tells(family) && FamilyOf(d.Prefix.Addr()) == family
	})
}

// unseen returns the addresses that a dump did not show.
func (a *addresses) unseen(dump uint64) []heldAddress {
	var unseen []heldAddress
	for _, h := range a.held {
		if h.seen != dump {
			unseen = append(unseen, h)
		}
	}
	return unseen
}
