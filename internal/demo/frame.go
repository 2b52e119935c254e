package demo

import (
	"fmt"
	"slices"
	"time"
)

const (
	wideEnough = 64 // columns, for a log with its texts in a column of their own
	labelWidth = 17
	longestLog = 12
)

// frame draws a view for a terminal of so many columns and rows, and never
// needs the last of either.
func frame(v view, g glyphs, columns, rows int) []line {
	columns, rows = max(columns-1, 1), max(rows-1, 1)
	all := append(charts(v, g, columns), nil)
	if v.now != "" {
		all = append(append(all, nowLines(v, g, columns)...), nil)
	}
	room := min(max(rows-len(all), 0), longestLog)
	all = append(all, logLines(v.log, columns, room)...)
	all = all[:min(len(all), rows)]
	for i, l := range all {
		all[i] = l.cut(columns)
	}
	return all
}

// charts draws the title and the lines over time.
func charts(v view, g glyphs, columns int) []line {
	clock := fmt.Sprintf("%.1f s", v.elapsed.Seconds())
	title := line{{"ssmd demo", bold}, {"  one sender, two receivers, and an eth0 that comes and goes", dim}}
	title = title.cut(columns - len(clock) - 2)
	title = append(title, piece{spaces(columns - title.width() - len(clock)), ""}, piece{clock, dim})

	a := axis{v, max(columns-labelWidth, 1)}
	all := []line{title, nil}
	for _, row := range []struct {
		label string
		look  ink
		lost  uint64
		count func(sample) uint64
	}{
		{"sender", dim, 0, sentOf},
		{"plain receiver", green, v.tallies[plain].lost(), receivedOf(plain)},
		{"held by ssmd", green, v.tallies[held].lost(), receivedOf(held)},
	} {
		lost := ""
		if row.lost > 0 {
			lost = " lost " + thousands(row.lost)
		}
		now := rate(a, row.count)
		top, bottom := a.bars(g, row.look, row.count)
		all = append(all,
			append(line{{pad(row.label, labelWidth), bold}}, top...),
			append(line{{now, ""}, {pad(lost, labelWidth-len(now)), lossInk(row.lost)}}, bottom...))
	}
	return append(all, append(line{{pad("eth0, by index", labelWidth), bold}}, a.lives(g)...))
}

// rate is what a count grew by of late, in datagrams a second.
func rate(a axis, count func(sample) uint64) string {
	const of = 400 * time.Millisecond
	from := max(0, a.view.elapsed-of)
	if a.view.elapsed == from {
		return "0/s"
	}
	return fmt.Sprintf("%.0f/s", a.between(from, a.view.elapsed, count)/(a.view.elapsed-from).Seconds())
}

// lossInk is red where more is lost than what falls into a reattachment.
func lossInk(lost uint64) ink {
	const several = 100
	if lost > several {
		return red
	}
	return ""
}

// nowLines says in two lines what is being done.
func nowLines(v view, g glyphs, columns int) []line {
	lines := make([]line, 2)
	mark := g.now
	for i, text := range wrap(v.now, columns-2) {
		if i < len(lines) {
			lines[i] = line{{mark + " ", yellow}, {text, bold}}
		}
		mark = " "
	}
	return lines
}

// logLines returns as many of the last entries as fit into so many lines, or
// what fits of the last one.
func logLines(log []entry, columns, most int) []line {
	var all []line
	for _, e := range slices.Backward(log) {
		if e.kind == kindStep || e.kind == kindTraffic {
			continue
		}
		lines := entryLines(e, columns)
		if len(all)+len(lines) > most {
			if len(all) == 0 {
				all = lines[:most]
			}
			break
		}
		all = append(lines, all...)
	}
	return all
}

const (
	timeWidth = 7
	kindWidth = 10
)

// entryLines writes an entry, its text in a column of its own where there is
// room for one.
func entryLines(e entry, columns int) []line {
	const margin = timeWidth + 2 + kindWidth + 2
	indent := margin
	if columns < wideEnough {
		indent = timeWidth + 2
	}
	head := line{{stamp(e.at), dim}, {"  " + pad(string(e.kind), kindWidth) + "  ", entryInk(e.kind)}}
	text := wrap(e.text, columns-indent)
	var all []line
	if indent == margin {
		all, text = append(all, append(head, piece{text[0], ""})), text[1:]
	} else {
		all = append(all, head)
	}
	for _, t := range text {
		all = append(all, line{{spaces(indent), ""}, {t, ""}})
	}
	return all
}

func entryInk(k kind) ink {
	switch k {
	case kindAttached, kindRejoined, kindHeard:
		return green
	case kindRefused:
		return yellow
	case kindStep:
		return bold
	case kindTraffic:
		return dim
	}
	return red
}

// stamp writes a time since the beginning.
func stamp(at time.Duration) string { return fmt.Sprintf("%*.2f s", timeWidth-2, at.Seconds()) }
