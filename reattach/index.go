package reattach

import (
	"iter"
	"slices"
	"strings"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// Hint is what the values of one attribute have to begin with, or to be, for a
// selector to match. It costs a comparison of strings where [Selector.Match]
// costs a verdict. The zero Hint excludes nothing.
type Hint struct {
	attribute Attribute
	starts    []start
}

// start is what is before the first special character of a pattern.
type start struct {
	text  string
	whole bool // there is no special character
}

// hinting are the attributes that tell interfaces apart, the best first.
var hinting = []Attribute{Name, MAC, PermanentMAC, Device, Alias, VLANID, Parent, Master, LinkGroup}

// Hint returns what tells most about which interfaces the selector matches.
func (s Selector) Hint() Hint {
	for _, a := range hinting {
		if starts := s.globs(a).starts(a); len(starts) > 0 {
			return Hint{a, starts}
		}
	}
	return Hint{}
}

// starts returns nothing where the patterns leave open how a value begins.
func (g Globs) starts(a Attribute) []start {
	var all []start
	for _, pattern := range g {
		if strings.HasPrefix(pattern, "!") {
			continue
		}
		if a == MAC || a == PermanentMAC {
			pattern = strings.ToLower(pattern) // as in matchGlob
		}
		s := startOf(pattern)
		if s.text == "" {
			return nil
		}
		all = append(all, s)
	}
	return all
}

func startOf(pattern string) start {
	var text strings.Builder
	for n := 0; n < len(pattern); n++ {
		switch pattern[n] {
		case '*', '?', '[':
			return start{text: text.String()}
		case '\\':
			if n++; n == len(pattern) {
				return start{text: text.String()} // malformed
			}
		}
		text.WriteByte(pattern[n])
	}
	return start{text.String(), true}
}

// Excludes reports whether the selector rejects an interface for sure. Where it
// does not, Match tells.
func (h Hint) Excludes(i *ifwatch.Interface) bool {
	if h.starts == nil {
		return false
	}
	for value := range h.attribute.values(i) {
		if slices.ContainsFunc(h.starts, func(s start) bool { return s.begins(value) }) {
			return false
		}
	}
	return true
}

func (s start) begins(value string) bool {
	if s.whole {
		return value == s.text
	}
	return strings.HasPrefix(value, s.text)
}

// values are those that a pattern may match.
func (a Attribute) values(i *ifwatch.Interface) iter.Seq[string] {
	return func(yield func(string) bool) {
		if v := a.value(i); v != "" && !yield(v) || a != Name {
			return
		}
		for _, v := range i.AltNames {
			if v != "" && !yield(v) {
				return
			}
		}
	}
}

// Index finds those of many selectors that may match an interface, at a cost
// that does not grow with the others. T names a selector. The zero Index is
// empty.
type Index[T comparable] struct {
	open   map[T]struct{} // selectors with the zero Hint
	hinted map[Attribute]*starts[T]
}

// starts has selectors by what a value has to begin with.
type starts[T comparable] struct {
	whole    map[string]map[T]struct{}
	byLength map[int]map[string]map[T]struct{}
}

// Add adds a selector by its hint.
func (x *Index[T]) Add(h Hint, name T) {
	if h.starts == nil {
		if x.open == nil {
			x.open = make(map[T]struct{})
		}
		x.open[name] = struct{}{}
		return
	}
	s := x.hinted[h.attribute]
	if s == nil {
		if x.hinted == nil {
			x.hinted = make(map[Attribute]*starts[T])
		}
		s = &starts[T]{make(map[string]map[T]struct{}), make(map[int]map[string]map[T]struct{})}
		x.hinted[h.attribute] = s
	}
	for _, start := range h.starts {
		s.add(start, name)
	}
}

func (s *starts[T]) add(at start, name T) {
	texts := s.whole
	if !at.whole {
		if texts = s.byLength[len(at.text)]; texts == nil {
			texts = make(map[string]map[T]struct{})
			s.byLength[len(at.text)] = texts
		}
	}
	if texts[at.text] == nil {
		texts[at.text] = make(map[T]struct{}, 1)
	}
	texts[at.text][name] = struct{}{}
}

// Remove takes a selector out, by the hint that it was added with.
func (x *Index[T]) Remove(h Hint, name T) {
	delete(x.open, name)
	s := x.hinted[h.attribute]
	if s == nil {
		return
	}
	for _, start := range h.starts {
		s.remove(start, name)
	}
	if len(s.whole) == 0 && len(s.byLength) == 0 {
		delete(x.hinted, h.attribute)
	}
}

func (s *starts[T]) remove(at start, name T) {
	texts := s.whole
	if !at.whole {
		texts = s.byLength[len(at.text)]
	}
	delete(texts[at.text], name)
	if len(texts[at.text]) == 0 {
		delete(texts, at.text)
	}
	if !at.whole && len(texts) == 0 {
		delete(s.byLength, len(at.text))
	}
}

// Near returns the selectors whose hints do not exclude an interface, some
// perhaps more than once.
func (x *Index[T]) Near(i *ifwatch.Interface) iter.Seq[T] {
	return func(yield func(T) bool) {
		if !yieldAll(x.open, yield) {
			return
		}
		for a, s := range x.hinted {
			for value := range a.values(i) {
				if !s.near(value, yield) {
					return
				}
			}
		}
	}
}

func (s *starts[T]) near(value string, yield func(T) bool) bool {
	if !yieldAll(s.whole[value], yield) {
		return false
	}
	for length, texts := range s.byLength {
		if length <= len(value) && !yieldAll(texts[value[:length]], yield) {
			return false
		}
	}
	return true
}

func yieldAll[T comparable](set map[T]struct{}, yield func(T) bool) bool {
	for v := range set {
		if !yield(v) {
			return false
		}
	}
	return true
}
