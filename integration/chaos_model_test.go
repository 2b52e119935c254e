package integration

import (
	"fmt"
	"maps"
	"slices"
)

// The model says where each membership should be joined. It restates the
// contract of docs/configuration.md in its own words, for the chaos's small
// world, and calls nothing of what it judges.
//
// Where changes follow each other quickly a daemon sees some of the states in
// between and misses others, and what it should do may depend on that. So the
// model keeps, for each membership, every state in which a daemon may be that
// has looked at any of the views of the world since the last rest. At a rest it
// has seen the last one, and must be in one of those states: the others are
// dropped. Besides, these are left open:
//
//   - the carrier, of which the kernel tells up to a second late;
//   - whether an address that went before its interface did is remembered, as
//     one that a tool flushes first is.

// standing is one membership as it may stand.
type standing struct {
	on    []attached // by the life's number
	lost  []life     // instances that were lost and not replaced yet
	ended bool
}

// attached is an attachment: to a life as it was looked at last.
type attached struct {
	life
	has [2]bool // which families were wished for
}

// key tells all of it, and not what String does.
func (s standing) key() string { return fmt.Sprintf("%#v", s) }

func (s standing) clone() standing {
	s.on, s.lost = slices.Clone(s.on), slices.Clone(s.lost)
	return s
}

func (s standing) attachment(id int) int {
	return slices.IndexFunc(s.on, func(a attached) bool { return a.id == id })
}

// possible is every state in which a membership may be, by key.
type possible map[string]standing

func possibly(all ...standing) possible {
	p := make(possible, len(all))
	for _, s := range all {
		p[s.key()] = s
	}
	return p
}

func (p possible) add(q possible) { maps.Copy(p, q) }

// look is what becomes of a membership when somebody takes a look at the world.
// graves has each life that ended.
func (w aWish) look(v view, graves map[int]grave, s standing) possible {
	s = s.clone()
	if s.ended {
		return possibly(s)
	}
	after := make(possible)
	for _, s := range w.bury(v, graves, s) {
		w.mismatched(v, &s)
		for _, s := range s.forgetful() {
			after.add(w.attach(v, s))
		}
	}
	return after
}

// attach goes where the membership should be.
func (w aWish) attach(v view, s standing) possible {
	var accepted []life
	for _, l := range v.lives {
		if l.id != 0 && s.attachment(l.id) < 0 && w.accepts(v, s, l) {
			accepted = append(accepted, l)
		}
	}
	slices.SortFunc(accepted, func(a, b life) int { return a.age - b.age })
	if !w.all {
		accepted = w.choose(s, accepted)
	}
	all := []standing{s}
	for _, l := range accepted {
		var next []standing
		for _, t := range all {
			next = append(next, w.attachTo(t, s.lost, l)...)
		}
		all = next
	}
	after := make(possible)
	for _, s := range all {
		w.update(v, &s)
		after.add(possibly(s))
	}
	return after
}

// choose picks at most one interface for a membership that wants one.
func (w aWish) choose(s standing, accepted []life) []life {
	switch {
	case len(accepted) == 0 || len(s.on) > 0:
		return nil
	case len(accepted) == 1 || w.ambiguous == "oldest":
		return accepted[:1]
	case w.ambiguous == "newest":
		return accepted[len(accepted)-1:]
	}
	return nil
}

// accepts reports whether an interface may be attached to.
func (w aWish) accepts(v view, s standing, l life) bool {
	if l.drained || w.where.matches(v.world, l) != yes || !w.ready(v, l, fam4) && !w.ready(v, l, fam6) {
		return false
	}
	return len(s.lost) == 0 || slices.ContainsFunc(s.lost, func(lost life) bool { return w.mayReplace(lost, l) })
}

// ready reports whether the channels of a family may be joined.
func (w aWish) ready(v view, l life, f fam) bool {
	if w.channelsOf(f) == 0 || !l.alive(f) {
		return false
	}
	switch w.require {
	case "up":
		return l.up
	case "carrier":
		return v.carriers[l.place]
	case "address":
		return l.net[f] != 0
	}
	return true
}

// mayReplace holds a new interface against a lost one by the policy. An
// interface that was left and lives on is no new one.
func (w aWish) mayReplace(lost, l life) bool {
	switch {
	case lost.id == l.id:
		return true
	case w.policy == "never":
		return false
	case w.policy == "match":
		return true
	}
	switch w.same {
	case "mac":
		return lost.mac == l.mac
	case "name":
		return lost.name == l.name
	}
	had := false // an address of a family of the membership
	for _, f := range []fam{fam4, fam6} {
		if w.channelsOf(f) == 0 || lost.net[f] == 0 {
			continue
		}
		if had = true; lost.net[f] != l.net[f] {
			return false
		}
	}
	return had
}

// attachTo attaches to one more interface, which takes the place of one of those
// that were lost. Several may be it.
func (w aWish) attachTo(s standing, lost []life, l life) []standing {
	s = s.clone()
	s.on = append(s.on, attached{life: l})
	slices.SortFunc(s.on, func(a, b attached) int { return a.id - b.id })
	if !w.all {
		s.lost = nil
	}
	var all []standing
	for _, gone := range lost {
		if !w.all || !w.mayReplace(gone, l) {
			continue
		}
		t := s.clone()
		t.lost = slices.DeleteFunc(t.lost, func(x life) bool { return x.id == gone.id || x.id == l.id })
		all = append(all, t)
	}
	if all == nil {
		all = []standing{s}
	}
	return all
}

// update notes the attachments' interfaces as they are now, and that a membership
// of the policy never has ended.
func (w aWish) update(v view, s *standing) {
	for n := range s.on {
		a := &s.on[n]
		a.life = v.lives[a.place]
		for _, f := range []fam{fam4, fam6} {
			a.has[f] = a.has[f] || w.ready(v, a.life, f)
		}
	}
	lives := func(l life) bool { return v.lives[l.place].id == l.id }
	s.ended = w.policy == "never" && len(s.on) == 0 && len(s.lost) > 0 && !slices.ContainsFunc(s.lost, lives)
}
