package membership

import (
	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/reattach"
)

// approach notes where the selector of a rule does not reject an instance, and
// gets ready for joins there: what takes time is done before they are due.
func (k *keeper) approach(r *rule, i *instance) bool {
	if r.rules.Selector.Match(i.now).Result() == reattach.Reject {
		return false
	}
	r.near[i.now.ID], i.near[r], i.wasNear = true, struct{}{}, true
	for _, f := range r.families {
		k.probe(i, f)
		if !i.now.Up && i.now.Protocol(f).Alive && i.pools[poolKey{family: f}] == nil {
			k.openSpare(i, f)
		}
	}
	return true
}

// openSpare opens the first socket of a pool ahead. A failure is met again,
// and told of, when the pool needs it.
func (k *keeper) openSpare(i *instance, f ifwatch.Family) {
	if i.spares[f] != nil || k.spares() >= mostSpares {
		return
	}
	if spare, err := k.kernel.open(f); err == nil {
		i.spares[f] = spare
		k.use(i)
	}
}

func (k *keeper) spares() int {
	n := 0
	for i := range k.inUse() {
		n += len(i.spares)
	}
	return n
}

// takeSpare returns the socket that was opened ahead, nil where none was.
func (i *instance) takeSpare(f ifwatch.Family) holdingSocket {
	spare := i.spares[f]
	delete(i.spares, f)
	return spare
}

func (i *instance) closeSpares() {
	for _, spare := range i.spares {
		spare.close()
	}
	clear(i.spares)
}
