package integration

import (
	"net"

	"github.com/vishvananda/netlink"

	"github.com/ssmd-project/ssmd/internal/testnet"
)

// Each step here does one thing to the kernel and the same to the model's
// world, so that between two of them anybody may take a look.

// set changes the interface at a place in the kernel.
func (c *chaos) set(p place, changes ...testnet.Change) {
	c.t.Helper()
	c.ok(c.near.Set(c.world.lives[p].name, changes...))
}

// seenLater is more than any number that a daemon gave to what it has seen.
const seenLater = 1 << 30

// begin notes a new life at a place, which is down and has no addresses.
func (c *chaos) begin(p place, l life) {
	c.lives++
	l.id, l.place, l.age = c.lives, p, seenLater+c.lives
	l.up, l.port, l.drained, l.net, l.netBefore, l.deaths6 = false, false, false, nets{}, nets{}, 0
	c.world.lives[p] = l
	index := c.indexAt(p)
	_, had := c.lastAt[index]
	c.heirs[l.id], c.lastAt[index], c.indexOf[l.id] = had, l.id, index
	c.noted()
}

// add makes a link in the kernel.
func (c *chaos) add(link netlink.Link, a *netlink.LinkAttrs, mac string, index int) {
	c.t.Helper()
	hardware, err := net.ParseMAC(mac)
	c.ok(err)
	a.HardwareAddr, a.Index = hardware, index
	c.ok(c.near.Netlink.LinkAdd(link))
}

const normalSize = 1500

func (c *chaos) addPair(p place, mac string, index int) {
	name := placeNames[p][0]
	link := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: farNames[p], PeerNamespace: netlink.NsFd(int(c.far.Handle()))}
	c.add(link, &link.LinkAttrs, mac, index)
	c.begin(p, life{name: name, mac: mac, mtu: normalSize})
}

func (c *chaos) addMacvlan(mac string, index int) {
	link := testnet.Macvlan(placeNames[above][0], c.indexAt(left)).(*netlink.Macvlan)
	c.add(link, &link.LinkAttrs, mac, index)
	c.begin(above, life{name: placeNames[above][0], mac: mac, mtu: c.world.lives[left].mtu})
}

// addBridge makes a bridge that takes neither MTU nor MAC from its ports, once
// both were set, and floods what comes in.
func (c *chaos) addBridge(index int) {
	snooping, mac := false, placeMACs[bridged][0]
	link := testnet.Bridge(bridgeName).(*netlink.Bridge)
	link.MulticastSnooping = &snooping
	c.add(link, &link.LinkAttrs, mac, index)
	c.ok(c.near.Set(bridgeName, testnet.MTU(normalSize-1), testnet.MTU(normalSize)))
	c.begin(bridged, life{name: bridgeName, mac: mac, mtu: normalSize})
}

func (c *chaos) setUp(p place) {
	c.set(p, testnet.Up)
	c.world.lives[p].up = true
	c.noted()
}

func (c *chaos) setDown(p place) {
	c.set(p, testnet.Down)
	c.world.lives[p].setDown()
	c.noted()
}

func (c *chaos) setFar(p place, up bool) {
	change := testnet.Down
	if up {
		change = testnet.Up
	}
	c.ok(c.far.Set(farNames[p], change))
	c.world.lives[p].farUp = up
	c.noted()
}

// setMTU changes the MTU; that of a macvlan is never above its parent's.
func (c *chaos) setMTU(p place, mtu int) {
	c.set(p, testnet.MTU(mtu))
	if p == left && c.world.has(above) && c.world.lives[above].mtu > mtu {
		c.world.lives[above].setMTU(mtu)
		c.doubt(above, reborn)
		c.noted()
	}
	c.world.lives[p].setMTU(mtu)
	if !c.world.lives[p].alive(fam6) {
		c.doubt(p, reborn)
	}
	c.noted()
}

func (c *chaos) setMAC(p place, mac string) {
	c.set(p, testnet.MAC(mac))
	c.world.lives[p].mac = mac
	c.doubt(p, changed)
	c.noted()
}

func (c *chaos) rename(p place, name string) {
	c.set(p, testnet.Name(name))
	c.world.lives[p].name = name
	c.doubt(p, reborn)
	c.noted()
}

// flushAddresses removes one family's after the other's.
func (c *chaos) flushAddresses(p place) {
	c.set(p, testnet.NoAddresses)
	for _, f := range []fam{fam4, fam6} {
		c.world.lives[p].setNet(f, 0)
		c.noted()
	}
}

// addAddresses adds one of each family that lives.
func (c *chaos) addAddresses(p place, number int) {
	for _, f := range []fam{fam4, fam6} {
		if !c.world.lives[p].alive(f) {
			continue
		}
		c.set(p, testnet.Address(hostOf(f, number, p)))
		c.world.lives[p].setNet(f, number)
		c.world.lives[p].untold6 = c.world.lives[p].untold6 || f == fam6
		c.noted()
	}
}

func (c *chaos) enslave(p place) {
	c.set(p, testnet.Master(bridgeName))
	c.world.lives[p].port = true
	c.noted()
}

func (c *chaos) free(p place) {
	c.set(p, testnet.NoMaster)
	c.freed(p)
}

func (c *chaos) freed(p place) {
	if c.world.lives[p].port {
		c.world.lives[p].port = false
		c.noted()
	}
}

// remove deletes an interface and what is on it. The kernel ends the bridge's
// hold on a port first, and a macvlan together with its parent.
func (c *chaos) remove(p place) {
	c.indexes[p] = c.indexAt(p)
	if p == left && c.world.has(above) {
		c.indexes[above] = c.indexAt(above)
	}
	c.set(p, testnet.Deleted)
	switch p {
	case left:
		c.freed(p)
		c.goneTogether(left, above)
		return
	case right:
		c.freed(p)
	case bridged:
		c.freed(left)
		c.freed(right)
	}
	c.gone(p)
}

// goneTogether ends two lives, of which the kernel may tell in either order.
func (c *chaos) goneTogether(p, q place) {
	if !c.world.has(q) {
		c.gone(p)
		return
	}
	before := c.world
	c.gone(p)
	c.world = before
	c.gone(q)
	c.gone(p)
}

func (c *chaos) gone(p place) {
	c.graves[c.world.lives[p].id] = grave{c.world.lives[p], true, c.unwatched != nil}
	c.world.lives[p] = life{}
	c.noted()
}

// moveAway moves a veth's end to another namespace.
func (c *chaos) moveAway(p place) {
	c.indexes[p] = c.indexAt(p)
	c.set(p, testnet.MoveTo(c.away))
	c.freed(p)
	c.world.away[p] = c.world.lives[p]
	c.gone(p)
}

// moveBack moves it back, where it keeps its index if that is free.
func (c *chaos) moveBack(p place) {
	l := c.world.away[p]
	c.ok(c.away.Set(l.name, testnet.MoveTo(c.near)))
	c.world.away[p] = life{}
	c.begin(p, l)
}

// indexAt returns the kernel's index of what is at a place.
func (c *chaos) indexAt(p place) int {
	c.t.Helper()
	index, err := c.near.Index(c.world.lives[p].name)
	c.ok(err)
	return index
}
