package config

import (
	"bytes"
	"hash/maphash"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/ssmd-project/ssmd/membership"
)

// reading is a file without includes that was found good, with what it came to.
// When it is read again, only those elements of memberships are decoded and
// checked whose text is another. Whatever is not as plain as that, or not good,
// is left to a whole reading, which finds every error and its line.
type reading struct {
	sums     sums
	config   Packed // before flags and variables
	base     wish   // what memberships inherit
	channels uint64 // at least as many as were counted
	patterns int    // likewise
}

// newReading returns nil where it is of no use.
func newReading(data []byte, c Packed, r *reader) *reading {
	l, ok := listIn(data)
	if !ok || !l.isOf(r.lines, data, 0) || len(r.includes) > 0 {
		return nil
	}
	return &reading{sums: l.sums(data), config: c, base: r.base, channels: r.channels, patterns: r.patterns}
}

// sums tell a text with a list from others.
type sums struct {
	around   uint64 // of what is before and after the elements
	elements []uint64
}

// seed is another one in each process: nobody can aim at the sum of another text.
var seed = maphash.MakeSeed()

func (l list) sums(data []byte) sums {
	s := sums{elements: make([]uint64, len(l.begins))}
	for i := range l.begins {
		s.elements[i] = maphash.Bytes(seed, l.text(data, i, i+1))
	}
	var around maphash.Hash
	around.SetSeed(seed)
	before := data[:l.begins[0]]
	maphash.WriteComparable(&around, len(before))
	_, _ = around.Write(before)       // never fails
	_, _ = around.Write(data[l.end:]) // likewise
	s.around = around.Sum64()
	return s
}

// list is where the elements of memberships stand in a text.
type list struct {
	begins []int // each with its own line, the first to the last
	end    int
}

// text returns that of elements from one up to another.
func (l list) text(data []byte, from, to int) []byte {
	if from == to {
		return nil
	}
	return data[l.begins[from]:l.part(from, to).end]
}

// isOf reports whether the list is that of elements which begin on these lines of
// a text, counted from 1 at an offset: what looks like an element may stand in
// quotes, and what looks like the end may not be it.
func (l list) isOf(lines []int, data []byte, from int) bool {
	if len(lines) != len(l.begins) {
		return false
	}
	line := 1
	for i, begin := range l.begins {
		line += bytes.Count(data[from:begin], []byte("\n"))
		from = begin
		next := l.end
		if i+1 < len(l.begins) {
			next = l.begins[i+1]
		}
		if lines[i] < line || lines[i] >= line+max(1, bytes.Count(data[begin:next], []byte("\n"))) {
			return false
		}
	}
	return true
}

// listIn finds the list in block style, and nothing where another notation of
// YAML could give its elements a meaning beyond their text: anchors, directives
// and further documents, or where its lines are others than ours.
func listIn(data []byte) (list, bool) {
	for _, mark := range []string{"&", "\n---", "\n...", "\n%", "\u0085", "\u2028", "\u2029", "\ufeff"} {
		if bytes.Contains(data, []byte(mark)) {
			return list{}, false
		}
	}
	if bytes.HasPrefix(data, []byte("%")) || bytes.Count(data, []byte("\r")) != bytes.Count(data, []byte("\r\n")) {
		return list{}, false
	}
	at := 0
	for line := range bytes.Lines(data) {
		at += len(line)
		if rest, ok := bytes.CutPrefix(line, []byte("memberships:")); ok && isBlank(rest) {
			return elementsFrom(data, at)
		}
	}
	return list{}, false
}

// isBlank reports whether a line has nothing but a comment.
func isBlank(line []byte) bool {
	line = bytes.TrimLeft(line, " \t\r\n")
	return len(line) == 0 || line[0] == '#'
}

// elementsFrom finds the elements up to a line that is indented less.
func elementsFrom(data []byte, at int) (list, bool) {
	l := list{end: len(data)}
	indent := -1
	for line := range bytes.Lines(data[at:]) {
		begin := at
		at += len(line)
		if isBlank(line) {
			continue
		}
		text := bytes.TrimLeft(line, " ")
		column := len(line) - len(text)
		isElement := text[0] == '-' && bytes.ContainsAny(text[1:min(2, len(text))], " \r\n")
		switch {
		case isElement && (indent < 0 || column == indent):
			indent = column
			l.begins = append(l.begins, begin)
		case indent < 0:
			return list{}, false
		case column < indent || column == 0:
			l.end = begin
			return l, true
		}
	}
	return l, len(l.begins) > 0
}

// again returns what the file comes to now, false where it has to be read as a
// whole.
func (old *reading) again(file string, data []byte) (*reading, bool) {
	l, ok := listIn(data)
	if !ok {
		return nil, false
	}
	now := l.sums(data)
	if now.around != old.sums.around {
		return nil, false
	}
	n, m := len(now.elements), len(old.sums.elements)
	head := 0
	for head < min(n, m) && now.elements[head] == old.sums.elements[head] {
		head++
	}
	tail := 0
	for tail < min(n, m)-head && now.elements[n-tail-1] == old.sums.elements[m-tail-1] {
		tail++
	}
	r := newReader(file, len(data))
	r.channels, r.patterns = old.channels, old.patterns
	was := old.config.packed
	fresh := make([]membership.Membership, 0, n-tail-head)
	for from := head; from < n-tail; from += piece {
		to := min(from+piece, n-tail)
		if fresh, ok = r.elements(l.part(from, to), data, old.base, fresh); !ok {
			return nil, false
		}
	}
	next := &reading{sums: now, config: old.config, base: old.base, channels: r.channels, patterns: r.patterns}
	next.config.File = file
	next.config.packed = slices.Concat(was[:head], pack(fresh), was[m-tail:]).share().compact()
	next.config.Monitors = next.config.packed.monitors(head, n-tail, old.config.Monitors, r.monitors)
	return next, !next.config.packed.hasNameTwice()
}

// piece is how many elements are decoded at once: the nodes of YAML take some
// twenty times the memory of what they come to.
const piece = 256

// part is the list from one element up to another.
func (l list) part(from, to int) list {
	end := l.end
	if to < len(l.begins) {
		end = l.begins[to]
	}
	return list{l.begins[from:to], end}
}

// elements appends those of a list, read on their own, and reports whether all is
// good.
func (r *reader) elements(l list, data []byte, base wish, all []membership.Membership) ([]membership.Membership, bool) {
	begin := l.begins[0]
	root, err := document(r.file, data[begin:l.end])
	if err != nil || root == nil || root.Kind != yaml.SequenceNode || !l.isOf(linesOf(root), data, begin) {
		return nil, false
	}
	before := len(all)
	all = r.memberships(root, nil, base, all)
	return all, len(r.errs) == 0 && len(all) == before+len(l.begins)
}

// linesOf are those on which the elements of a list begin.
func linesOf(n *yaml.Node) []int {
	lines := make([]int, len(n.Content))
	for i, element := range n.Content {
		lines[i] = element.Line
	}
	return lines
}

// inPieces reads a long file as if all elements but the first were new.
func inPieces(file string, data []byte, g *gatherer) (*reading, bool) {
	l, ok := listIn(data)
	if !ok || len(l.begins) <= piece {
		return nil, false
	}
	short := slices.Concat(data[:l.begins[0]], l.text(data, 0, 1), data[l.end:])
	small := newGatherer() // nothing of it is told
	small.main = g.main
	if _, err := parse(file, short, small); err != nil || small.sources.reading == nil {
		return nil, false
	}
	return small.sources.reading.again(file, data)
}

func (p packed) hasNameTwice() bool {
	names := make(map[string]struct{}, len(p))
	for i := range p {
		names[p[i].name] = struct{}{}
	}
	return len(names) < len(p)
}
