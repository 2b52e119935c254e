package importer

import (
	"strconv"
	"strings"
)

// transport is how a medium is sent.
type transport struct {
	port      uint16 // zero: none, or none that makes sense
	rtp       bool
	format    string // of RTP: the first payload type
	clockRate uint32
}

// transportOf reads "video 50000 RTP/AVP 112", RFC 8866, section 5.14. Of several
// ports, as in "50000/2", it is the first.
func transportOf(media string) transport {
	words := strings.Fields(media)
	if len(words) < 3 {
		return transport{}
	}
	first, _, _ := strings.Cut(words[1], "/")
	t := transport{port: uint16(number(first, 16)), rtp: strings.Contains(words[2], "RTP/")}
	if len(words) > 3 {
		t.format = words[3]
	}
	return t
}

// describe takes the clock rate from an a=rtpmap of the format, as "112 raw/90000"
// or "96 L24/48000/2", RFC 8866, section 6.6.
func (t *transport) describe(rtpmap []string) {
	if len(rtpmap) != 2 || !t.rtp || rtpmap[0] != t.format {
		return
	}
	if parts := strings.Split(rtpmap[1], "/"); len(parts) > 1 {
		t.clockRate = uint32(number(parts[1], 32))
	}
}

// number is zero for what is none of so many bits.
func number(text string, bits int) uint64 {
	n, err := strconv.ParseUint(text, 10, bits)
	if err != nil {
		return 0
	}
	return n
}
