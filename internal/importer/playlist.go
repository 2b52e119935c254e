package importer

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// playlist reads an M3U: a line of #EXTINF names the address that follows, other
// lines with # say nothing of addresses.
func (p *parser) playlist(lines []line) {
	title := ""
	for _, l := range lines {
		if about, ok := strings.CutPrefix(l.text, "#EXTINF:"); ok {
			title = titleIn(about)
			continue
		}
		if strings.HasPrefix(l.text, "#") {
			continue
		}
		p.address(title, l)
		title = ""
	}
}

// titleIn returns what stands behind the comma that is not in quotes, as in
// `-1 tvg-name="a,b",The title`.
func titleIn(about string) string {
	quoted := false
	for i, r := range about {
		switch {
		case r == '"':
			quoted = !quoted
		case r == ',' && !quoted:
			return strings.TrimSpace(about[i+1:])
		}
	}
	return ""
}

// address reads rtp://SOURCE@GROUP:PORT or udp://SOURCE@GROUP:PORT, as VLC has
// it, and rtp://GROUP:PORT?sources=SOURCE,SOURCE, as FFmpeg has it. IPv6
// addresses stand in brackets. The port may be missing: it is the receiver's
// matter.
func (p *parser) address(title string, l line) {
	scheme, rest, ok := strings.Cut(l.text, "://")
	if scheme = strings.ToLower(scheme); !ok || scheme != "rtp" && scheme != "udp" {
		p.fail(l, "no multicast address, want for example rtp://10.1.0.1@232.1.1.1:5004")
		return
	}
	rest, query, _ := strings.Cut(rest, "?")
	rest, _, _ = strings.Cut(rest, "/")
	given, target, at := strings.Cut(rest, "@")
	if !at {
		given, target = "", rest
	}
	group, port, ok := p.target(l, target)
	if !ok {
		return
	}
	var sources []netip.Addr
	for _, text := range append([]string{given}, sourcesIn(query)...) {
		if text == "" {
			continue
		}
		source, ok := p.host(l, "source", text)
		if !ok {
			return
		}
		sources = append(sources, source)
	}
	if len(sources) == 0 {
		p.fail(l, "any source may send here, which is not source-specific: want %s://SOURCE@%s", scheme, target)
		return
	}
	if channels, ok := p.join(l, group, 1, sources); ok {
		p.add(l, Feed{Title: title, Channels: channels, Port: port, RTP: scheme == "rtp"})
	}
}

// sourcesIn returns FFmpeg's list.
func sourcesIn(query string) []string {
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil
	}
	return strings.Split(values.Get("sources"), ",")
}

// target reads GROUP or GROUP:PORT.
func (p *parser) target(l line, text string) (group netip.Addr, port uint16, ok bool) {
	host := text
	if i := strings.LastIndex(text, ":"); i >= 0 && !strings.HasSuffix(text, "]") {
		host = text[:i]
		given, err := strconv.ParseUint(text[i+1:], 10, 16)
		if err != nil || given == 0 || strings.Contains(host, ":") && !strings.HasPrefix(host, "[") {
			p.fail(l, "no port from 1 to 65535 behind the last colon; IPv6 addresses stand in brackets")
			return netip.Addr{}, 0, false
		}
		port = uint16(given)
	}
	group, ok = p.host(l, "group", host)
	if ok && !group.IsMulticast() {
		p.fail(l, "%s is no multicast address: nothing is to be joined for it", group)
		return netip.Addr{}, 0, false
	}
	return group, port, ok
}

// host reads one address. Brackets are for IPv6 alone.
func (p *parser) host(l line, what, text string) (netip.Addr, bool) {
	inner, bracketed := strings.CutPrefix(text, "[")
	if bracketed {
		inner, bracketed = strings.CutSuffix(inner, "]")
	}
	address, err := netip.ParseAddr(inner)
	switch {
	case text == "":
		p.fail(l, "no %s", what)
	case err != nil:
		p.fail(l, "%s %q is no IP address; a host name is not looked up, want its address", what, shorten(text))
	case address.Is6() != bracketed:
		p.fail(l, "%s %q, want IPv6 addresses, and only these, in brackets", what, shorten(text))
	default:
		return address, true
	}
	return netip.Addr{}, false
}
