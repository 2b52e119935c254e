package rtp

import (
	"encoding/binary"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var start = time.Unix(1_795_000_000, 123_456_789)

func packet(ssrc uint32, sequence uint16, timestamp uint32, payloadType uint8) []byte {
	b := make([]byte, HeaderSize)
	b[0], b[1] = version<<6, payloadType
	binary.BigEndian.PutUint16(b[2:], sequence)
	binary.BigEndian.PutUint32(b[4:], timestamp)
	binary.BigEndian.PutUint32(b[8:], ssrc)
	return b
}

// counted adds packets of one source by their sequence numbers.
func countedOf(sequence ...uint16) Totals {
	var s Stream
	for _, n := range sequence {
		s.Add(packet(1, n, 0, 33), start)
	}
	return s.Totals()
}

// Hand-computed. The first packet of a source is on probation, and not counted,
// as A.1 has it.
func TestTotals(t *testing.T) {
	for name, test := range map[string]struct {
		sequence []uint16
		want     Totals
		lost     int64
	}{
		"nothing":            {nil, Totals{}, 0},
		"one is none":        {[]uint16{7}, Totals{}, 0},
		"in order":           {[]uint16{7, 8, 9}, Totals{Received: 2, Expected: 2}, 0},
		"never in sequence":  {[]uint16{7, 9, 11}, Totals{}, 0},
		"lost":               {[]uint16{7, 8, 11}, Totals{Received: 2, Expected: 4}, 2},
		"reordered":          {[]uint16{7, 8, 10, 9}, Totals{Received: 3, Expected: 3, Reordered: 1}, 0},
		"duplicate":          {[]uint16{7, 8, 9, 8}, Totals{Received: 3, Expected: 2, Duplicates: 1}, -1},
		"the highest twice":  {[]uint16{7, 8, 8}, Totals{Received: 2, Expected: 1, Duplicates: 1}, -1},
		"late, then again":   {[]uint16{7, 8, 10, 9, 9}, Totals{Received: 4, Expected: 3, Reordered: 1, Duplicates: 1}, -1},
		"wraparound":         {[]uint16{65533, 65534, 65535, 0, 1}, Totals{Received: 4, Expected: 4}, 0},
		"lost over the wrap": {[]uint16{65533, 65534, 2}, Totals{Received: 2, Expected: 5}, 3},
		"late over the wrap": {[]uint16{65533, 65534, 0, 65535}, Totals{Received: 3, Expected: 3, Reordered: 1}, 0},
		"a stray one":        {[]uint16{7, 8, 30000, 9}, Totals{Received: 2, Expected: 2, Invalid: 1}, 0},
		"a jump":             {[]uint16{7, 8, 30000, 30001, 30002}, Totals{Received: 3, Expected: 3, Invalid: 1, Restarts: 1}, 0},
		"as far as it gets":  {[]uint16{7, 8, 8 + 2999}, Totals{Received: 2, Expected: 3000}, 2998},
	} {
		t.Run(name, func(t *testing.T) {
			got := countedOf(test.sequence...)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if got.Lost() != test.lost {
				t.Errorf("%d lost, want %d", got.Lost(), test.lost)
			}
		})
	}
}

// A sender that begins anew with another SSRC loses nothing.
func TestNewSource(t *testing.T) {
	var s Stream
	for n := range uint16(10) {
		s.Add(packet(1, 100+n, 0, 33), start)
	}
	for n := range uint16(10) {
		s.Add(packet(2, 40000+n, 0, 33), start)
	}
	want := Totals{Received: 18, Expected: 18, Restarts: 1}
	if diff := cmp.Diff(want, s.Totals()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// However many SSRCs there are, no more are kept than so many, and nothing that
// was counted is forgotten.
func TestManySources(t *testing.T) {
	var s Stream
	for ssrc := range uint32(100) {
		for n := range uint16(5) {
			s.Add(packet(ssrc, n, 0, 33), start)
		}
	}
	if got := s.Totals(); got.Received != 400 || got.Lost() != 0 || len(s.sources) > mostSources {
		t.Errorf("%+v of %d sources", got, len(s.sources))
	}
}

// Stray packets of others do not end the count of the stream's own source, nor that
// of one that was valid before.
func TestStrays(t *testing.T) {
	var s Stream
	send := func(ssrc uint32, from, to uint16) {
		for n := from; n < to; n++ {
			s.Add(packet(ssrc, n, 0, 33), start)
		}
	}
	send(1, 0, 101)
	send(2, 0, 101)
	for stray := range uint32(3 * mostSources) {
		send(1000+stray, 7, 8)
	}
	send(2, 111, 201)
	send(1, 111, 201)
	want := Totals{Received: 2 * 190, Expected: 2 * 200, Restarts: 1}
	if diff := cmp.Diff(want, s.Totals()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParse(t *testing.T) {
	good := packet(5, 6, 7, 96)
	if h, ok := Parse(good); !ok || h != (Header{96, 6, 7, 5}) {
		t.Errorf("%+v, %v", h, ok)
	}
	for name, b := range map[string][]byte{
		"short": good[:11], "empty": nil, "MPEG without RTP": append([]byte{0x47}, good[1:]...), "RTCP": {0x80, 200, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
	} {
		if _, ok := Parse(b); ok {
			t.Errorf("%s is taken for RTP", name)
		}
	}
}

func TestClockRate(t *testing.T) {
	for payloadType, want := range map[uint8]uint32{0: 8000, 9: 8000, 6: 16000, 10: 44100, 11: 44100, 14: 90000, 16: 11025, 17: 22050, 26: 90000, 33: 90000, 34: 90000, 1: 0, 19: 0, 72: 0, 96: 0, 127: 0} {
		if got := ClockRate(payloadType); got != want {
			t.Errorf("type %d: %d, want %d", payloadType, got, want)
		}
	}
}

// Whatever is dropped of a sequence, and in whatever order a few neighbours come,
// what is lost is what did not come.
func TestLostProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first := rapid.Uint16().Draw(t, "first")
		kept := rapid.SliceOfN(rapid.Float64Range(0, 1), 10, 3000).Draw(t, "kept")
		share := rapid.Float64Range(0, 0.9).Draw(t, "lost")
		sent := []uint16{first, first + 1}
		for n, k := range kept[:len(kept)-1] {
			if k >= share {
				sent = append(sent, first+2+uint16(n))
			}
		}
		distinct := len(sent) - 1
		swaps := 0
		for n := 2; n+1 < len(sent); n += 2 {
			if gap := sent[n+1] - sent[n]; gap < maxMisorder && rapid.Bool().Draw(t, "swap") {
				sent[n], sent[n+1] = sent[n+1], sent[n]
				swaps++
			}
		}
		sent = append(sent, first+1+uint16(len(kept))) // the last one comes
		got := countedOf(sent...)
		if got.Expected != uint64(len(kept))+1 || got.Received != uint64(distinct)+1 || got.Reordered != uint64(swaps) || got.Duplicates != 0 {
			t.Fatalf("%+v of %d, %d came, %d swapped", got, len(kept)+1, distinct+1, swaps)
		}
	})
}

// Duplicates are told as such, wherever they come.
func TestDuplicatesProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first := rapid.Uint16().Draw(t, "first")
		var sent []uint16
		var again uint64
		for n := range rapid.IntRange(3, 2000).Draw(t, "length") {
			sent = append(sent, first+uint16(n))
			if n > 0 && rapid.IntRange(0, 9).Draw(t, "again") == 0 {
				back := rapid.IntRange(0, min(n-1, maxMisorder-1)).Draw(t, "back")
				sent = append(sent, first+uint16(n-back))
				again++
			}
		}
		got := countedOf(sent...)
		if got.Duplicates != again || got.Lost() != -int64(again) || got.Reordered != 0 {
			t.Fatalf("%+v, %d came again", got, again)
		}
	})
}

// The formula of RFC 3550, section 6.4.1, written down as it stands there:
// D(i,j) = (Rj - Ri) - (Sj - Si), J(i) = J(i-1) + (|D(i-1,i)| - J(i-1))/16.
func TestJitterProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.SampledFrom([]uint32{8000, 44100, 48000, 90000}).Draw(t, "rate")
		s := Stream{ClockRate: rate}
		sequence, timestamp := rapid.Uint16().Draw(t, "sequence"), rapid.Uint32().Draw(t, "timestamp")
		arrived := start
		s.Add(packet(1, sequence, timestamp, 96), arrived) // on probation
		var arrivals, stamps []float64
		stamp := 0.
		for range rapid.IntRange(1, 200).Draw(t, "length") {
			step := rapid.Uint32Range(0, 1<<20).Draw(t, "step")
			arrived = arrived.Add(time.Duration(rapid.IntRange(0, 1e9).Draw(t, "wait")))
			sequence, timestamp, stamp = sequence+1, timestamp+step, stamp+float64(step)
			s.Add(packet(1, sequence, timestamp, 96), arrived)
			arrivals = append(arrivals, math.Floor(float64(arrived.Unix()-start.Unix())*float64(rate)+float64(arrived.Nanosecond())*float64(rate)/1e9))
			stamps = append(stamps, stamp)
		}
		want := 0.
		for i := 1; i < len(arrivals); i++ {
			d := (arrivals[i] - arrivals[i-1]) - (stamps[i] - stamps[i-1])
			want += (math.Abs(d) - want) / 16
		}
		got, ok := s.Jitter()
		// A unit is cut off a time that is whole but for its floating point.
		if !ok || math.Abs(got.Seconds()-want/float64(rate)) > 2/float64(rate) {
			t.Fatalf("%v, %v; want %v s", got, ok, want/float64(rate))
		}
	})
}

// Hand-computed: at 8 kHz, 160 units every 20 ms, of which the third comes 4 ms
// late (32 units) and the fourth in time: 32/16 = 2, then 2 + (32-2)/16 = 3.875
// units, which are 484.375 us.
func TestJitterByHand(t *testing.T) {
	var s Stream
	at := func(ms int) time.Time { return time.Unix(1000, 0).Add(time.Duration(ms) * time.Millisecond) }
	for n, ms := range []int{0, 20, 44, 60} {
		s.Add(packet(1, uint16(n), uint32(160*n), 0), at(ms))
	}
	if got, ok := s.Jitter(); !ok || got != 484375*time.Nanosecond {
		t.Errorf("%v, %v", got, ok)
	}
}

// Of a dynamic payload type nothing says the clock rate.
func TestNoClockRate(t *testing.T) {
	var s Stream
	for n := range uint16(5) {
		s.Add(packet(1, n, 0, 96), start)
	}
	if _, ok := s.Jitter(); ok || s.Totals().Received != 4 {
		t.Errorf("jitter of an unknown clock; %+v", s.Totals())
	}
}
