package membership

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// Memory is what a manager knows of its memberships beyond their wishes. Handed
// to a later manager, of another process or after a restart of the machine, it
// lets that one go on: otherwise it would know of no lost instance, and every
// policy would take the first that matches. Its JSON is made to be stored.
type Memory struct {
	Memberships map[string]Remembered `json:"memberships"`
	Drained     []Life                `json:"drained,omitempty"` // interfaces, in any namespace
}

// Remembered is what is known of one membership.
type Remembered struct {
	Selector string `json:"selector"`        // digest: with another selector it begins anew
	Wish     string `json:"wish"`            // digest: a changed wish has not ended
	Ended    string `json:"ended,omitempty"` // why it has ended, empty while it has not

	Attached []Life `json:"attached,omitempty"`
	Lost     []Life `json:"lost,omitempty"`     // not replaced yet, the latest last
	Previous *Life  `json:"previous,omitempty"` // lost last
	Approved []Life `json:"approved,omitempty"` // may take a lost one's place
}

// Life is one life of an interface, told in a way that another process can
// recognise: by the namespace and its boot, the index, and what the interface
// was like. Its instance ID means nothing there.
type Life struct {
	Place     string            `json:"place,omitempty"` // empty: it is over
	Interface ifwatch.Interface `json:"interface"`
	// Families are those that a membership was ready to join, where it was
	// attached to it.
	Families []ifwatch.Family `json:"families,omitempty"`
}

// isAt reports whether an interface is most likely the same life. An index
// that was given to another life of equal kind and addresses while nobody
// watched cannot be told from it.
func (l Life) isAt(place string, i ifwatch.Interface) bool {
	was := l.Interface
	return l.Place != "" && l.Place == place &&
		was.Index == i.Index && was.Kind == i.Kind && was.LinkType == i.LinkType &&
		was.MAC == i.MAC && was.PermMAC == i.PermMAC && was.Device == i.Device &&
		(was.MAC != "" || was.Name == i.Name)
}

// same reports whether two tell of one life.
func (l Life) same(o Life) bool { return o.isAt(l.Place, l.Interface) }

// memory returns what a later manager should know.
func (k *keeper) memory() Memory {
	place := k.placeOf()
	memory := Memory{Memberships: k.stillRemembered(place)}
	for _, l := range k.drainedBefore {
		if l.Place != place { // here it would have been seen
			memory.Drained = append(memory.Drained, l)
		}
	}
	for _, i := range k.instances {
		if i.drained {
			memory.Drained = append(memory.Drained, Life{Place: place, Interface: i.now})
		}
	}
	for name, m := range k.members {
		r := Remembered{Selector: m.wish.selectorDigest, Wish: m.wish.digest(), Ended: m.endedForGood()}
		for _, a := range m.attachments {
			r.Attached = append(r.Attached, Life{Place: place, Interface: *a.seen, Families: a.families()})
		}
		for _, l := range m.lost {
			r.Lost = append(r.Lost, k.lifeOf(*l, place))
		}
		if m.previous != nil {
			previous := k.lifeOf(*m.previous, place)
			r.Previous = &previous
		}
		for _, id := range m.approved {
			if i := k.instances[id]; i != nil {
				r.Approved = append(r.Approved, Life{Place: place, Interface: i.now})
			}
		}
		memory.Memberships[name] = r
	}
	return memory
}

// endedForGood says why a member has ended, empty where only its socket did: the
// next one may be of use.
func (m *member) endedForGood() string {
	if m.endedErr != nil {
		return ""
	}
	return m.ended
}

// stillRemembered is what is known of memberships that are not added yet, with
// the lives as they are called here.
func (k *keeper) stillRemembered(place string) map[string]Remembered {
	memberships := make(map[string]Remembered, len(k.remembered)+len(k.members))
	renumber := func(lives []Life) []Life {
		lives = slices.Clone(lives)
		for n, l := range lives {
			switch i := k.inLife(l, place); {
			case i != nil:
				lives[n].Interface.ID = i.now.ID
			case l.Place == place:
				lives[n].Place = ""
			}
		}
		return lives
	}
	for name, r := range k.remembered {
		r.Attached, r.Lost, r.Approved = renumber(r.Attached), renumber(r.Lost), renumber(r.Approved)
		if r.Previous != nil {
			r.Previous = &renumber([]Life{*r.Previous})[0]
		}
		memberships[name] = r
	}
	return memberships
}

func (k *keeper) placeOf() string {
	if k.place == "" && k.kernel != nil {
		k.place = k.kernel.place()
	}
	return k.place
}

func (k *keeper) lifeOf(i ifwatch.Interface, place string) Life {
	if k.instances[i.ID] == nil {
		place = ""
	}
	return Life{Place: place, Interface: i}
}

// sum of a text is short, and the same in every process. The zero one is of none.
type sum [12]byte

func sumOf(text string) sum {
	whole := sha256.Sum256([]byte(text))
	return sum(whole[:len(sum{})])
}

func (s sum) String() string { return hex.EncodeToString(s[:]) }

// digest is the same in every process of this version. It is made when it is
// asked for first, by the owner of the state.
func (w *wish) digest() string {
	if w.sum == (sum{}) {
		w.sum = sumOf(fmt.Sprint(w.ruleKey, "\n", w.channels))
	}
	return w.sum.String()
}

// Memory returns what a later manager should be given, also after Run has
// returned: then as it was before the groups were left.
func (m *Manager) Memory(ctx context.Context) (Memory, error) {
	whole, err := m.memory(ctx)
	if err != nil {
		return Memory{}, err
	}
	for _, e := range m.all()[1:] { // of others last: the own one may have what is not theirs yet
		memory, err := e.memory(ctx)
		if err != nil {
			return Memory{}, err
		}
		whole = whole.with(memory)
	}
	return whole, nil
}

// with returns the memory together with that of another engine, which counts
// where both speak.
func (m Memory) with(other Memory) Memory {
	whole := Memory{Memberships: make(map[string]Remembered, len(m.Memberships)+len(other.Memberships)), Drained: slices.Clip(m.Drained)}
	for _, l := range other.Drained {
		if !slices.ContainsFunc(whole.Drained, l.same) { // several engines know of what was drained before
			whole.Drained = append(whole.Drained, l)
		}
	}
	maps.Copy(whole.Memberships, m.Memberships)
	maps.Copy(whole.Memberships, other.Memberships)
	return whole
}

func (e *engine) memory(ctx context.Context) (Memory, error) {
	var memory Memory
	err := e.do(ctx, func() { memory = e.keeper.memory() })
	if err == ErrStopped {
		return e.lastMemory, nil
	}
	return memory, err
}

// MemoryChanged returns a channel that receives when there may be another
// Memory than before. Joins alone, however many, are not remembered.
func (m *Manager) MemoryChanged() <-chan struct{} { return m.memoryChanged }

// remember takes over what an earlier manager knew.
func (m *Manager) remember(memory Memory) {
	m.lastMemory = memory
	m.keeper.remembered = maps.Clone(memory.Memberships)
	m.keeper.drainedBefore = memory.Drained
}

func (m *Manager) noteMemory() {
	select {
	case m.memoryChanged <- struct{}{}:
	default:
	}
}
