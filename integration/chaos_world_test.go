package integration

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// The chaos's world is small, so that it is plain what it should lead to: four
// places for interfaces, two names and a few MAC addresses for each, two
// subnets, one address of each family at a time.

// place is where an interface may be. Whatever lives there, one life after the
// other, has a far end or an interface below in common.
type place int

const (
	left    place = iota // a veth pair, far0 is its other end
	right                // another, with far1
	above                // a macvlan on what is at left
	bridged              // a bridge, whose ports left and right may be
	places
)

var (
	placeNames = [places][]string{{"eth0", "wan0"}, {"eth1", "wan1"}, {"mv0"}, {"br0"}}
	placeMACs  = [places][]string{
		{"02:00:00:00:00:01", "02:00:00:00:00:02"}, {"02:00:00:00:00:01", "02:00:00:00:00:03"},
		{"02:00:00:00:01:01", "02:00:00:00:01:02"}, {"02:00:00:00:02:01"},
	}
	farNames = [2]string{"far0", "far1"}
)

const bridgeName = "br0"

// life is one life of an interface, as the kernel has it.
type life struct {
	id        int // zero is none
	age       int // a greater one was seen later by the daemon that runs
	place     place
	name, mac string
	up        bool
	farUp     bool // the other end of a veth pair is up
	port      bool // of the bridge
	mtu       int
	deaths6   int  // how often IPv6 died in this life
	net       nets // subnet numbers, zero for none
	netBefore nets // the last one that it had, also where it has one
	untold6   bool // its IPv6 address came since the last rest: the kernel tells of it once the link is ready
	drained   bool
}

// nets are subnets, IPv4's and IPv6's.
type nets [2]int

// fam indexes what there is of IPv4 and of IPv6.
type fam int

const (
	fam4 fam = iota
	fam6
)

func (l life) alive(f fam) bool { return f == fam4 || l.mtu >= minMTU6 }

const minMTU6 = 1280 // RFC 8200, section 5

func (l *life) setNet(f fam, n int) {
	if l.net[f] = n; n != 0 {
		l.netBefore[f] = n
	}
}

// setMTU ends IPv6 where that is too small for it.
func (l *life) setMTU(mtu int) {
	was := l.alive(fam6)
	if l.mtu = mtu; was && !l.alive(fam6) {
		l.deaths6++
		l.net[fam6] = 0
	}
}

// setDown takes an interface down: the kernel removes its IPv6 addresses.
func (l *life) setDown() {
	l.up = false
	l.net[fam6] = 0
}

func (l life) String() string {
	if l.id == 0 {
		return "-"
	}
	words := []string{fmt.Sprintf("%s#%d %s mtu=%d net=%v", l.name, l.id, l.mac, l.mtu, l.net)}
	for _, flag := range []struct {
		is   bool
		word string
	}{{!l.up, "down"}, {l.place <= right && !l.farUp, "far end down"}, {l.port, "port"}, {l.drained, "drained"}} {
		if flag.is {
			words = append(words, flag.word)
		}
	}
	return strings.Join(words, " ")
}

// world is all interfaces at one moment. It is a value.
type world struct {
	lives [places]life
	away  [2]life // moved to another namespace, and back with another life
	// lag has the places whose carrier changed since all was at rest. The
	// kernel tells of a carrier up to a second late, so that whoever listens
	// may believe either.
	lag [places]bool
}

func (w world) has(p place) bool { return w.lives[p].id != 0 }

// carrier reports whether the interface at a place has a link partner.
func (w world) carrier(p place) bool {
	l := w.lives[p]
	switch p {
	case left, right:
		return l.up && l.farUp
	case above:
		return l.up && w.carrier(left)
	}
	return l.up && len(w.ways(bridged)) > 0
}

// ways returns the far ends that hear what the interface at a place sends,
// while they have a carrier.
func (w world) ways(p place) []place {
	switch p {
	case bridged:
		return slices.DeleteFunc([]place{left, right}, func(p place) bool { return !w.lives[p].port || !w.carrier(p) })
	case above:
		p = left
	}
	if !w.carrier(p) {
		return nil
	}
	return []place{p}
}

// delivers reports whether datagrams of a family that are sent on the far side
// come in at a place, if somebody joined them there. What comes in at a port
// is the bridge's.
func (w world) delivers(p place, f fam) bool {
	l := w.lives[p]
	return w.has(p) && !l.port && l.alive(f) && w.carrier(p)
}

func (w world) String() string {
	var lines []string
	for p := range places {
		lines = append(lines, fmt.Sprintf("%-5s %s", placeNames[p][0], w.lives[p]))
	}
	for _, l := range w.away {
		if l.id != 0 {
			lines = append(lines, "away  "+l.String())
		}
	}
	return strings.Join(lines, "\n")
}

// view is the world as somebody may see it who hears of it from the kernel.
type view struct {
	world
	carriers [places]bool
}

// views returns every view of the world: one for each way in which the
// carriers that changed, and the IPv6 addresses that came, may have been told of
// by now.
func (w world) views() []view {
	truth := view{world: w}
	for p := range places {
		truth.carriers[p] = w.carrier(p)
	}
	all := []view{truth}
	for p := range places {
		if !w.lag[p] {
			continue
		}
		for _, v := range slices.Clone(all) {
			v.carriers[p] = !v.carriers[p]
			all = append(all, v)
		}
	}
	for p := range places {
		if !w.lives[p].untold6 {
			continue
		}
		for _, v := range slices.Clone(all) {
			v.lives[p].net[fam6], v.lives[p].netBefore[fam6] = 0, 0
			all = append(all, v)
		}
	}
	return all
}

// sortedKeys makes output that is the same each time.
func sortedKeys[M ~map[K]V, K ~string, V any](m M) []K { return slices.Sorted(maps.Keys(m)) }
