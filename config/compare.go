package config

import (
	"slices"

	"github.com/ssmd-project/ssmd/membership"
)

// Difference is what one configuration has otherwise than another. Its zero
// value means none.
type Difference struct {
	// Added, Changed and Removed are names of memberships, sorted.
	Added, Changed, Removed []string

	// Settings are the paths of the daemon's own settings that differ, as
	// "log.level".
	Settings []string
}

// Compare returns what new has otherwise than old had. The file they came from and
// the order of memberships and channels count for nothing.
func Compare(old, new Packed) Difference {
	var d Difference
	before := make(map[string]*packedMembership, old.Len())
	for i := range old.packed {
		before[old.packed[i].name] = &old.packed[i]
	}
	for i := range new.packed {
		m := &new.packed[i]
		was := before[m.name]
		delete(before, m.name)
		switch {
		case was == nil:
			d.Added = append(d.Added, m.name)
		case !was.equal(m), !old.Monitors[m.name].Equal(new.Monitors[m.name]):
			d.Changed = append(d.Changed, m.name)
		}
	}
	for name := range before {
		d.Removed = append(d.Removed, name)
	}
	for _, names := range [][]string{d.Added, d.Changed, d.Removed} {
		slices.Sort(names)
	}
	for _, s := range settings() {
		if s.get(old.Settings) != s.get(new.Settings) {
			d.Settings = append(d.Settings, s.path())
		}
	}
	if old.Audit != new.Audit {
		d.Settings = append(d.Settings, "audit")
	}
	if !slices.EqualFunc(old.Hooks, new.Hooks, Hook.Equal) {
		d.Settings = append(d.Settings, "hooks")
	}
	return d
}

func (p *packedMembership) equal(o *packedMembership) bool {
	return (p.rest == o.rest || agree(p.rest, o.rest)) && slices.Equal(canonical(p.channels), canonical(o.channels))
}

// canonical returns the channels sorted and without repetition. It does not
// change the slice it is given.
func canonical(channels []membership.Channel) []membership.Channel {
	strictly := true
	for i := 1; i < len(channels) && strictly; i++ {
		strictly = channels[i-1].Compare(channels[i]) < 0
	}
	if strictly {
		return channels
	}
	channels = slices.Clone(channels)
	slices.SortFunc(channels, membership.Channel.Compare)
	return slices.Compact(channels)
}
