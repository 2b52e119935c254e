package membership

import (
	"maps"
	"net/netip"
	"sync"
	"time"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// sight is what the kernel listed of a family, and what the pools had joined
// before it was asked: what came later is not to be missed.
type sight struct {
	family  ifwatch.Family
	joins   map[*pool]uint64
	filters []ifwatch.Filter
	whole   bool // the filters are all
	groups  ifwatch.Groups
	err     error
}

// missing is what the pools hold and the kernel does not.
type missing struct {
	entries map[*pool][]*entry
	deaf    map[*entry]bool          // of these, those that the kernel lists and does not deliver
	errs    map[ifwatch.Family]error // why its lists were not read: nothing of it is missing
}

func newMissing() missing {
	return missing{make(map[*pool][]*entry), make(map[*entry]bool), make(map[ifwatch.Family]error)}
}

func (m missing) add(p *pool, e *entry, deaf bool) {
	m.entries[p] = append(m.entries[p], e)
	if deaf {
		m.deaf[e] = true
	}
}

func (m missing) isEmpty() bool { return len(m.entries) == 0 }

// and returns what is missing in both, as the second has it, and what went wrong in
// either.
func (m missing) and(o missing) missing {
	both := newMissing()
	both.deaf = o.deaf
	maps.Copy(both.errs, m.errs)
	maps.Copy(both.errs, o.errs)
	for p, entries := range m.entries {
		again := make(map[*entry]bool, len(o.entries[p]))
		for _, e := range o.entries[p] {
			again[e] = true
		}
		for _, e := range entries {
			if again[e] {
				both.entries[p] = append(both.entries[p], e)
			}
		}
	}
	return both
}

// look reads the kernel's lists, aside from the owner's work, and then has the
// owner go on with what the pools hold and the kernel does not.
func (k *keeper) look(now time.Time, then func(missing, time.Time)) {
	var sights []sight
	for _, f := range bothFamilies {
		joins := make(map[*pool]uint64)
		expected := 0
		for _, p := range k.poolsOf(f) {
			if p.entries.len() > 0 {
				joins[p] = p.joins
				expected += p.entries.len()
			}
		}
		if expected > 0 {
			sights = append(sights, sight{family: f, joins: joins, filters: make([]ifwatch.Filter, 0, expected)})
		}
	}
	kernel := k.kernel
	read := func() {
		for n := range sights {
			sights[n].read(kernel)
		}
	}
	k.aside(now, read, func(now time.Time) {
		found := newMissing()
		for _, s := range sights {
			switch {
			case !k.stillHolds(s): // all of it ended meanwhile, perhaps with the namespace
				continue
			case s.err != nil:
				found.errs[s.family] = s.err
				continue
			}
			k.noteQueriers(s.family, s.groups.OldQueriers)
			k.compare(s, found)
		}
		then(found, now)
	})
}

// atOnce is an aside that is none.
func atOnce(now time.Time, read func(), then func(time.Time)) {
	read()
	then(now)
}

// read asks for the list of groups last: an interface that is up in it, and whose
// life has not ended afterwards, was there for the other list too.
func (s *sight) read(k kernel) {
	s.whole, s.err = k.filters(s.family, func(x ifwatch.Filter) { s.filters = append(s.filters, x) })
	if s.err == nil {
		s.groups, s.err = k.groups(s.family)
	}
}

// stillHolds reports whether any of the pools is there yet.
func (k *keeper) stillHolds(s sight) bool {
	for _, p := range k.poolsOf(s.family) {
		if _, was := s.joins[p]; was {
			return true
		}
	}
	return false
}

// holds reports whether a pool held an entry when the lists were asked for, and
// has touched it since no more.
func (s *sight) holds(p *pool, e *entry) bool { return e.order != 0 && e.order <= s.joins[p] }

// compare adds what the pools hold of a family and the kernel does not.
//
// The list of filters tells it of each channel, where it is whole. Where it is
// not, a group is missing that has fewer users than sockets of ours hold it:
// the users of other processes only add. Of an interface that is down no filters
// are listed.
func (k *keeper) compare(s sight, found missing) {
	isMissing := k.inFilters(s)
	if !s.whole {
		isMissing = k.inGroups(s)
	}
	isDeaf := k.deafened(s)
	for i, p := range k.poolsOf(s.family) {
		if !s.groups.Up[i.now.Index] {
			continue
		}
		allHeard, foundAgain := true, false
		curesDeaf := p.mayBeDeaf && canReport(s.family, i.now) && !i.announces(p) // which would cure it
		for e := range p.entries.all() {
			switch {
			case !s.holds(p, e):
			case isMissing(i.now.Index, e):
				allHeard = false
				deaf := p.mayBeDeaf && isDeaf(i.now.Index, e)
				if deaf && !curesDeaf {
					continue
				}
				found.add(p, e, deaf)
			case e.err != nil:
				p.found(e)
				foundAgain = true
			}
		}
		p.mayBeDeaf = p.mayBeDeaf && !allHeard
		if foundAgain {
			k.touchUsers(i, p)
		}
	}
}

// deafened looks for groups of IPv6 that have all their users, and no source of
// anybody's: so the kernel leaves them where another group changes while the
// interface is down (K31).
func (k *keeper) deafened(s sight) (isDeaf func(index int, e *entry) bool) {
	if s.family != ifwatch.IPv6 || !s.whole {
		return func(int, *entry) bool { return false }
	}
	isRobbed := sync.OnceValue(func() func(int, *entry) bool { return k.inGroups(s) })
	heard := sync.OnceValue(func() map[ifwatch.GroupKey]bool {
		groups := make(map[ifwatch.GroupKey]bool)
		for _, x := range s.filters {
			groups[ifwatch.GroupKey{Index: x.Index, Group: x.Group}] = true
		}
		return groups
	})
	return func(index int, e *entry) bool {
		return !heard()[ifwatch.GroupKey{Index: index, Group: e.channel.Group}] && !isRobbed()(index, e)
	}
}

// inFilters looks for channels.
func (k *keeper) inFilters(s sight) (isMissing func(index int, e *entry) bool) {
	k.looks++
	pools := make(map[int][]*pool)
	for i, p := range k.poolsOf(s.family) {
		pools[i.now.Index] = append(pools[i.now.Index], p)
	}
	for _, x := range s.filters {
		for _, p := range pools[x.Index] {
			if e := p.entries.get(Channel{x.Source, x.Group}); e != nil {
				e.seen = k.looks
			}
		}
	}
	return func(_ int, e *entry) bool { return e.seen != k.looks }
}

// inGroups counts users.
func (k *keeper) inGroups(s sight) (isMissing func(index int, e *entry) bool) {
	held := make(map[ifwatch.GroupKey]int)
	for i, p := range k.poolsOf(s.family) {
		for at := range p.joinedAt(func(e *entry) bool { return s.holds(p, e) }) {
			held[ifwatch.GroupKey{Index: i.now.Index, Group: at.group}]++
		}
	}
	return func(index int, e *entry) bool {
		key := ifwatch.GroupKey{Index: index, Group: e.channel.Group}
		return s.groups.Users[key] < held[key]
	}
}

// membershipAt is what a socket has of a group.
type membershipAt struct {
	group netip.Addr
	set   *sourceSet
}

// joinedAt returns what the pool joined, of some entries, by what its sockets
// have.
func (p *pool) joinedAt(of func(*entry) bool) map[membershipAt][]*entry {
	joined := make(map[membershipAt][]*entry)
	for e := range p.entries.all() {
		if e.order != 0 && of(e) {
			at := membershipAt{e.channel.Group, e.set}
			joined[at] = append(joined[at], e)
		}
	}
	return joined
}

// noteQueriers notes the interfaces on which reports name no sources.
func (k *keeper) noteQueriers(f ifwatch.Family, old map[int]string) {
	for _, i := range k.instances {
		if f != ifwatch.IPv4 || i.querier == old[i.now.Index] {
			continue
		}
		i.querier = old[i.now.Index]
		for a := range i.attachments {
			if a.pools.of(f) != nil {
				k.touch(a.member)
			}
		}
	}
}
