package integration

import "slices"

// How attachments end in the model, and what is remembered of them.

// lose ends an attachment. Of what was lost that is remembered which the policy
// asks about, in no order.
func (s *standing) lose(w aWish, id int, as life) {
	s.on = slices.Delete(s.on, s.attachment(id), s.attachment(id)+1)
	lost := life{id: as.id, place: as.place}
	switch w.same {
	case "mac":
		lost.mac = as.mac
	case "name":
		lost.name = as.name
	case "subnet":
		lost.net, lost.netBefore = as.net, as.netBefore
	}
	if !w.all {
		s.lost = nil
	}
	if w.policy != "match" { // which asks about nothing
		s.lost = append(s.lost, lost)
		slices.SortFunc(s.lost, func(a, b life) int { return a.id - b.id })
	}
}

// bury ends the attachments to what is gone: the interface, or the last of the
// families that were joined on it.
func (w aWish) bury(v view, graves map[int]grave, s standing) []standing {
	all := []standing{s}
	for _, a := range s.on {
		now := v.lives[a.place]
		var as []life
		switch {
		case now.id != a.id:
			as = append(as, graves[a.id].life)
			if graves[a.id].unseen {
				as = append(as, a.life)
			}
		case now.deaths6 != a.deaths6 && !a.has[fam4]:
			as = append(as, a.life)
		case now.deaths6 != a.deaths6:
			for n := range all {
				all[n] = all[n].clone()
				all[n].on[all[n].attachment(a.id)].has[fam6] = false
			}
		}
		for _, l := range as {
			if l.untold6 {
				l.net[fam6], l.netBefore[fam6] = 0, 0
				as = append(as, l)
			}
		}
		if as != nil {
			all = w.lostAs(all, a.id, as)
		}
	}
	return all
}

// lostAs ends an attachment, and remembers any of what the life may have been
// last.
func (w aWish) lostAs(from []standing, id int, as []life) (all []standing) {
	for _, s := range from {
		for _, l := range as {
			t := s.clone()
			t.lose(w, id, l)
			all = append(all, t)
		}
	}
	return all
}

// grave is a life that has ended, as it was last.
type grave struct {
	life
	recent bool // since the last rest
	unseen bool // perhaps by nobody, who remembers it as it was before
}

// mismatched ends the attachments to what is drained, and to what the selector
// no longer wants under on_change: leave.
func (w aWish) mismatched(v view, s *standing) {
	for _, a := range slices.Clone(s.on) {
		now := v.lives[a.place]
		if now.drained || w.leaves && w.where.matches(v.world, now) == no {
			s.lose(w, a.id, a.life)
		}
	}
}

// forgetful returns the standing once for each way in which addresses that went
// before their interfaces may be remembered.
func (s standing) forgetful() []standing {
	all := []standing{s}
	for n, l := range s.lost {
		for f := range l.net {
			if l.net[f] != 0 || l.netBefore[f] == 0 {
				continue
			}
			for _, other := range slices.Clone(all) {
				other = other.clone()
				other.lost[n].net[f] = l.netBefore[f]
				all = append(all, other)
			}
		}
	}
	for _, s := range all { // it is decided
		for n := range s.lost {
			s.lost[n].netBefore = s.lost[n].net
		}
	}
	return all
}
