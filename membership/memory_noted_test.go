package membership

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// Every change of the memory is told of.
func TestMemoryIsNoted(t *testing.T) {
	s := joined(t, sameMAC("a"))
	notes := 0
	note := func() { notes++ }
	s.keeper.noteMemory = note
	s.alter(1, func(i *ifwatch.Interface) { i.MAC = mac2 })
	s.deliver()
	if notes == 0 {
		t.Error("not told of another MAC address")
	}
	s.restart(s.nothing)
	s.keeper.noteMemory, notes = note, 0
	s.apply()
	if notes == 0 {
		t.Error("not told of what was forgotten")
	}
}

// noting is told of changes of the memory, and remembers what it was then.
type noting struct {
	noted bool
	last  string
}

func (n *noting) note() { n.noted = true }

// unnoted returns a change of the memory since the last call that was not told of.
func (n *noting) unnoted(k *keeper) error {
	memory := k.memory()
	slices.SortFunc(memory.Drained, func(a, b Life) int { return cmp.Compare(a.Interface.ID, b.Interface.ID) })
	now, err := json.MarshalIndent(memory, "", " ")
	if err != nil {
		return err
	}
	was, noted := n.last, n.noted
	n.last, n.noted = string(now), false
	if was != string(now) && !noted {
		return fmt.Errorf("a changed memory was not told of:\n%s\nwas:\n%s", now, was)
	}
	return nil
}

// At a pace progress is nothing to remember: to look for it takes the owner 31 ms
// with 10,000 memberships.
func TestPaceIsNotRemembered(t *testing.T) {
	s := paced(t, 100, 1)
	var notes noting
	s.keeper.noteMemory = notes.note
	s.put(feed("a", "eth1", manyChannels(1, 500)...))
	s.put(feed("b", "eth1", manyChannels(1, 20)...))
	if !notes.noted {
		t.Error("not told of new memberships")
	}
	s.heard()
	notes.noted = false
	for s.status(t, "a").State != StateJoined {
		s.turn()
	}
	if len(s.heard()) < 6 {
		t.Error("no progress was told")
	}
	if notes.noted {
		t.Error("told to remember progress")
	}
}

// What only the death of an interface changes is told of too.
func TestMemoryOfADeathIsNoted(t *testing.T) {
	s := joined(t, feed("a", "eth1", one))
	notes := noting{last: "none", noted: true}
	s.keeper.noteMemory = notes.note
	steps := map[int]func(){
		0: func() { _, _ = s.keeper.drain("eth1", s.now) },
		1: func() { s.rename(1, "wan1"); s.deliver() },
		2: func() { s.alter(1, func(i *ifwatch.Interface) { i.MAC = mac2 }); s.deliver() },
		3: func() { s.remove(1); s.deliver() },
	}
	for n := range len(steps) {
		steps[n]()
		if err := notes.unnoted(s.keeper); err != nil {
			t.Errorf("step %d: %v", n, err)
		}
	}
}
