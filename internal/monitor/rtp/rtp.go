// Package rtp counts what an RTP stream lost, and in which order and how steadily
// it came, as RFC 3550 has it in its appendices A.1, A.3 and A.8. It is pure: the
// time of each packet is an argument.
package rtp

import "encoding/binary"

// HeaderSize is how much of a packet Stream.Add looks at, in bytes: the fixed
// header, RFC 3550, section 5.1.
const HeaderSize = 12

// Header is what counts of a packet's header.
type Header struct {
	PayloadType uint8
	Sequence    uint16
	Timestamp   uint32
	SSRC        uint32
}

const version = 2

// Parse reads the header of a packet, of which at least HeaderSize bytes are
// there; false where it is none.
func Parse(b []byte) (Header, bool) {
	if len(b) < HeaderSize || b[0]>>6 != version {
		return Header{}, false
	}
	// RTCP on the same port, RFC 5761, section 4.
	if kind := b[1]; kind >= 192 && kind <= 223 {
		return Header{}, false
	}
	return Header{
		PayloadType: b[1] & 0x7f,
		Sequence:    binary.BigEndian.Uint16(b[2:]),
		Timestamp:   binary.BigEndian.Uint32(b[4:]),
		SSRC:        binary.BigEndian.Uint32(b[8:]),
	}, true
}

// ClockRate returns the clock rate in Hz of a static payload type, RFC 3551,
// tables 4 and 5; zero where the number says nothing, as those from 96 on.
func ClockRate(payloadType uint8) uint32 {
	switch payloadType {
	case 0, 3, 4, 5, 7, 8, 9, 12, 13, 15, 18:
		return 8000
	case 6:
		return 16000
	case 10, 11:
		return 44100
	case 16:
		return 11025
	case 17:
		return 22050
	case 14, 25, 26, 28, 31, 32, 33, 34:
		return 90000
	}
	return 0
}
