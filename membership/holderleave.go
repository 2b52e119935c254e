package membership

import (
	"iter"
	"slices"
)

func (o *ownSockets) leave(c Channel, set *sourceSet) error {
	if o.lost[set] != nil { // of all of it nothing is left by itself
		if set.sources == 1 {
			o.part(set)
		}
		o.left(set)
		return nil
	}
	err := set.socket.leave(o.index, c)
	o.left(set)
	return err
}

// left notes that a set has a source less.
func (o *ownSockets) left(set *sourceSet) {
	set.sources--
	set.socket.sources--
	set.full = false
	if set.sources == 0 {
		o.emptied(set)
	}
}

// emptied notes that a set has no source left.
func (o *ownSockets) emptied(set *sourceSet) {
	o.remove(set)
	set.socket.groups--
	switch s := set.socket; {
	case s.groups == 0:
		o.discard(s)
	case s.full && !s.stuck:
		s.full = false
		o.roomy = append(o.roomy, s)
	}
}

// free puts ballast in the place of what is lost: others may be members of the
// group, and leaving takes a user, whoever brought it.
func (o *ownSockets) free(set *sourceSet, channels []Channel) error {
	if !o.freed(set, channels) {
		if o.lost == nil {
			o.lost = make(map[*sourceSet][]Channel)
		}
		o.lost[set] = channels
		return errLost
	}
	o.empty(set)
	return nil
}

func (o *ownSockets) freed(set *sourceSet, channels []Channel) bool {
	leave := func() error { return set.socket.leaveGroup(o.index, set.group) } // it may have been lost on the socket too
	return leaveOverBallast(newBallast(o.kernel, o.family, o.index, o.lot), channels, o.ended, leave)
}

// part frees what is lost, or has its socket be stuck with it.
func (o *ownSockets) part(set *sourceSet) {
	if !o.freed(set, o.lost[set]) && !set.socket.stuck {
		set.socket.stuck = true
		if !set.socket.full {
			o.fill(set.socket)
		}
	}
}

// empty notes that a set has gone as a whole.
func (o *ownSockets) empty(set *sourceSet) {
	set.socket.sources -= int(set.sources)
	set.sources = 0
	o.emptied(set)
}

// close closes a socket, or parks it until nobody can lose by that.
func (o *ownSockets) close(s *filledSocket) {
	if s.stuck {
		o.lot.closeOrPark(place{o.index, o.family}, s.holdingSocket)
		return
	}
	s.holdingSocket.close()
}

// remove takes an empty set from those of its group.
func (o *ownSockets) remove(set *sourceSet) {
	delete(o.lost, set)
	o.indexGroups()
	first := o.groups[set.group]
	if first == set {
		if set.next == nil {
			delete(o.groups, set.group)
		} else {
			o.groups[set.group] = set.next
		}
		return
	}
	for ; first.next != set; first = first.next {
	}
	first.next = set.next
}

// release closes the newest sockets first: the kernel searches its list of
// groups from the newest on, so that the other order costs a search through
// all of them for each.
func (o *ownSockets) release() {
	if len(o.lost) > 0 {
		o.partWithLost()
	}
	for _, s := range slices.Backward(o.sockets) {
		o.close(s)
	}
	o.forget()
}

// partWithLost frees what is lost, and leaves all else of the sockets that are stuck
// then.
func (o *ownSockets) partWithLost() {
	for set := range o.allSets() {
		if o.lost[set] != nil {
			o.part(set)
		}
	}
	for set := range o.allSets() {
		if set.socket.stuck && o.lost[set] == nil {
			_ = set.socket.leaveGroup(o.index, set.group)
		}
	}
}

func (o *ownSockets) allSets() iter.Seq[*sourceSet] {
	o.indexGroups()
	return func(yield func(*sourceSet) bool) {
		for _, first := range o.groups {
			for set := first; set != nil; set = set.next {
				if !yield(set) {
					return
				}
			}
		}
	}
}

func (o *ownSockets) retire() { o.release() }

func (o *ownSockets) abandon() {
	for _, s := range slices.Backward(o.sockets) {
		o.lot.closeOrPark(place{o.index, o.family}, s.holdingSocket)
	}
	o.forget()
}

func (o *ownSockets) forget() {
	if o.spare != nil {
		o.spare.close()
		o.spare = nil
	}
	o.sockets, o.roomy, o.sets, o.groups, o.fresh, o.inherited, o.sources, o.lost = nil, nil, nil, nil, nil, nil, nil, nil
}
