package membership

import "github.com/ssmd-project/ssmd/ifwatch"

// bothFamilies are the families that channels may have, in their order.
var bothFamilies = []ifwatch.Family{ifwatch.IPv4, ifwatch.IPv6}

// perFamily has a value for each family.
type perFamily[T any] struct{ v4, v6 T }

func (p *perFamily[T]) at(f ifwatch.Family) *T {
	if f == ifwatch.IPv4 {
		return &p.v4
	}
	return &p.v6
}

func (p *perFamily[T]) of(f ifwatch.Family) T     { return *p.at(f) }
func (p *perFamily[T]) set(f ifwatch.Family, v T) { *p.at(f) = v }

// families are those for which the attachment's channels are wished for.
// Nobody changes what it returns.
func (a *attachment) families() []ifwatch.Family {
	switch {
	case a.pools == perFamily[*pool]{}:
		return nil
	case a.pools.v6 == nil:
		return bothFamilies[:1:1]
	case a.pools.v4 == nil:
		return bothFamilies[1:]
	}
	return bothFamilies
}
