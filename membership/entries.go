package membership

import (
	"encoding/binary"
	"iter"
	"net/netip"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// entry is one channel in a pool.
type entry struct {
	channel Channel
	set     *sourceSet // where the holder joined it
	err     error      // why it is not joined, or lost
	order   uint64     // of the join; zero where it is not joined
	wishes  int32
	seen    uint32 // the look at the kernel's list of filters that showed it last

	doubted    bool // in the pool's unwished
	inLine     bool // waits for its turn, at the pace
	turn       bool // has it, and is yet to be tried
	announcing bool // in the pool's announcing
}

// isJoined reports whether the kernel holds it: it joined it, and did not lose
// it since.
func (e *entry) isJoined() bool { return e.order != 0 && e.err == nil }

// entries finds those of a pool, of one family, by their channels. The keys are
// no longer than the addresses: there are many.
type entries struct {
	v4 map[uint64]*entry
	v6 map[[32]byte]*entry
}

func newEntries(f ifwatch.Family, expected int) entries {
	if f == ifwatch.IPv4 {
		return entries{v4: make(map[uint64]*entry, expected)}
	}
	return entries{v6: make(map[[32]byte]*entry, expected)}
}

func (s entries) len() int { return len(s.v4) + len(s.v6) }

// get returns nil where there is none.
func (s entries) get(c Channel) *entry {
	if c.Group.Is4() {
		return s.v4[key4(c)]
	}
	return s.v6[key6(c)]
}

func (s entries) add(e *entry) {
	if e.channel.Group.Is4() {
		s.v4[key4(e.channel)] = e
		return
	}
	s.v6[key6(e.channel)] = e
}

func (s entries) delete(c Channel) {
	if c.Group.Is4() {
		delete(s.v4, key4(c))
		return
	}
	delete(s.v6, key6(c))
}

func (s entries) all() iter.Seq[*entry] {
	return func(yield func(*entry) bool) {
		for _, e := range s.v4 {
			if !yield(e) {
				return
			}
		}
		for _, e := range s.v6 {
			if !yield(e) {
				return
			}
		}
	}
}

func key4(c Channel) uint64 {
	source, group := c.Source.As4(), c.Group.As4()
	return uint64(binary.BigEndian.Uint32(group[:]))<<32 | uint64(binary.BigEndian.Uint32(source[:]))
}

func key6(c Channel) (key [32]byte) {
	join := func(to []byte, a netip.Addr) { b := a.As16(); copy(to, b[:]) }
	join(key[:16], c.Group)
	join(key[16:], c.Source)
	return key
}
