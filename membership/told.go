package membership

// What is told of a step is told once its joins and leaves were made: who hears
// that a membership is detached finds that the kernel holds it no longer. Only
// what IPv6 has to leave on an interface that is down is left once that is up.

// tell has an event published at the end of the step. Its time stays.
func (k *keeper) tell(e Event) { k.told = append(k.told, e) }

// mostToldAhead is how many events the keeper has room for between its steps.
// A step has no more than a few for each attachment that it ends or begins.
const mostToldAhead = 256

// publishTold publishes what there is to be told, in its order.
func (k *keeper) publishTold() {
	for _, e := range k.told {
		k.publish(e)
	}
	if cap(k.told) > mostToldAhead {
		k.told = nil
		return
	}
	clear(k.told) // of the words
	k.told = k.told[:0]
}
