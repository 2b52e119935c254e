package importer

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"

	"github.com/ssmd-project/ssmd/membership"
)

// MaxSize is how many bytes of one file are read at most.
const MaxSize = 4 << 20

// The bounds of one file: a few bytes of it can stand for any number of groups.
const (
	maxChannels = 100_000
	maxMedia    = 2000
	maxFlaws    = 1000
	maxText     = 200 // bytes of a line that are shown
)

// Feed is one stream: what becomes a membership.
type Feed struct {
	Title    string // as the file calls it, possibly empty; any text
	Kind     string // what tells it from others of the same title, as "video"
	Channels []membership.Channel

	// Leg counts from 0 through what sends the same thing: the first, the
	// second of SMPTE ST 2022-7.
	Leg int

	Port      uint16 // that it is sent to; zero where that is not said
	RTP       bool
	ClockRate uint32 // of the RTP timestamps, in Hz; zero where that is not said
}

// AnyRange reports whether a group is outside the source-specific ranges.
// Senders that say who sends may use any group.
func (f Feed) AnyRange() membership.AnyRange {
	for _, c := range f.Channels {
		if !membership.IsSourceSpecificGroup(c.Group) {
			return membership.AnyMulticastRange
		}
	}
	return membership.SourceSpecificOnly
}

// Flaw is what could not be understood, and where.
type Flaw struct {
	File   string
	Line   int    // from 1; 0 where the whole file is meant
	Text   string // of the line
	Reason string // what is wrong, and what would be right
}

// Error returns "file:line: text: reason", without what is unknown.
func (f Flaw) Error() string {
	text := f.File
	if f.Line > 0 {
		text += fmt.Sprintf(":%d", f.Line)
	}
	if f.Text != "" {
		text += ": " + f.Text
	}
	return text + ": " + f.Reason
}

// Options say how to read. The zero value works.
type Options struct {
	// Origin takes the address in o= for the source where no filter names one.
	// Without it such a stream is a flaw: o= is whoever wrote the description
	// (RFC 8866, section 5.2), which may be another machine than the sender.
	Origin bool

	// Monitor has entries say how the streams are monitored. A stream whose port
	// is not known is a flaw then, and an entry all the same.
	Monitor bool
}

// Parse reads the content of one file, by its form: an SDP description, or
// several one behind the other, begin with "v="; all else is a playlist, of which
// each line is an address or a comment. File is what to call it in flaws. It
// needs memory in proportion to the content, and 100,000 channels at most.
func Parse(file string, data []byte, o Options) ([]Feed, []Flaw) {
	p := &parser{file: file, options: o, told: make(map[Flaw]bool)}
	if len(data) > MaxSize {
		p.fail(line{}, "larger than %d bytes", MaxSize)
		return nil, p.flaws
	}
	lines := linesOf(data)
	switch {
	case len(lines) == 0:
		p.fail(line{}, "empty")
	case strings.HasPrefix(lines[0].text, "v="):
		p.descriptions(lines)
	default:
		p.playlist(lines)
	}
	if p.dropped > 0 {
		p.flaws = append(p.flaws, Flaw{File: file, Reason: fmt.Sprintf("%d more of the like", p.dropped)})
	}
	return p.feeds, p.flaws
}

// ParseAddress reads one address, as rtp://10.1.0.1@232.1.1.1:5004.
func ParseAddress(text string, o Options) ([]Feed, []Flaw) {
	p := &parser{file: "address", options: o, told: make(map[Flaw]bool)}
	p.address("", line{text: strings.TrimSpace(text)})
	return p.feeds, p.flaws
}

// line is one that is not empty.
type line struct {
	number int // from 1
	text   string
}

// linesOf returns the lines that are not blank, without the white space around
// them and the mark that some editors begin a file with.
func linesOf(data []byte) []line {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	var lines []line
	number := 0
	for text := range bytes.Lines(data) {
		number++
		if text := strings.TrimSpace(string(text)); text != "" {
			lines = append(lines, line{number, text})
		}
	}
	return lines
}

// parser collects what is found in one file.
type parser struct {
	file     string
	options  Options
	feeds    []Feed
	flaws    []Flaw
	told     map[Flaw]bool
	dropped  int // flaws that were too many
	channels int
	media    int
}

// fail notes what was not understood, once.
func (p *parser) fail(at line, format string, args ...any) {
	f := Flaw{p.file, at.number, shorten(at.text), fmt.Sprintf(format, args...)}
	switch {
	case p.told[f]:
	case len(p.flaws) >= maxFlaws:
		p.dropped++
	default:
		p.told[f] = true
		p.flaws = append(p.flaws, f)
	}
}

func shorten(text string) string {
	if len(text) <= maxText {
		return text
	}
	end := maxText
	for end > maxText-utf8.UTFMax && !utf8.RuneStart(text[end]) {
		end-- // what is no text is cut anywhere
	}
	return text[:end] + "..."
}

// add keeps a feed, of which a line says the port.
func (p *parser) add(at line, f Feed) {
	if p.options.Monitor && f.Port == 0 {
		p.fail(at, "no port to be monitored on")
	}
	p.feeds = append(p.feeds, f)
}

// join returns each source with a run of groups, and reports whether all of it
// makes sense.
func (p *parser) join(at line, group netip.Addr, count int, sources []netip.Addr) ([]membership.Channel, bool) {
	if p.channels += count * len(sources); p.channels > maxChannels {
		p.fail(at, "more than %d channels in one file", maxChannels)
		return nil, false
	}
	var all []membership.Channel
	for range count {
		for _, source := range sources {
			c := membership.Channel{Source: source, Group: group}
			if err := c.Validate(membership.AnyMulticastRange); err != nil {
				p.fail(at, "%v", err)
				return nil, false
			}
			all = append(all, c)
		}
		group = group.Next()
	}
	return all, true
}
