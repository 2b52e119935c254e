package integration

// unwatched is a time in which the interfaces change and nobody looks: after what
// the one daemon remembers, and before the next one takes its first look.
type unwatched struct {
	was      world         // as it began
	doubtful map[int]doubt // of lives that go on
}

// doubt is why the next daemon cannot be sure that a life goes on.
type doubt int

const (
	sure    doubt = iota
	changed       // in a way that matters where no rule comes near: there is no life probe
	reborn        // under another name, or as to IPv6: its life probes may have ended
)

func (c *chaos) newUnwatched() *unwatched {
	return &unwatched{was: c.world, doubtful: make(map[int]doubt)}
}

// beginUnwatched begins such a time: now, or when the daemon was stopped, who may
// hand over before it reads what happened since.
func (c *chaos) beginUnwatched() {
	if c.unwatched = c.paused; c.unwatched == nil {
		c.unwatched = c.newUnwatched()
	}
	for id, g := range c.graves {
		if g.recent { // who knows whether that was seen
			g.unseen = true
			c.graves[id] = g
		}
	}
}

// doubt notes that something happened to the interface at a place after which it
// may be taken for another one.
func (c *chaos) doubt(p place, how doubt) {
	for _, u := range []*unwatched{c.unwatched, c.paused} {
		if id := c.world.lives[p].id; u != nil {
			u.doubtful[id] = max(u.doubtful[id], how)
		}
	}
}

// endUnwatched has the model know that another daemon looks now.
func (c *chaos) endUnwatched() {
	u := c.unwatched
	clear(c.instances) // it numbers them anew
	for name, m := range c.members {
		if !m.wish.persists {
			delete(c.members, name)
		}
	}
	for id, how := range u.doubtful {
		c.parked[id] = c.parked[id] || how == reborn
	}
	c.learn(u)
	c.noted()
	c.unwatched = nil
}

// mistake adds where a membership stands for somebody who takes a life for another
// one.
func (m *chaosMember) mistake(u *unwatched, twins map[int]life) {
	for _, s := range sortedStandings(m.may) {
		m.may.add(possibly(m.wish.mistaken(s, u.doubtful, twins)...))
	}
}

// twins returns the lives that began unwatched and may be taken for the last one
// at their index, by that one's number.
func (c *chaos) twins(u *unwatched) map[int]life {
	twins := make(map[int]life)
	if u == nil {
		return twins
	}
	for _, was := range u.was.lives {
		now := c.world.lives[was.place]
		if was.id != 0 && now.id != 0 && now.id != was.id && c.indexOf[was.id] == c.indexOf[now.id] {
			twins[was.id] = now
		}
	}
	return twins
}

// learn asks the new daemon in which order it has seen the interfaces, and what is
// drained where it may have been in doubt which life that was.
func (c *chaos) learn(u *unwatched) {
	all, err := c.daemon.client.Interfaces(c.ctx)
	c.ok(err)
	for _, i := range all {
		for p := range places {
			l, was := &c.world.lives[p], u.was.lives[p]
			if l.id == 0 || i.Name != l.name {
				continue
			}
			l.age = int(i.ID)
			if was.drained && (u.doubtful[l.id] != sure || l.id != was.id) {
				l.drained = i.Drained
			}
		}
	}
}

// seenAnew is the world as somebody sees it who finds all interfaces at once: in
// the order of their indexes.
func (c *chaos) seenAnew() world {
	w := c.world
	for p := range w.lives {
		w.lives[p].age = c.indexOf[w.lives[p].id]
	}
	return w
}

// mistaken returns the standings for somebody who takes a life for another one.
func (w aWish) mistaken(s standing, doubtful map[int]doubt, twins map[int]life) []standing {
	all := []standing{s}
	for id, how := range doubtful {
		for _, t := range all {
			t = t.clone()
			if at := t.attachment(id); at >= 0 && how == reborn {
				t.lose(w, id, t.on[at].life)
			}
			for n := range t.lost {
				if t.lost[n].id == id {
					t.lost[n].id = -id // as if it were over
				}
			}
			all = append(all, t)
		}
	}
	for id, twin := range twins {
		for _, t := range all {
			t = t.clone()
			for n := range t.lost {
				if t.lost[n].id == id {
					t.lost[n].id = twin.id
				}
			}
			all = append(all, t)
		}
	}
	return all
}
