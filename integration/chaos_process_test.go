package integration

import (
	"fmt"
	"maps"
	"slices"
)

// stranger is another process that joined one of the channels on a life of an
// interface. Once that has ended, its socket is stale: where the index lives
// again, its end takes the membership of whoever joined there (K6). There is at
// most one for each channel: of three in one group the kernel's list does not
// show who was robbed.
type stranger struct {
	process
	channel int
	on      life
}

// fresh reports whether the stranger is a member of what lives now.
func (s stranger) fresh(w world) bool {
	now := w.lives[s.on.place]
	return now.id == s.on.id && (famOf(s.channel) == fam4 || now.deaths6 == s.on.deaths6)
}

// otherActs are what is done by and to processes.
var otherActs = []act{
	{"add a membership", 14, once(func(c *chaos) bool { return !c.stopped && len(c.members) < len(memberNames) }), addMember},
	{"remove a membership", 2, once(func(c *chaos) bool { return !c.stopped && len(c.members) > 3 }), removeMember},
	{"change channels", 4, once(func(c *chaos) bool { return !c.stopped && len(c.members) > 0 }), changeChannels},
	{"drain", 1, func(c *chaos, p place) bool { return !c.stopped && c.world.has(p) && !c.world.lives[p].drained }, drain},
	{"undrain", 4, func(c *chaos, p place) bool { return !c.stopped && c.world.lives[p].drained }, undrain},
	{"stranger joins", 3, func(c *chaos, p place) bool { return c.world.has(p) && len(c.unclaimed(p)) > 0 }, (*chaos).strangerJoins},
	{"stranger ends", 3, once(func(c *chaos) bool { return len(c.strangers) > 0 }), func(c *chaos, _ place) { c.strangerEnds(pick(c.rand, c.strangerChannels())) }},
	{"neighbour joins another group", 2, func(c *chaos, p place) bool { return c.world.lives[p].alive(fam6) && c.neighbour == nil }, neighbourJoins},
	{"neighbour leaves it", 3, once(func(c *chaos) bool { return c.neighbour != nil }), neighbourLeaves},
	{"stop", 3, once(func(c *chaos) bool { return !c.stopped }), func(c *chaos, _ place) { c.stop() }},
	{"continue", 20, once(func(c *chaos) bool { return c.stopped }), func(c *chaos, _ place) { c.cont() }},
	{"theft", 2, canRob, rob},
	{"narrow escape", 2, canRob, narrowEscape},
}

// once is for what happens at no place.
func once(can func(*chaos) bool) func(*chaos, place) bool {
	return func(c *chaos, p place) bool { return p == left && can(c) }
}

var memberNames = []string{"m0", "m1", "m2", "m3", "m4", "m5", "m6", "m7"}

// What the memberships are changes through the control API. A reload of the file
// is one more act beside these: it writes the wishes, sends SIGHUP and tells the
// model as they do.

// addMember may come in the midst of changes: the daemon first sees any of the
// views since the last rest.
func addMember(c *chaos, _ place) {
	unused := slices.DeleteFunc(slices.Clone(memberNames), func(name string) bool { return c.members[name] != nil })
	w := drawWish(c.rand, pick(c.rand, unused))
	if !w.persists {
		c.unkept++
		w.name = fmt.Sprintf("until%d", c.unkept) // what is remembered of it is of no use
	}
	c.say("  %s", w)
	_, err := c.daemon.client.Put(c.ctx, w.name, w.entry(), w.keep())
	c.ok(err)
	m := &chaosMember{wish: w, may: make(possible)}
	for _, v := range c.views {
		m.look(c, v)
		m.may.add(w.look(v, c.graves, standing{}))
	}
	c.members[w.name] = m
	c.noteHeld()
}

func removeMember(c *chaos, _ place) {
	name := pick(c.rand, sortedKeys(c.members))
	c.say("  %s", name)
	_, err := c.daemon.client.Delete(c.ctx, name)
	c.ok(err)
	delete(c.members, name)
	c.noteHeld()
}

// changeChannels comes at a rest, so that it is plain on which families the
// membership is.
func changeChannels(c *chaos, _ place) {
	c.rest()
	m := c.members[pick(c.rand, sortedKeys(c.members))]
	m.wish.channels = m.wish.others(c.rand)
	c.say("  %s", m.wish)
	_, err := c.daemon.client.Put(c.ctx, m.wish.name, m.wish.entry(), m.wish.keep())
	c.ok(err)
	c.noteHeld()
	c.rest()
}

// drain comes at a rest: what is drained is an interface that the daemon knows.
func drain(c *chaos, p place) {
	c.rest()
	_, err := c.daemon.client.Drain(c.ctx, "", c.world.lives[p].name)
	c.ok(err)
	c.world.lives[p].drained = true
	c.noted()
	c.rest()
}

func undrain(c *chaos, p place) {
	c.rest()
	_, err := c.daemon.client.Undrain(c.ctx, "", c.world.lives[p].name)
	c.ok(err)
	c.world.lives[p].drained = false
	c.noted()
	c.rest()
}

// unclaimed returns the channels that no stranger has, of families that live at a
// place.
func (c *chaos) unclaimed(p place) []int {
	var free []int
	for n := range wishedChannels {
		if _, taken := c.strangers[n]; !taken && c.world.lives[p].alive(famOf(n)) {
			free = append(free, n)
		}
	}
	return free
}

func (c *chaos) strangerChannels() []int { return slices.Sorted(maps.Keys(c.strangers)) }

func (c *chaos) strangerJoins(p place) { c.strangerJoinsOne(p, pick(c.rand, c.unclaimed(p))) }

func (c *chaos) strangerJoinsOne(p place, n int) {
	c.say("  %s", wishedChannels[n])
	c.strangers[n] = stranger{newProcess(c.t, c.near, c.indexAt(p), wishedChannels[n]), n, c.world.lives[p]}
}

// strangerEnds closes the stranger's socket, and so takes somebody's membership
// if it is stale.
func (c *chaos) strangerEnds(n int) {
	s := c.strangers[n]
	c.say("  %s, of %s#%d, fresh: %t", wishedChannels[n], s.on.name, s.on.id, s.fresh(c.world))
	s.end()
	delete(c.strangers, n)
	for p := range places {
		c.disturb(p)
	}
}

func neighbourJoins(c *chaos, p place) {
	f := pick(c.rand, []family{v4, v6})
	neighbour := newProcess(c.t, c.near, c.indexAt(p), f.spare(999))
	c.neighbour = &neighbour
}

func neighbourLeaves(c *chaos, _ place) {
	c.neighbour.end()
	c.neighbour = nil
}

func (c *chaos) stop() {
	c.daemon.stop()
	c.stopped, c.paused = true, c.newUnwatched()
}

func (c *chaos) cont() {
	if c.ended {
		c.beginNext()
		return
	}
	c.daemon.cont()
	c.stopped, c.paused = false, nil
}

func canRob(c *chaos, p place) bool {
	return isPair(c, p) && c.world.carrier(p) && c.world.lives[p].alive(fam6) && !c.stopped && len(c.unclaimed(p)) > 0
}

// rob has a stranger join, the index get another life, the daemon come to
// rest there, and the stranger end.
func rob(c *chaos, p place) {
	c.rest()
	n := pick(c.rand, c.unclaimed(p))
	c.strangerJoinsOne(p, n)
	c.recreate(p, c.indexAt(p))
	c.rest()
	c.strangerEnds(n)
	c.rest()
}

// narrowEscape stops the daemon, which would be the thief if it closed its
// sockets when it goes on: the index has another life, and a stranger joined
// there.
func narrowEscape(c *chaos, p place) {
	c.rest()
	n := pick(c.rand, c.unclaimed(p))
	c.stop()
	if c.rand.IntN(2) == 0 && canMove(c, p) {
		c.moveAway(p)
		c.moveBack(p)
		c.settleIn(p)
	} else {
		c.recreate(p, c.indexAt(p))
	}
	c.strangerJoinsOne(p, n)
	c.cont()
	c.rest()
}
