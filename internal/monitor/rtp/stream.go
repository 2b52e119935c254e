package rtp

import (
	"cmp"
	"slices"
	"time"
)

// mostSources bounds the SSRCs of a stream that are followed at a time.
const mostSources = 8

// Stream counts the packets of one stream, of whatever SSRCs. A sender that begins
// anew, with another SSRC or another sequence, is counted on from there. The zero
// Stream has heard nothing.
type Stream struct {
	// ClockRate in Hz is that of the timestamps. Zero: by the payload type, as
	// ClockRate says, and without a jitter where that says nothing.
	ClockRate uint32

	packets uint64 // that had a header
	invalid uint64
	gone    Totals // of sources and sequences that are over
	sources []*source
	latest  *source
}

// Totals are what a stream came to.
type Totals struct {
	Received   uint64 // of valid sources, late ones and duplicates among them
	Expected   uint64 // by their sequence numbers
	Duplicates uint64
	Reordered  uint64 // came after one with a higher number
	Invalid    uint64 // no RTP, or not in sequence with anything
	Restarts   uint64 // new SSRCs, and sequences that began anew
}

// Lost is A.3's: it falls by one with each duplicate, also below zero.
func (t Totals) Lost() int64 { return int64(t.Expected) - int64(t.Received) }

// Add counts a packet, of which b has the first bytes, and which came at a time.
func (s *Stream) Add(b []byte, arrived time.Time) {
	h, ok := Parse(b)
	if !ok {
		s.invalid++
		return
	}
	s.packets++
	from, fresh := s.source(h)
	from.last = s.packets
	before := *from
	switch from.update(h.Sequence) {
	case discarded:
		if !fresh && from.valid {
			s.invalid++
		}
		return
	case restarted:
		s.retire(&before)
		s.gone.Restarts++
	case counted:
	}
	if !before.valid && s.latest != nil {
		s.gone.Restarts++
	}
	s.latest = from
	s.time(from, h, arrived)
}

// time takes the jitter on, where the clock rate is known. With another rate, as
// of another payload type, it begins anew.
func (s *Stream) time(from *source, h Header, arrived time.Time) {
	rate := s.ClockRate
	if rate == 0 {
		rate = ClockRate(h.PayloadType)
	}
	if rate != from.rate {
		from.rate, from.timed, from.jitter = rate, false, 0
	}
	if rate != 0 {
		from.time(units(arrived, rate), h.Timestamp)
	}
}

// units is a time in units of a timestamp, modulo 2^32.
func units(t time.Time, rate uint32) uint32 {
	fraction := uint64(t.Nanosecond()) * uint64(rate) / uint64(time.Second)
	return uint32(uint64(t.Unix())*uint64(rate) + fraction)
}

// source returns that of a packet, and whether it is new.
func (s *Stream) source(h Header) (*source, bool) {
	if s.latest != nil && s.latest.ssrc == h.SSRC {
		return s.latest, false
	}
	for _, known := range s.sources {
		if known.ssrc == h.SSRC {
			return known, false
		}
	}
	if len(s.sources) == mostSources {
		idlest := slices.MinFunc(s.sources, s.moreIdle)
		s.retire(idlest)
		s.sources = slices.DeleteFunc(s.sources, func(o *source) bool { return o == idlest })
	}
	fresh := newSource(h.SSRC, h.Sequence)
	s.sources = append(s.sources, fresh)
	return fresh, true
}

// moreIdle puts first whose place another source takes: one that was never valid,
// and of these, or else of all, the one that was silent for longest. The stream is
// the latest one's, which comes last.
func (s *Stream) moreIdle(a, b *source) int {
	rank := func(o *source) int {
		switch {
		case o == s.latest:
			return 2
		case o.valid:
			return 1
		}
		return 0
	}
	return cmp.Or(rank(a)-rank(b), cmp.Compare(a.last, b.last))
}

// retire keeps what a source came to.
func (s *Stream) retire(o *source) { s.gone = s.gone.with(o) }

func (t Totals) with(o *source) Totals {
	t.Received += o.received
	t.Expected += o.expected()
	t.Duplicates += o.duplicates
	t.Reordered += o.reordered
	return t
}

// Totals returns what was counted so far.
func (s *Stream) Totals() Totals {
	t := s.gone
	for _, o := range s.sources {
		t = t.with(o)
	}
	t.Invalid = s.invalid
	return t
}

// Jitter returns that of the source that was heard last, and false where there is
// none: nothing was heard, or the clock rate is not known.
func (s *Stream) Jitter() (time.Duration, bool) {
	if s.latest == nil || s.latest.rate == 0 {
		return 0, false
	}
	return time.Duration(s.latest.jitter / float64(s.latest.rate) * float64(time.Second)), true
}
