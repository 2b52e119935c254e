package membership

// What is told of a step is told once its joins and leaves were made: who hears
// that a membership is detached finds that the kernel holds it no longer. Only
// what IPv6 has to leave on an interface that is down is left once that is up.

// toldEvent is an event that is to be published.
type toldEvent struct {
	Event
	pools perFamily[*pool] // of which something was to be left before
}

// tell has an event published at the end of the step. Its time stays.
func (k *keeper) tell(e Event) { k.told = append(k.told, toldEvent{Event: e}) }

// mostToldAhead is how many events the keeper has room for between its steps.
// A step has no more than a few for each attachment that it ends or begins.
const mostToldAhead = 256

// publishTold publishes what there is to be told, in its order. Where not all was
// left that an event tells of, it waits, and what is to be told of that membership
// behind it.
func (k *keeper) publishTold() {
	for _, e := range k.told {
		if _, behind := k.heldOf[e.Membership]; behind || k.isLeaving(e) {
			k.held = append(k.held, e)
			k.heldOf[e.Membership] = struct{}{}
			continue
		}
		k.publish(e.Event)
	}
	if cap(k.told) > mostToldAhead {
		k.told = nil
		return
	}
	clear(k.told) // of the words
	k.told = k.told[:0]
}

// isLeaving reports whether a pool is still to leave something with the next
// portion.
func (k *keeper) isLeaving(e toldEvent) bool {
	if len(k.cut) == 0 {
		return false
	}
	for _, f := range bothFamilies {
		p := e.pools.of(f)
		if _, cut := k.cut[p]; cut && len(p.unwished) > 0 {
			return true
		}
	}
	return false
}

// tellHeld has told, before anything else, what may be by now.
func (k *keeper) tellHeld() {
	if len(k.held) > 0 {
		k.told = append(k.held, k.told...)
		k.held = nil
		clear(k.heldOf)
	}
}
