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
	Config // but for its memberships
	packed packed
}

// Pack returns a configuration packed.
func Pack(c Config) Packed {
	p := Packed{c, pack(c.Memberships)}
	p.Config.Memberships = nil
	return p
}

// Unpack returns it as it was. Nobody changes the lists in it.
func (p Packed) Unpack() Config {
	c := p.Config
	c.Memberships = p.Memberships()
	return c
}

// Memberships returns those of the configuration. Nobody changes the lists in them.
func (p Packed) Memberships() []membership.Membership {
	if len(p.packed) == 0 {
		return nil
	}
	all := make([]membership.Membership, len(p.packed))
	for n, one := range p.packed {
		all[n] = *one.others
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
		p.packed = slices.Concat(p.packed, pack(more))
	}
	return p
}

type packed []packedMembership

type packedMembership struct {
	name     string
	channels []membership.Channel
	others   *membership.Membership // has all but these
}

// pack copies names and channels, some hundred memberships at a time: those that
// it is given lie scattered between what was needed only to read them, which could
// not be given back for their sake.
func pack(all []membership.Membership) packed {
	p := make(packed, 0, len(all))
	for part := range slices.Chunk(all, piece) {
		p = p.add(part)
	}
	return p
}

func (p packed) add(part []membership.Membership) packed {
	var text strings.Builder
	count := 0
	for i := range part {
		text.WriteString(part[i].Name)
		count += len(part[i].Channels)
	}
	names, channels := text.String(), make([]membership.Channel, 0, count)
	for i := range part {
		m := &part[i]
		channels = append(channels, m.Channels...)
		one := packedMembership{name: names[:len(m.Name)], channels: slices.Clip(channels[len(channels)-len(m.Channels):])}
		names = names[len(m.Name):]
		if last := len(p) - 1; last >= 0 && agree(p[last].others, m) {
			one.others = p[last].others
		} else {
			others := *m
			others.Name, others.Channels = "", nil
			one.others = &others
		}
		p = append(p, one)
	}
	return p
}

// agree reports whether two say the same but for their names and channels.
func agree(a, b *membership.Membership) bool {
	return a.AnyRange == b.AnyRange && a.Namespace == b.Namespace && a.Rules.Equal(b.Rules) && a.Reannounce.Equal(b.Reannounce)
}
