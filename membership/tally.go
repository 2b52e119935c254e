package membership

// tally says how many channels are joined, how many the kernel refused, or lost
// and refuses now, and how many of the others stand in line.
type tally struct {
	joined, refused, inLine int
	first                   *entry // of the refused, or whose refusal keeps all from their turns
}

func (t *tally) add(o tally) {
	t.joined, t.refused, t.inLine = t.joined+o.joined, t.refused+o.refused, t.inLine+o.inLine
	if t.first == nil {
		t.first = o.first
	}
}

func (p *pool) count(channels []Channel) tally {
	var t tally
	if p.joined == p.entries.len() {
		t.joined = len(channels)
		return t
	}
	for _, c := range channels {
		switch e := p.entries.get(c); {
		case e.isJoined():
			t.joined++
		case e.err != nil:
			t.refused++
			if t.first == nil {
				t.first = e
			}
		case e.inLine:
			t.inLine++
		}
	}
	if t.inLine > 0 && t.first == nil {
		t.first = p.barred
	}
	return t
}

// count counts the channels of an attachment, in all families.
func (a *attachment) count() tally {
	var t tally
	for _, f := range a.member.wish.families {
		if p := a.pools.of(f); p != nil {
			t.add(p.count(a.member.wish.channelsOf(f)))
		}
	}
	return t
}
