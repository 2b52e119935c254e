package doctor

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/ssmd-project/ssmd/ifwatch"
)

const aboutReversePath = "rp_filter"

var (
	strictPath = define(aboutReversePath, Fault, "datagrams from %s are dropped: rp_filter is strict on %s, and the route back leads over %s",
		"A strict reverse path filter only lets in what comes from where the host would send to (RFC 3704, section 2.2). The kernel counts what it drops in IPReversePathFilter.")
	noPath = define(aboutReversePath, Fault, "datagrams from %s are dropped: rp_filter is on at %s, and there is no route back",
		"A reverse path filter, also a loose one, only lets in what comes from an address that the host has a route to (RFC 3704, section 2.4). The kernel counts what it drops in IPReversePathFilter.")
	addressless = define(aboutReversePath, Fault, "datagrams from %s are dropped: rp_filter is on at %s, which has no address, and the route back leads over %s",
		"On an interface without an IPv4 address also a loose reverse path filter only lets in what comes from where the host would send to.")
	localSource = define(aboutReversePath, Warning, "%s is an address of this host: what comes from it over %s is dropped",
		"The kernel takes it for a forgery. What this host itself sends is not concerned.")
	unreadPath = define(aboutReversePath, Unknown, "the route to %s could not be read: %v",
		"Whether the reverse path filter drops datagrams depends on it.")
)

const (
	rpFilter    = "net/ipv4/conf/%s/rp_filter"
	acceptLocal = "net/ipv4/conf/%s/accept_local"

	strict = 1
	loose  = 2
)

// verdict is what the reverse path filter does with a source.
type verdict struct {
	problem Problem
	sources []netip.Addr
	values  []any // of the problem, behind the sources
	mend    []string
}

// mostRoutes is how many commands are printed; there may be thousands of
// sources.
const mostRoutes = 16

// checkReversePath decides as __fib_validate_source does: the greater of an
// interface's setting and that of all counts. IPv6 has no such filter.
func checkReversePath(s Subject, f *Facts) []Finding {
	sources := s.sources(ifwatch.IPv4)
	if len(sources) == 0 {
		return nil
	}
	mode := f.greater(rpFilter)
	var bad []*verdict
	for _, source := range sources {
		v, is := f.reversePath(source, mode)
		if !is {
			continue
		}
		at := slices.IndexFunc(bad, func(b *verdict) bool { return b.problem == v.problem })
		if at < 0 {
			bad = append(bad, &v)
			continue
		}
		bad[at].sources = append(bad[at].sources, source)
		if len(bad[at].mend) < mostRoutes && !slices.Contains(bad[at].mend, v.mend[0]) {
			bad[at].mend = append(bad[at].mend, v.mend...)
		}
	}
	switch {
	case len(bad) > 0:
	case mode == 0:
		return good(aboutReversePath, "off on %s", f.Link.Name)
	default:
		return good(aboutReversePath, "%s on %s, and lets in %s", map[int]string{strict: "strict", loose: "loose"}[mode], f.Link.Name, some(sources))
	}
	findings := make([]Finding, len(bad))
	for n, v := range bad {
		findings[n] = v.problem.with(append([]any{some(v.sources)}, v.values...)...).mend(v.mend...)
	}
	return findings
}

func (f *Facts) reversePath(source netip.Addr, mode int) (verdict, bool) {
	r, name, from := f.Routes[source], f.Link.Name, []netip.Addr{source}
	route := []string{fmt.Sprintf("ip route replace %s/32 dev %s", source, quote(name))}
	over := strings.Join(r.Interfaces, ", ")
	switch {
	case r.Local && f.greater(acceptLocal) == 0:
		return verdict{localSource, from, []any{name}, []string{set(acceptLocal, name, 1)}}, true
	case mode == 0 || r.Local:
		return verdict{}, false
	case r.Err != nil:
		return verdict{unreadPath, from, []any{r.Err}, []string{"ip route get " + source.String()}}, true
	case len(r.Interfaces) == 0:
		return verdict{noPath, from, []any{name}, route}, true
	case slices.Contains(r.Interfaces, name):
		return verdict{}, false
	case !f.Link.hasIPv4():
		return verdict{addressless, from, []any{name, over}, route}, true
	case mode == strict:
		return verdict{strictPath, from, []any{name, over}, []string{set(rpFilter, name, loose)}}, true
	}
	return verdict{}, false
}

func (l *Link) hasIPv4() bool {
	return slices.ContainsFunc(l.Addresses, func(a Address) bool { return a.Prefix.Addr().Is4() })
}
