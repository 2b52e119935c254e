package demo

import (
	"math"
	"sort"
	"time"
)

// glyphs are the characters of the picture.
type glyphs struct {
	none    string // nothing came of what was sent
	bars    [9]string
	life    string
	refused string
	now     string
}

func glyphsFor(unicode bool) glyphs {
	if unicode {
		return glyphs{"▁", [9]string{" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"}, "━", "╌", "▶"}
	}
	return glyphs{"_", [9]string{" ", ".", ".", ":", ":", "|", "|", "#", "#"}, "=", "-", ">"}
}

// fullRate is the rate of a full bar, somewhat less than what is sent.
const fullRate = 0.94 * float64(time.Second/every)

// axis maps columns to times.
type axis struct {
	view    view
	columns int
}

// column returns the time that a column stands for, which is empty where that
// has not come yet.
func (a axis) column(n int) (from, to time.Duration) {
	all := max(a.view.planned, a.view.elapsed)
	from = all * time.Duration(n) / time.Duration(a.columns)
	to = all * time.Duration(n+1) / time.Duration(a.columns)
	return from, min(to, a.view.elapsed)
}

// between returns how much of a count fell between two times.
func (a axis) between(from, to time.Duration, count func(sample) uint64) float64 {
	return a.at(to, count) - a.at(from, count)
}

// at interpolates a count at a time.
func (a axis) at(t time.Duration, count func(sample) uint64) float64 {
	samples := a.view.samples
	n := sort.Search(len(samples), func(i int) bool { return samples[i].at >= t })
	switch {
	case len(samples) == 0 || n == 0 && samples[0].at > t:
		return 0
	case n == len(samples):
		return float64(count(samples[n-1]))
	case n == 0:
		return float64(count(samples[0]))
	}
	before, after := samples[n-1], samples[n]
	share := float64(t-before.at) / float64(after.at-before.at)
	low, high := float64(count(before)), float64(count(after))
	return low + share*(high-low)
}

// refused reports whether the rules refuse the eth0 of a time.
func (a axis) refused(t time.Duration) bool {
	for _, s := range a.view.lives {
		if s.from <= t && (s.to == 0 || t < s.to) {
			return s.refused
		}
	}
	return false
}

// shortest is the time below which a column shows nothing yet.
const shortest = 40 * time.Millisecond

// bars draws a count as bars over time, two rows high: tall ones where all that
// was sent came, a line at the bottom where nothing did, in an ink that tells
// whose fault that is, and nothing where nothing was sent.
func (a axis) bars(g glyphs, full ink, count func(sample) uint64) (top, bottom line) {
	const half, tallest = 8, 15 // the uppermost eighth parts the charts
	for n := range a.columns {
		from, to := a.column(n)
		if to-from < shortest {
			break
		}
		whole := (to - from).Seconds() * fullRate
		share, sent := a.between(from, to, count)/whole, a.between(from, to, sentOf)/whole
		height := int(math.Round(min(share, 1) * tallest))
		upper, lower := piece{" ", ""}, piece{" ", ""}
		switch {
		case height > 0:
			upper = piece{g.bars[max(0, height-half)], full}
			lower = piece{g.bars[min(half, max(height, 2))], full}
		case sent < 0.1:
		case a.refused((from + to) / 2):
			lower = piece{g.none, yellow}
		default:
			lower = piece{g.none, red}
		}
		top, bottom = append(top, upper), append(bottom, lower)
	}
	return top, bottom
}

func sentOf(s sample) uint64 { return s.sent }

func receivedOf(w which) func(sample) uint64 {
	return func(s sample) uint64 { return s.received[w] }
}

// lives draws when eth0 existed, each life with its index in front.
func (a axis) lives(g glyphs) line {
	cells := make(line, a.columns)
	for i := range cells {
		cells[i].text = " "
	}
	for _, s := range a.view.lives {
		if s.to == 0 {
			s.to = a.view.elapsed
		}
		glyph, look := g.life, cyan
		if s.refused {
			glyph, look = g.refused, yellow
		}
		from := a.position(s.from)
		to := min(max(a.position(s.to), from+1), a.columns)
		label := "#" + decimal(uint64(s.index))
		for n := from; n < to; n++ {
			cells[n] = piece{glyph, look}
			if i := n - from; i < len(label) && len(label) <= to-from {
				cells[n].text = label[i : i+1]
			}
		}
	}
	return cells
}

// position returns the column at whose left edge a time is.
func (a axis) position(t time.Duration) int {
	all := max(a.view.planned, a.view.elapsed, 1)
	return min(a.columns, int(math.Round(float64(t)/float64(all)*float64(a.columns))))
}
