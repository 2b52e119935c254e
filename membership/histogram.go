package membership

import "time"

// Histogram counts times by how long they are.
type Histogram struct {
	Bounds []time.Duration // the longest that each count is of, ascending; not to be changed
	Counts []uint64        // one for each bound, of what is longer than the one before, and a last one for the rest
	Sum    time.Duration
}

// bounds go from a channel that is joined again at once to thousands.
var bounds = []time.Duration{
	50 * time.Microsecond, 100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond,
}

func newHistogram() Histogram {
	return Histogram{Bounds: bounds, Counts: make([]uint64, len(bounds)+1)}
}

// Count returns how many times were counted.
func (h Histogram) Count() uint64 {
	var n uint64
	for _, c := range h.Counts {
		n += c
	}
	return n
}

func (h *Histogram) observe(d time.Duration) {
	n := 0
	for n < len(h.Bounds) && d > h.Bounds[n] {
		n++
	}
	h.Counts[n]++
	h.Sum += d
}

// add adds one of the same bounds, or none.
func (h *Histogram) add(o Histogram) {
	for n, c := range o.Counts {
		h.Counts[n] += c
	}
	h.Sum += o.Sum
}
