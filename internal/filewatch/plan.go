package filewatch

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// Set is what to watch. Relative names begin in the working directory.
type Set struct {
	Files    []string // names that need not be there
	Patterns []string // of Expand
}

// Equal reports whether two sets are the same.
func (s Set) Equal(o Set) bool {
	return slices.Equal(s.Files, o.Files) && slices.Equal(s.Patterns, o.Patterns)
}

// interest is what of a directory matters.
type interest struct {
	names    map[string]bool
	patterns map[string]bool
	content  bool // not only which names there are and what they lead to
}

func (i *interest) in(name string) bool {
	if i.names[name] {
		return true
	}
	for p := range i.patterns {
		if matches(p, name) {
			return true
		}
	}
	return false
}

// plan holds, by directory, what decides what the names of a set lead to. The
// directories are absolute and without links.
type plan map[string]*interest

func (p plan) equal(o plan) bool {
	return maps.EqualFunc(p, o, func(a, b *interest) bool {
		return a.content == b.content && maps.Equal(a.names, b.names) && maps.Equal(a.patterns, b.patterns)
	})
}

func (p plan) of(dir string) *interest {
	i := p[dir]
	if i == nil {
		i = &interest{names: make(map[string]bool), patterns: make(map[string]bool)}
		p[dir] = i
	}
	return i
}

// newPlan looks where the names of a set lead now.
func newPlan(s Set) (plan, error) {
	p := make(plan)
	for _, file := range s.Files {
		absolute, err := filepath.Abs(file)
		if err != nil {
			return nil, err
		}
		p.follow("/", literal(absolute), 0)
	}
	for _, pattern := range s.Patterns {
		elements := make([]element, 0, 8)
		if !filepath.IsAbs(pattern) {
			here, err := os.Getwd()
			if err != nil {
				return nil, err
			}
			elements = literal(here)
		}
		for _, text := range split(pattern) {
			elements = append(elements, element{text, IsPattern(text)})
		}
		p.follow("/", elements, 0)
	}
	return p, nil
}

// element is a step of a path.
type element struct {
	text    string
	pattern bool
}

func literal(path string) []element {
	var all []element
	for _, text := range split(path) {
		all = append(all, element{text: text})
	}
	return all
}

// mostLinks is how many links one name may lead over, as the kernel has it.
const mostLinks = 40

// follow walks from a directory, step by step, as far as there is anything.
func (p plan) follow(dir string, rest []element, links int) {
	for len(rest) > 0 {
		step := rest[0]
		rest = rest[1:]
		switch {
		case step.text == ".":
			continue
		case step.text == "..":
			dir = filepath.Dir(dir) // dir has no links
			continue
		}
		here := p.of(dir)
		here.content = here.content || len(rest) == 0
		if step.pattern {
			here.patterns[step.text] = true
			names, _ := namesIn(dir, step.text) // Expand tells the error
			for _, name := range names {
				p.follow(dir, append([]element{{text: name}}, rest...), links)
			}
			return
		}
		here.names[step.text] = true
		path := filepath.Join(dir, step.text)
		info, err := os.Lstat(path)
		switch {
		case err != nil:
			return
		case info.IsDir():
			dir = path
		case info.Mode()&os.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if links++; err != nil || links > mostLinks {
				return
			}
			if filepath.IsAbs(target) {
				dir = "/"
			}
			rest = append(literal(target), rest...)
		default:
			return
		}
	}
}
