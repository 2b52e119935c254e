package integration

import (
	"fmt"
	"slices"
)

// act is something that the chaos may do, as often as its weight says, where it
// can.
type act struct {
	name   string
	weight int
	can    func(*chaos, place) bool
	do     func(*chaos, place)
}

// at is an act at a place.
type at struct {
	act
	place place
}

func exists(c *chaos, p place) bool { return c.world.has(p) }
func vacant(c *chaos, p place) bool { return !c.world.has(p) && (p > right || c.world.away[p].id == 0) }
func isUp(c *chaos, p place) bool   { return c.world.lives[p].up }
func isPair(c *chaos, p place) bool { return p <= right && c.world.has(p) }

// canBegin reports whether there is what an interface at a place needs. A port
// has no macvlan.
func canBegin(c *chaos, p place) bool {
	return vacant(c, p) && (p != above || c.world.has(left) && !c.world.lives[left].port)
}

// canMove leaves out the parent of a macvlan, which would stay behind.
func canMove(c *chaos, p place) bool { return isPair(c, p) && (p != left || !c.world.has(above)) }

var worldActs = []act{
	{"create", 8, canBegin, func(c *chaos, p place) { c.create(p, 0) }},
	{"create at the same index", 6, canBegin, func(c *chaos, p place) { c.create(p, c.indexes[p]) }},
	{"delete", 4, exists, (*chaos).remove},
	{"delete and create", 4, exists, func(c *chaos, p place) { c.recreate(p, 0) }},
	{"delete and create at the same index", 6, exists, func(c *chaos, p place) { c.recreate(p, c.indexAt(p)) }},
	{"rename", 3, isPair, func(c *chaos, p place) { c.rename(p, other(c, placeNames[p], c.world.lives[p].name)) }},
	{"move away", 2, canMove, (*chaos).moveAway},
	{"move back", 8, func(c *chaos, p place) bool { return p <= right && c.world.away[p].id != 0 }, func(c *chaos, p place) { c.moveBack(p); c.settleIn(p) }},
	{"move away and back", 3, canMove, func(c *chaos, p place) { c.moveAway(p); c.moveBack(p); c.settleIn(p) }},
	{"small MTU", 3, func(c *chaos, p place) bool { return exists(c, p) && c.world.lives[p].alive(fam6) }, func(c *chaos, p place) { c.setMTU(p, minMTU6-1) }},
	{"normal MTU", 8, canGrow, func(c *chaos, p place) { c.setMTU(p, normalSize) }},
	{"small and normal MTU", 2, func(c *chaos, p place) bool { return p != above && exists(c, p) }, func(c *chaos, p place) { c.setMTU(p, minMTU6-1); c.setMTU(p, normalSize) }},
	{"far end down", 3, func(c *chaos, p place) bool { return isPair(c, p) && c.world.lives[p].farUp }, func(c *chaos, p place) { c.setFar(p, false) }},
	{"far end up", 8, func(c *chaos, p place) bool { return isPair(c, p) && !c.world.lives[p].farUp }, func(c *chaos, p place) { c.setFar(p, true) }},
	{"down", 3, isUp, (*chaos).setDown},
	{"up", 8, func(c *chaos, p place) bool { return exists(c, p) && !c.world.lives[p].up }, (*chaos).setUp},
	{"down and up", 3, isUp, func(c *chaos, p place) { c.setDown(p); c.setUp(p) }},
	{"flush addresses", 2, exists, (*chaos).flushAddresses},
	{"addresses", 5, exists, func(c *chaos, p place) { c.flushAddresses(p); c.addAddresses(p, 1+c.rand.IntN(2)) }},
	{"MAC", 2, func(c *chaos, p place) bool { return p != bridged && exists(c, p) }, func(c *chaos, p place) { c.setMAC(p, other(c, placeMACs[p], c.world.lives[p].mac)) }},
	{"enslave", 3, func(c *chaos, p place) bool {
		return canMove(c, p) && c.world.has(bridged) && !c.world.lives[p].port
	}, (*chaos).enslave},
	{"free", 4, func(c *chaos, p place) bool { return c.world.lives[p].port }, (*chaos).free},
}

// canGrow leaves out a macvlan whose parent is smaller.
func canGrow(c *chaos, p place) bool {
	return exists(c, p) && !c.world.lives[p].alive(fam6) && (p != above || c.world.lives[left].alive(fam6))
}

// other draws another one than there is, where there is one.
func other(c *chaos, from []string, than string) string {
	return pick(c.rand, slices.DeleteFunc(slices.Clone(from), func(s string) bool { return s == than && len(from) > 1 }))
}

// create makes what belongs at a place, mostly ready to be used.
func (c *chaos) create(p place, index int) {
	mac := pick(c.rand, placeMACs[p])
	switch p {
	case above:
		c.addMacvlan(mac, index)
	case bridged:
		c.addBridge(index)
	default:
		c.addPair(p, mac, index)
		if c.rand.IntN(8) > 0 {
			c.setFar(p, true)
		}
	}
	c.settleIn(p)
}

// settleIn mostly gives a new life addresses and sets it up.
func (c *chaos) settleIn(p place) {
	if c.rand.IntN(4) > 0 {
		c.addAddresses(p, 1+c.rand.IntN(2))
	}
	if c.rand.IntN(8) > 0 {
		c.setUp(p)
	}
}

func (c *chaos) recreate(p place, index int) {
	hadAbove := p == left && c.world.has(above)
	c.remove(p)
	c.create(p, index)
	if hadAbove && c.rand.IntN(2) == 0 {
		c.create(above, c.indexes[above])
	}
}

// draw chooses an act from those that can be done now.
func (c *chaos) draw(from []act) at {
	var all []at
	total := 0
	for _, a := range from {
		for p := range places {
			if a.can(c, p) {
				all = append(all, at{a, p})
				total += a.weight
			}
		}
	}
	n := c.rand.IntN(total)
	for _, a := range all {
		if n -= a.weight; n < 0 {
			return a
		}
	}
	panic("unreachable")
}

// perform does an act, and writes it down.
func (c *chaos) perform(a at) {
	c.count++
	c.tally[a.name]++
	c.say("%s at %s", a.name, placeNames[a.place][0])
	a.do(c, a.place)
}

func (c *chaos) say(format string, args ...any) {
	c.log = append(c.log, fmt.Sprintf(format, args...))
}
