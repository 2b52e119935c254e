package config

import (
	"iter"
	"slices"
	"strings"

	"github.com/ssmd-project/ssmd/membership"
)

// Packed is a configuration in less memory, for as long as somebody needs it: what
// a membership has in common with the one before it is there once.
type Packed struct {
	Settings
	Monitors map[string]Monitor
	packed   packed
}

// Pack returns a configuration packed.
func Pack(c Config) Packed { return Packed{c.Settings, c.Monitors, pack(c.Memberships).compact()} }

// Unpack returns one that says the same. Nobody changes the lists in it.
func (p Packed) Unpack() Config { return Config{p.Settings, p.Memberships(), p.Monitors} }

// Memberships returns those of the configuration. Nobody changes the lists in them.
func (p Packed) Memberships() []membership.Membership {
	if len(p.packed) == 0 {
		return nil
	}
	all := make([]membership.Membership, len(p.packed))
	for n, one := range p.packed {
		all[n] = *one.rest
		all[n].Name, all[n].Channels = one.name, one.channels
	}
	return all
}

// Names returns the names of the memberships.
func (p Packed) Names() iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, one := range p.packed {
			if !yield(one.name) {
				return
			}
		}
	}
}

// Len returns how many memberships there are.
func (p Packed) Len() int { return len(p.packed) }

// With returns it with further memberships behind its own.
func (p Packed) With(more []membership.Membership) Packed {
	if len(more) > 0 {
		p.packed = slices.Concat(p.packed, pack(more).compact())
	}
	return p
}

type packed []packedMembership

type packedMembership struct {
	name     string
	channels []membership.Channel
	rest     *membership.Membership // has all but these
}

func pack(all []membership.Membership) packed {
	p := make(packed, len(all))
	for i := range all {
		m := &all[i]
		p[i] = packedMembership{name: m.Name, channels: m.Channels}
		if i > 0 && agree(p[i-1].rest, m) {
			p[i].rest = p[i-1].rest
			continue
		}
		rest := *m
		rest.Name, rest.Channels = "", nil
		p[i].rest = &rest
	}
	return p
}

// compact copies names and channels, some hundred memberships at a time: as they
// were read they lie scattered between what was needed only to read them, and as
// they were packed between those that are no more, which could not be given back
// for their sake.
func (p packed) compact() packed {
	for part := range slices.Chunk(p, piece) {
		part.gather()
	}
	return p
}

// share has memberships that were packed apart share what they agree on.
func (p packed) share() packed {
	for n := 1; n < len(p); n++ {
		if before := p[n-1].rest; before != p[n].rest && agree(before, p[n].rest) {
			p[n].rest = before
		}
	}
	return p
}

func (p packed) gather() {
	var text strings.Builder
	count := 0
	for _, one := range p {
		text.WriteString(one.name)
		count += len(one.channels)
	}
	names, channels := text.String(), make([]membership.Channel, 0, count)
	for n := range p {
		one := &p[n]
		channels = append(channels, one.channels...)
		one.channels = slices.Clip(channels[len(channels)-len(one.channels):])
		one.name, names = names[:len(one.name)], names[len(one.name):]
	}
}

// agree reports whether two say the same but for their names and channels. Sockets
// are none of a configuration.
func agree(a, b *membership.Membership) bool {
	return a.AnyRange == b.AnyRange && a.Namespace == b.Namespace && a.Rules.Equal(b.Rules) && a.Reannounce.Equal(b.Reannounce) &&
		a.Socket == nil && b.Socket == nil && a.Keep == b.Keep
}
