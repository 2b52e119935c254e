package membership

import (
	"net/netip"

	"github.com/ssmd-project/ssmd/ifwatch"
)

func (k linux) groups(f ifwatch.Family) (groups ifwatch.Groups, err error) {
	err = k.within(func() (err error) {
		groups, err = ifwatch.ListGroups(f)
		return err
	})
	return groups, err
}

// filters shows itself a light: a channel on the loopback interface, which is the
// first of all. Where that is listed, everything behind it is too.
func (k linux) filters(f ifwatch.Family, visit func(ifwatch.Filter)) (whole bool, err error) {
	lantern, err := newLinux(k.within).open(f) // not with what the owner fills for its own calls
	if err != nil {
		return false, err
	}
	defer lantern.close()
	c := loopbackChannel(f)
	_ = lantern.join(ifwatch.LoopbackIndex, c) // refused: the list is not whole
	err = k.within(func() error {
		return ifwatch.VisitFilters(f, func(x ifwatch.Filter) {
			whole = whole || x == ifwatch.Filter{Index: ifwatch.LoopbackIndex, Group: c.Group, Source: c.Source}
			visit(x)
		})
	})
	return whole, err
}

// loopbackChannel is one of the host's own, for the loopback interface.
func loopbackChannel(f ifwatch.Family) Channel {
	if f == ifwatch.IPv4 {
		return Channel{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.AddrFrom4([4]byte{232, 0, 0, 1})}
	}
	return Channel{netip.IPv6Loopback(), netip.MustParseAddr("ff31::8000:1")} // of interface-local scope
}
