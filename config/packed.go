package config

import (
	"slices"

	"github.com/ssmd-project/ssmd/membership"
)

// Packed is a configuration in less memory, for as long as somebody needs it: what
// a membership has in common with the one before it is there once.
type Packed struct {
	Config // but for its memberships
	packed packed
}

// Pack returns a configuration packed. Nobody changes its channels afterwards.
func Pack(c Config) Packed {
	p := Packed{c, pack(c.Memberships)}
	p.Config.Memberships = nil
	return p
}

// Memberships returns those of the configuration.
func (p Packed) Memberships() []membership.Membership {
	return p.packed.appendTo(make([]membership.Membership, 0, p.Len()))
}

// Len returns how many memberships there are.
func (p Packed) Len() int { return len(p.packed) }

type packed []packedMembership

type packedMembership struct {
	name     string
	channels []membership.Channel
	others   *membership.Membership // has all but these
}

func pack(all []membership.Membership) packed {
	p := make(packed, len(all))
	for i := range all {
		m := &all[i]
		p[i] = packedMembership{name: m.Name, channels: m.Channels}
		if i > 0 && agree(p[i-1].others, m) {
			p[i].others = p[i-1].others
			continue
		}
		others := *m
		others.Name, others.Channels = "", nil
		p[i].others = &others
	}
	return p
}

func (p packed) appendTo(all []membership.Membership) []membership.Membership {
	all = slices.Grow(all, len(p))
	for _, one := range p {
		m := *one.others
		m.Name, m.Channels = one.name, one.channels
		all = append(all, m)
	}
	return all
}

// agree reports whether two say the same but for their names and channels.
func agree(a, b *membership.Membership) bool {
	return a.AnyRange == b.AnyRange && a.Namespace == b.Namespace && a.Rules.Equal(b.Rules) && a.Reannounce.Equal(b.Reannounce)
}
