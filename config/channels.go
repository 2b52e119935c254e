package config

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/membership"
)

// allChannels reads channels, and groups with sources, and returns them all,
// sorted and without repetition.
func (r *reader) allChannels(n *yaml.Node, f fields, at *place, anyRange membership.AnyRange) []membership.Channel {
	channels, hasChannels := f["channels"]
	groups, hasGroups := f["groups"]
	sources, hasSources := f["sources"]
	switch {
	case hasGroups && !hasSources:
		r.fail(groups.key, at.at("groups"), "given without sources, want both: every source goes with every group")
	case hasSources && !hasGroups:
		r.fail(sources.key, at.at("sources"), "given without groups, want both: every source goes with every group")
	case !hasChannels && !hasGroups:
		r.fail(n, at.at("channels"), "missing, want channels, for example [10.1.0.1@232.1.1.1], or groups and sources")
	}
	var all []membership.Channel
	if hasChannels {
		all = r.pairs(channels.value, at.at("channels"), anyRange)
	}
	if !hasGroups && !hasSources {
		return canonical(all)
	}
	var s []netip.Addr
	if hasSources {
		s = r.sources(sources.value, at.at("sources"))
	}
	if hasGroups {
		g := r.groups(groups.value, at.at("groups"), anyRange, s)
		all = r.product(all, g, s, groups.value, at.at("groups"))
	}
	return canonical(all)
}

// pairs reads the elements of channels.
func (r *reader) pairs(n *yaml.Node, at *place, anyRange membership.AnyRange) []membership.Channel {
	const want = "a channel, for example 10.1.0.1@232.1.1.1"
	var all []membership.Channel
	count := r.each(n, at, func(n *yaml.Node, at *place) {
		text, ok := r.source(n, at, want)
		if !ok || !r.countChannels(n, at, 1) {
			return
		}
		c, err := membership.ParseChannel(text)
		if err == nil {
			err = c.Validate(anyRange)
		}
		if err != nil {
			r.fail(n, at, "%v", err)
			return
		}
		all = append(all, c)
	})
	if count == 0 && !r.stopped {
		r.fail(deref(n), at, "an empty list, want %s", want)
	}
	return all
}

// countChannels bounds the channels of the file. Beyond the bound it says so
// once and admits none.
func (r *reader) countChannels(n *yaml.Node, at *place, count uint64) bool {
	before := r.channels
	r.channels = min(before+count, maxChannels+1) // count is far below 2^63
	if r.channels > maxChannels && before <= maxChannels {
		r.fail(n, at, "more than %d channels in all memberships together, want fewer", maxChannels)
	}
	return r.channels <= maxChannels
}

// product appends every source with every group.
func (r *reader) product(all []membership.Channel, groups []addressRange, sources []netip.Addr, n *yaml.Node, at *place) []membership.Channel {
	var count uint64
	for _, g := range groups {
		count = min(count+g.count, maxChannels+1)
	}
	count *= uint64(len(sources)) // both far below 2^32
	if !r.countChannels(deref(n), at, count) {
		return all
	}
	all = slices.Grow(all, int(count))
	for _, g := range groups {
		for a, i := g.first, uint64(0); i < g.count; a, i = a.Next(), i+1 {
			for _, s := range sources {
				all = append(all, membership.Channel{Source: s, Group: a})
			}
		}
	}
	return all
}

// sources reads the elements of sources, which are of one family.
func (r *reader) sources(n *yaml.Node, at *place) []netip.Addr {
	const want = "a source's address, for example 10.1.0.1"
	var all []netip.Addr
	count := r.each(n, at, func(n *yaml.Node, at *place) {
		text, ok := r.source(n, at, want)
		if !ok {
			return
		}
		a, err := netip.ParseAddr(text)
		switch {
		case err != nil:
			r.fail(n, at, "%s is not an IP address, want %s", quote(text), want)
		case membership.ValidateSource(a) != nil:
			r.fail(n, at, "%s", membership.ValidateSource(a))
		case len(all) > 0 && ifwatch.FamilyOf(a) != ifwatch.FamilyOf(all[0]):
			r.fail(n, at, "source %s is not of the family of source %s, and every source goes with every group, want one family, or pairs under channels", a, all[0])
		default:
			all = append(all, a)
		}
	})
	if count == 0 && !r.stopped {
		r.fail(deref(n), at, "an empty list, want %s", want)
	}
	return all
}

// addressRange is a run of addresses, of at most maxChannels+1: a longer one
// is an error in any case.
type addressRange struct {
	first, last netip.Addr
	count       uint64
}

// groups reads the elements of groups, of the family of the sources.
func (r *reader) groups(n *yaml.Node, at *place, anyRange membership.AnyRange, sources []netip.Addr) []addressRange {
	const want = "a group, a prefix or a range, for example 232.1.1.1, 232.1.2.0/28 or 232.1.3.1-232.1.3.9"
	var all []addressRange
	count := r.each(n, at, func(n *yaml.Node, at *place) {
		text, ok := r.source(n, at, want)
		if !ok {
			return
		}
		g, problem := parseGroups(text, want)
		if problem == "" {
			problem = g.check(anyRange)
		}
		if problem == "" && len(sources) > 0 && ifwatch.FamilyOf(g.first) != ifwatch.FamilyOf(sources[0]) {
			problem = "group " + g.first.String() + " and source " + sources[0].String() +
				" are of different families, want one family, or pairs under channels"
		}
		if problem != "" {
			r.fail(n, at, "%s", problem)
			return
		}
		all = append(all, g)
	})
	if count == 0 && !r.stopped {
		r.fail(deref(n), at, "an empty list, want %s", want)
	}
	return all
}

// parseGroups reads an address, a prefix or a range, or says what is wrong.
func parseGroups(text, want string) (g addressRange, problem string) {
	first, last, isRange := strings.Cut(text, "-")
	var err, err2 error
	switch {
	case isRange:
		g.first, err = netip.ParseAddr(first)
		g.last, err2 = netip.ParseAddr(last)
	case strings.Contains(text, "/"):
		var p netip.Prefix
		p, err = netip.ParsePrefix(text)
		if err == nil && p != p.Masked() {
			return g, text + " has bits set behind its length, want " + p.Masked().String()
		}
		g.first, g.last = p.Addr(), lastOf(p)
	default:
		g.first, err = netip.ParseAddr(text)
		g.last = g.first
	}
	switch {
	case err != nil || err2 != nil:
		return g, quote(text) + " is not an IP address, a prefix or a range, want " + want
	case g.first.Is4() != g.last.Is4():
		return g, "range " + text + " has ends of different families, want one"
	case g.last.Less(g.first):
		return g, "range " + text + " runs backwards, want " + last + "-" + first
	}
	g.count = distanceTo(g.first, g.last)
	return g, ""
}

// lastOf returns the highest address of a prefix, or the zero Addr for the
// zero Prefix.
func lastOf(p netip.Prefix) netip.Addr {
	if !p.IsValid() {
		return netip.Addr{}
	}
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	last, _ := netip.AddrFromSlice(b)
	return last
}

// distanceTo counts the addresses from first to last, up to maxChannels+1.
func distanceTo(first, last netip.Addr) uint64 {
	a, b := first.As16(), last.As16()
	low, borrow := bits.Sub64(binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(a[8:]), 0)
	high, _ := bits.Sub64(binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(a[:8]), borrow)
	if high != 0 || low > maxChannels {
		return maxChannels + 1
	}
	return low + 1
}

// check says what is wrong with the groups. Their ends speak for them: the
// ranges that count are longer than a range may be.
func (g addressRange) check(anyRange membership.AnyRange) string {
	for _, a := range []netip.Addr{g.first, g.last} {
		if err := membership.ValidateGroup(a, anyRange); err != nil {
			return err.Error()
		}
	}
	return ""
}
