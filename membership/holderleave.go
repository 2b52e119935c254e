package membership

import (
	"slices"
)

func (o *ownSockets) leave(c Channel, set *sourceSet) error {
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
	case s.full:
		s.full = false
		o.roomy = append(o.roomy, s)
	}
}

// free puts ballast in the place of what is lost: others may be members of the
// group, and leaving takes a user, whoever brought it.
func (o *ownSockets) free(set *sourceSet, channels []Channel) error {
	leave := func() { _ = set.socket.leaveGroup(o.index, set.group) } // it may have been lost on the socket too
	if !leaveOverBallast(newBallast(o.kernel, o.family, o.index, o.lot), channels, o.ended, leave) {
		return errLost
	}
	set.socket.sources -= int(set.sources)
	set.sources = 0
	o.emptied(set)
	return nil
}

// remove takes an empty set from those of its group.
func (o *ownSockets) remove(set *sourceSet) {
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
	for _, s := range slices.Backward(o.sockets) {
		s.close()
	}
	o.forget()
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
	o.sockets, o.roomy, o.sets, o.groups, o.fresh, o.inherited, o.sources = nil, nil, nil, nil, nil, nil, nil
}
