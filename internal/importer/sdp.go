package importer

import (
	"net/netip"
	"strings"

	"github.com/ssmd-project/ssmd/membership"
)

// section is a description's session level, or one of its media.
type section struct {
	at          line // that it began with
	title       string
	kind        string // of media, as "video"
	mid         string // RFC 5888
	transport   transport
	connections []connection
	filters     []*filter
	broken      bool // a flaw of it was told: what is missing therefore is none
}

// description is one SDP session.
type description struct {
	section
	origin netip.Addr     // invalid where it is no address
	legs   map[string]int // the places of mids among what sends the same thing, RFC 7104
	media  []*section
}

// descriptions reads one or more of them.
func (p *parser) descriptions(lines []line) {
	for len(lines) > 0 {
		end := 1
		for end < len(lines) && !strings.HasPrefix(lines[end].text, "v=") {
			end++
		}
		d := p.description(lines[:end])
		lines = lines[end:]
		if p.media += len(d.media); p.media > maxMedia {
			p.fail(d.at, "more than %d media in one file", maxMedia)
			return
		}
		if len(d.media) == 0 {
			p.media++
			d.media = []*section{{at: d.at, broken: d.broken}}
		}
		for _, m := range d.media {
			p.medium(d, m)
		}
		for _, f := range d.filters {
			p.unused(f)
		}
	}
}

// description reads the lines of one, without what they come to.
func (p *parser) description(lines []line) *description {
	d := &description{section: section{at: lines[0]}, legs: make(map[string]int)}
	now := &d.section
	for _, l := range lines {
		kind, value, ok := strings.Cut(l.text, "=")
		if !ok || len(kind) != 1 {
			p.fail(l, "no line of SDP, want for example c=IN IP4 232.1.1.1/32")
			continue
		}
		switch value = strings.TrimSpace(value); kind {
		case "o":
			d.origin = originOf(value)
		case "s":
			d.title = value
		case "i":
			now.title = titleOf(now, d, value)
		case "m":
			now = &section{at: l, kind: first(value), transport: transportOf(value)}
			d.media = append(d.media, now)
		case "c":
			c, ok := p.connection(l, value)
			now.connections = appendTo(p, now, l, now.connections, c, ok)
		case "a":
			p.attribute(d, now, l, value)
		}
	}
	return d
}

// titleOf lets i= name a medium, but not the session, where it is longer prose.
func titleOf(now *section, d *description, value string) string {
	if now == &d.section {
		return now.title
	}
	return value
}

func first(text string) string {
	word, _, _ := strings.Cut(text, " ")
	return word
}

// originOf returns the address in o=, RFC 8866, section 5.2.
func originOf(value string) netip.Addr {
	words := strings.Fields(value)
	if len(words) != 6 {
		return netip.Addr{}
	}
	address, _ := netip.ParseAddr(words[5])
	return address
}

func (p *parser) attribute(d *description, now *section, l line, value string) {
	name, value, _ := strings.Cut(value, ":")
	switch words := strings.Fields(value); strings.TrimSpace(name) {
	case "mid":
		now.mid = strings.Join(words, " ")
	case "group":
		if len(words) > 1 && words[0] == "DUP" {
			for place, mid := range words[1:] {
				d.legs[mid] = place
			}
		}
	case "rtpmap":
		now.transport.describe(words)
	case "source-filter":
		f, ok := p.filter(l, words)
		now.filters = appendTo(p, now, l, now.filters, f, ok)
	}
}

// appendTo keeps what a line says, if it is good and not one too many.
func appendTo[T any](p *parser, now *section, l line, all []T, one T, good bool) []T {
	if good && len(all) == maxLines {
		p.fail(l, "more than %d lines of the kind", maxLines)
		good = false
	}
	if !good {
		now.broken = true
		return all
	}
	return append(all, one)
}

// medium makes a feed of one. What it says of addresses and filters replaces
// what the session says.
func (p *parser) medium(d *description, m *section) {
	connections, filters := m.connections, m.filters
	broken := m.broken
	if len(connections) == 0 {
		connections, broken = d.connections, broken || d.broken
	}
	if len(filters) == 0 {
		filters, broken = d.filters, broken || d.broken
	}
	if len(connections) == 0 && !broken {
		p.fail(m.at, "no c= line says to which group it is sent")
	}
	var channels []membership.Channel
	for _, c := range connections {
		channels = append(channels, p.channelsOf(d, m, c, filters, broken)...)
	}
	for _, f := range m.filters {
		p.unused(f)
	}
	if len(channels) > 0 {
		kind := m.kind
		if m.mid != "" {
			kind = m.mid
		}
		title := d.title
		if m.title != "" {
			title, kind = strings.TrimSpace(d.title+" "+m.title), ""
		}
		p.add(m.at, Feed{
			Title: title, Kind: kind, Channels: channels, Leg: d.legs[m.mid],
			Port: m.transport.port, RTP: m.transport.rtp, ClockRate: m.transport.clockRate,
		})
	}
}

// channelsOf holds one c= against the filters.
func (p *parser) channelsOf(d *description, m *section, c connection, filters []*filter, broken bool) (all []membership.Channel) {
	if !c.group.IsMulticast() {
		p.fail(c.at, "%s is no multicast address: nothing is to be joined for it", c.group)
		return nil
	}
	found := false
	for _, f := range filters {
		group, count := f.covers(c)
		if count == 0 {
			continue
		}
		found, f.used = true, true
		if f.excludes {
			p.fail(f.at, "excl names who is not wanted, want incl: only who sends can be joined")
			continue
		}
		channels, _ := p.join(f.at, group, count, f.sourcesOf(c))
		all = append(all, channels...)
	}
	switch {
	case found:
	case p.options.Origin && d.origin.IsValid() && d.origin.Is4() == c.group.Is4():
		all, _ = p.join(c.at, c.group, c.count, []netip.Addr{d.origin})
	case p.options.Origin:
		p.fail(m.at, "no a=source-filter (RFC 4570) says who sends to %s, and o= has no address of its family", c.group)
	case !broken:
		p.fail(m.at, "no a=source-filter (RFC 4570) says who sends to %s; --origin takes the address in o=, if that is the sender's", c.group)
	}
	return all
}

// unused tells of a filter that speaks of nothing.
func (p *parser) unused(f *filter) {
	if !f.used {
		p.fail(f.at, "it is about what no c= line names")
		f.used = true
	}
}
