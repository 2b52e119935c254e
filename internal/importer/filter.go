package importer

import (
	"net/netip"
	"strconv"
	"strings"
)

// connection is what a c= line says: a run of groups, of which all but the first
// may be further layers (RFC 8866, section 5.7).
type connection struct {
	at          line
	group, last netip.Addr
	count       int
}

// The bounds of a description. Those in the field have a few of each.
const (
	maxLayers = 4096 // groups of a c= line
	maxLines  = 16   // c= lines, and filters, of the session or a medium
)

// connection reads "IN IP4 232.1.1.1/127/3" or "IN IP6 ff3e::8000:1/3".
func (p *parser) connection(l line, value string) (connection, bool) {
	words := strings.Fields(value)
	if len(words) != 3 || words[0] != "IN" {
		p.fail(l, "want IN, IP4 or IP6, and an address")
		return connection{}, false
	}
	parts := strings.Split(words[2], "/")
	group, ok := p.addressOf(l, words[1], parts[0])
	if !ok {
		return connection{}, false
	}
	c := connection{at: l, group: group, count: 1}
	most := 2 // an address and a number of layers
	if group.Is4() {
		most = 3 // and a TTL between them
	}
	if len(parts) > most {
		p.fail(l, "too many numbers behind the address")
		return connection{}, false
	}
	for i, part := range parts[1:] {
		number, err := strconv.ParseUint(part, 10, 16)
		switch isTTL := group.Is4() && i == 0; {
		case err != nil, isTTL && number > 255, !isTTL && (number < 1 || number > maxLayers):
			p.fail(l, "%q behind the address, want a TTL (IPv4) and how many groups, at most %d", shorten(part), maxLayers)
			return connection{}, false
		case !isTTL:
			c.count = int(number)
		}
	}
	c.last = group
	for range c.count - 1 {
		c.last = c.last.Next()
	}
	return c, true
}

// addressOf reads an address of a type of SDP.
func (p *parser) addressOf(l line, kind, text string) (netip.Addr, bool) {
	if kind != "IP4" && kind != "IP6" && kind != "*" {
		p.fail(l, "address type %q, want IP4 or IP6", shorten(kind))
		return netip.Addr{}, false
	}
	address, err := netip.ParseAddr(text)
	switch {
	case err != nil:
		p.fail(l, "%q is no IP address; a host name is not looked up, want its address", shorten(text))
	case kind == "IP4" && !address.Is4(), kind == "IP6" && !address.Is6():
		p.fail(l, "%s is no address of the type %s", address, kind)
	default:
		return address, true
	}
	return netip.Addr{}, false
}

// filter is what an a=source-filter says, RFC 4570, section 3.
type filter struct {
	at       line
	excludes bool
	kind     string     // IP4, IP6, or * for both
	group    netip.Addr // invalid: every group
	sources  []netip.Addr
	used     bool
}

// filter reads "incl IN IP4 232.1.1.1 10.1.0.1 10.1.0.2".
func (p *parser) filter(l line, words []string) (*filter, bool) {
	if len(words) < 5 || words[1] != "IN" {
		p.fail(l, "want a=source-filter: incl IN IP4 GROUP SOURCE...")
		return nil, false
	}
	f := &filter{at: l, kind: words[2]}
	switch words[0] {
	case "incl":
	case "excl":
		f.excludes = true
	default:
		p.fail(l, "filter mode %q, want incl", shorten(words[0]))
		return nil, false
	}
	if words[3] == "*" {
		if f.kind != "IP4" && f.kind != "IP6" && f.kind != "*" {
			p.fail(l, "address type %q, want IP4, IP6 or *", shorten(f.kind))
			return nil, false
		}
	} else {
		group, ok := p.addressOf(l, f.kind, words[3])
		if !ok {
			return nil, false
		}
		f.group = group
	}
	for _, word := range words[4:] {
		source, ok := p.addressOf(l, f.kind, word)
		if !ok {
			return nil, false
		}
		f.sources = append(f.sources, source)
	}
	return f, true
}

// covers returns which groups of a connection the filter is about. One about the
// first of a run is about all of it: the line names no other.
func (f *filter) covers(c connection) (first netip.Addr, count int) {
	switch {
	case len(f.sourcesOf(c)) == 0:
	case !f.group.IsValid(), f.group == c.group:
		return c.group, c.count
	case f.group.Is4() == c.group.Is4() && c.group.Less(f.group) && !c.last.Less(f.group):
		return f.group, 1
	}
	return netip.Addr{}, 0
}

// sourcesOf returns those that can send to a connection's groups: a filter of
// both types may name addresses of each family.
func (f *filter) sourcesOf(c connection) []netip.Addr {
	var sources []netip.Addr
	for _, s := range f.sources {
		if s.Is4() == c.group.Is4() {
			sources = append(sources, s)
		}
	}
	return sources
}
