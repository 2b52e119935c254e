package rtp

// The parameters of RFC 3550, A.1.
const (
	minSequential = 2
	maxDropout    = 3000
	maxMisorder   = 100
	sequences     = 1 << 16
)

// window is how many sequence numbers below the highest are remembered, to tell a
// duplicate from what only came late: more than maxMisorder.
const window = 128

// source is one SSRC of a stream, RFC 3550, A.1.
type source struct {
	ssrc      uint32
	last      uint64 // number of the stream's packet that it was heard with last
	highest   uint16 // max_seq
	cycles    uint64
	base      uint64
	bad       uint32 // bad_seq
	probation int
	received  uint64
	valid     bool // it was through its probation once

	duplicates, reordered uint64
	seen                  [2]uint64 // bit n: highest-n came

	rate    uint32 // that the jitter counts in; zero: there is none
	transit uint32
	timed   bool    // transit is that of a packet before
	jitter  float64 // in units of the timestamp
}

// verdict is what a sequence number makes of a packet.
type verdict int

const (
	discarded verdict = iota // not valid, or not yet
	counted
	restarted // the sequence begins anew with this packet
)

func newSource(ssrc uint32, sequence uint16) *source {
	s := &source{ssrc: ssrc, probation: minSequential}
	s.begin(sequence)
	s.highest = sequence - 1
	return s
}

// begin is init_seq.
func (s *source) begin(sequence uint16) {
	s.base, s.highest, s.bad = uint64(sequence), sequence, sequences+1
	s.cycles, s.received = 0, 0
	s.duplicates, s.reordered = 0, 0
	s.seen = [2]uint64{}
	s.timed, s.jitter = false, 0
}

// update is update_seq.
func (s *source) update(sequence uint16) verdict {
	delta := sequence - s.highest
	if s.probation > 0 {
		return s.prove(sequence)
	}
	switch {
	case delta > 0 && delta < maxDropout:
		if sequence < s.highest {
			s.cycles += sequences
		}
		s.highest = sequence
		s.shift(uint(delta))
	case delta == 0 || delta > sequences-maxMisorder:
		s.late(s.highest - sequence)
	case uint32(sequence) == s.bad:
		s.begin(sequence)
		s.seen[0], s.received = 1, 1
		return restarted
	default:
		s.bad = uint32(sequence + 1)
		return discarded
	}
	s.received++
	return counted
}

// prove counts packets in sequence until there are enough.
func (s *source) prove(sequence uint16) verdict {
	if sequence != s.highest+1 {
		s.probation, s.highest = minSequential-1, sequence
		return discarded
	}
	s.probation--
	s.highest = sequence
	if s.probation > 0 {
		return discarded
	}
	s.begin(sequence)
	s.seen[0], s.received, s.valid = 1, 1, true
	return counted
}

// shift remembers a new highest number.
func (s *source) shift(by uint) {
	switch {
	case by >= window:
		s.seen = [2]uint64{}
	case by >= 64:
		s.seen = [2]uint64{0, s.seen[0] << (by - 64)}
	default:
		s.seen = [2]uint64{s.seen[0] << by, s.seen[1]<<by | s.seen[0]>>(64-by)}
	}
	s.seen[0] |= 1
}

// late counts one at or below the highest number.
func (s *source) late(by uint16) {
	word, bit := &s.seen[by/64], uint64(1)<<(by%64)
	if *word&bit != 0 {
		s.duplicates++
		return
	}
	*word |= bit
	s.reordered++
}

// expected is A.3's, by the extended highest sequence number.
func (s *source) expected() uint64 {
	if !s.valid {
		return 0
	}
	return s.cycles + uint64(s.highest) - s.base + 1
}

// time takes the interarrival jitter on, A.8. arrived is in units of the
// timestamp.
func (s *source) time(arrived, timestamp uint32) {
	transit := arrived - timestamp
	if s.timed {
		d := float64(int32(transit - s.transit))
		s.jitter += (max(d, -d) - s.jitter) / 16
	}
	s.transit, s.timed = transit, true
}
