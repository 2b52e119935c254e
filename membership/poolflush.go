package membership

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// flush joins what is wished for, and what was refused if its time has come,
// then leaves what is not, newest first; before that, where there is no room. What
// the portion is too short for is left to the next flush, which begins with another
// of these.
func (p *pool) flush(now time.Time, t *portion) outcome {
	var out outcome
	p.wait = 0
	again := len(p.refused) > 0 && !now.Before(p.retry)
	if again {
		p.added = append(p.added, p.refused...)
		p.refused = nil
	}
	news := false
	if p.turn == 0 && p.needsRoom() {
		p.leaveUnwished(t, &out)
	}
	for n := range 3 {
		switch (p.turn + n) % 3 {
		case 0:
			news = p.joinAdded(t, &out) || news
		case 1:
			p.leaveUnwished(t, &out)
		case 2:
			news = p.announceAll(t, &out) || news
		}
	}
	p.turn++
	if !p.owes(t) {
		p.turn, p.toldAt = 0, time.Time{}
	}
	p.schedule(news, again, now)
	return out
}

// needsRoom reports whether what is left makes room for what is joined. A group
// that only gets other sources has its room, and is not to be left for a moment.
func (p *pool) needsRoom() bool {
	return len(p.unwished) > 0 && len(p.added) > 0 && p.holder.isFull() &&
		!slices.ContainsFunc(p.added, func(e *entry) bool { return p.holder.has(e.channel.Group) })
}

// joinAdded reports whether a channel was refused that was not before, and not by
// what concerned all before.
func (p *pool) joinAdded(t *portion, out *outcome) (news bool) {
	try := p.added
	p.added = nil
	p.holder.expect(len(try))
	var gaveUp error
	for n, e := range try {
		hadTurn := e.turn
		e.turn = false
		if e.wishes == 0 || e.order != 0 {
			continue // leaveUnwished forgets it, or it came with another
		}
		if gaveUp != nil {
			out.touched = true
			if hadTurn {
				out.untried = append(out.untried, e)
				continue
			}
			news = news || e.err == nil
			e.err = gaveUp
			p.refused = append(p.refused, e)
			continue
		}
		if !t.goesOn() {
			e.turn = hadTurn
			p.added = try[n:]
			break
		}
		out.touched = true
		first := e.err == nil && p.barred == nil
		set, err := p.holder.join(e.channel)
		if fullness(err) && len(p.unwished) > 0 {
			p.leaveUnwished(t, out)
			set, err = p.holder.join(e.channel)
		}
		if err == nil {
			p.barred = nil
			p.noteJoined(e, set)
			p.joinMore(e, try[n+1:])
			continue
		}
		e.err = err
		news = news || first
		p.refused = append(p.refused, e)
		out.refuseJoin(err)
		p.barred = nil
		if concernsAll(err) {
			gaveUp, p.barred = err, e
		}
	}
	return news
}

// joinMore joins those with a channel that was just joined that are next to be
// and have its group, as many as one call is enough for.
func (p *pool) joinMore(joined *entry, next []*entry) {
	more := p.more[:0]
	for _, e := range next {
		if len(more) == mostAtOnce || e.channel.Group != joined.channel.Group || e.wishes == 0 || e.order != 0 {
			break
		}
		more = append(more, e.channel)
	}
	if len(more) == 0 {
		return
	}
	p.more = more
	for _, e := range next[:p.holder.joinMore(joined.set, joined.channel, more)] {
		p.noteJoined(e, joined.set)
	}
}

func (p *pool) noteJoined(e *entry, set *sourceSet) {
	p.joins++
	p.joined++
	e.order, e.set, e.err = p.joins, set, nil
}

// announceAll leaves and joins each channel at once, and reports whether one
// was refused. It begins with the newest, which the kernel finds first.
func (p *pool) announceAll(t *portion, out *outcome) (refused bool) {
	if len(p.announcing) == 0 || t.silent {
		return false
	}
	all := p.announcing
	p.announcing = nil
	slices.SortFunc(all, func(a, b *entry) int { return cmp.Compare(b.order, a.order) })
	p.holder.warmUp()
	for n, e := range all {
		if !t.goesOn() {
			p.announcing = all[n:]
			break
		}
		e.announcing = false
		if p.entries.get(e.channel) != e || e.order == 0 {
			continue // left in this step
		}
		gap, err := p.holder.rejoin(e.channel, e.set)
		if errors.Is(err, errEnded) {
			continue // the watcher will tell
		}
		if err != nil {
			p.uncount(e)
			e.order, e.set, e.err = 0, nil, err
			p.refused = append(p.refused, e)
			out.touched, refused = true, true
			out.refuseJoin(err)
			continue
		}
		if gap >= reportDelay {
			p.late++
		}
		p.joins++
		e.order = p.joins
		p.found(e)
	}
	return refused
}

// uncount takes an entry that goes out of those that are joined.
func (p *pool) uncount(e *entry) {
	if e.isJoined() {
		p.joined--
	}
}

// found says that the kernel holds what it had lost.
func (p *pool) found(e *entry) {
	if e.err != nil {
		e.err = nil
		p.joined++
	}
}

// concernsAll reports whether a refusal of one join tells that the next one
// would be refused too.
func concernsAll(err error) bool {
	for _, errno := range []error{unix.ENODEV, unix.EMFILE, unix.ENFILE, unix.EPERM, unix.EACCES, unix.EAFNOSUPPORT} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return errors.Is(err, errNoRoomAtAll) || isClosed(err)
}

// schedule sets the time of the next try: soon after the first refusal of a
// channel, each time later while only the same are tried again. Joins that
// succeed put nothing off.
func (p *pool) schedule(news, again bool, now time.Time) {
	switch {
	case len(p.refused) == 0 && p.again > 0: // how they fare is for their turns to say
		p.retry = time.Time{}
	case len(p.refused) == 0:
		p.backoff, p.retry, p.barred = 0, time.Time{}, nil
	case p.retry.IsZero() && !news: // they were in line
		p.backoff = max(p.backoff, firstBackoff)
		p.retry = now.Add(p.backoff)
	case news:
		p.backoff = firstBackoff
		p.retry = now.Add(p.backoff)
	case again:
		p.backoff = min(2*p.backoff, lastBackoff)
		p.retry = now.Add(p.backoff)
	}
}

// leaveUnwished leaves newest first: the kernel searches its lists from the
// newest on.
func (p *pool) leaveUnwished(t *portion, out *outcome) {
	if len(p.unwished) == 0 {
		return
	}
	gone := p.unwished[:0]
	for _, e := range p.unwished {
		e.doubted = false
		if e.wishes == 0 {
			gone = append(gone, e)
		}
	}
	p.unwished = nil
	if len(gone) == p.entries.len() {
		p.entries, p.refused, p.joined = entries{}, nil, 0
		out.touched = true
		p.holder.release()
		return
	}
	slices.SortFunc(gone, func(a, b *entry) int { return cmp.Compare(b.order, a.order) })
	for _, e := range gone {
		if e.order != 0 && !t.goesOn() {
			e.doubted = true // it may be wished for again meanwhile
			p.unwished = append(p.unwished, e)
			continue
		}
		p.entries.delete(e.channel)
		if e.order == 0 {
			continue // nothing would join it any more
		}
		out.touched = true
		p.uncount(e)
		if err := p.holder.leave(e.channel, e.set); err != nil {
			out.refuse(err)
		}
	}
	p.refused = slices.DeleteFunc(p.refused, func(e *entry) bool { return p.entries.get(e.channel) != e })
}
