package config

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/ssmd-project/ssmd/internal/text"
)

// The bounds of one configuration. Aliases and ranges would otherwise make a small file
// take any amount of time and memory.
const (
	maxErrors   = 1000
	maxChannels = 1_000_000
	maxPatterns = 1_000_000
	aliasVisits = 1_000_000
)

// reader walks the nodes of one file, and then those of what that includes,
// and collects what is wrong.
type reader struct {
	file    string
	before  Errors // of files that are read, in order
	errs    Errors // of this one
	stopped bool   // too much is wrong to go on

	includes []include
	base     wish            // what memberships of the main file inherit
	lines    []int           // on which these begin
	names    map[string]spot // of all memberships
	monitors map[string]Monitor

	visits   int    // keys and elements that may still be looked at
	channels uint64 // of all memberships
	patterns int    // of all memberships' selectors, inherited ones too
	whens    map[string]compiled

	membershipKeys, defaultKeys, reattachKeys, interfaceKeys keys
}

func newReader(file string, size int) *reader {
	return &reader{
		file: file,
		// A node is at least a byte, but for the empty values of keys.
		visits:         2*size + aliasVisits,
		names:          make(map[string]spot),
		whens:          make(map[string]compiled),
		membershipKeys: membershipKeys(),
		defaultKeys:    defaultKeys(),
		reattachKeys:   reattachKeys(),
		interfaceKeys:  interfaceKeys(),
	}
}

// fail records an error at a node.
func (r *reader) fail(n *yaml.Node, at *place, format string, args ...any) {
	if r.stopped {
		return
	}
	r.errs = append(r.errs, Error{
		File: r.file, Line: n.Line, Column: n.Column,
		Path: at.String(), Message: fmt.Sprintf(format, args...),
	})
	r.stopped = len(r.before)+len(r.errs) >= maxErrors
}

// visit counts the contents of a list or a mapping against the bound.
func (r *reader) visit(n *yaml.Node, at *place) bool {
	r.visits -= len(n.Content)
	if r.visits < 0 && !r.stopped {
		r.fail(n, at, "aliases repeat more than %d values, want fewer", aliasVisits)
		r.stopped = true
	}
	return !r.stopped
}

// deref returns the node that an alias stands for.
func deref(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// keys are what a mapping may hold.
type keys struct {
	known   []string
	refused map[string]string // what to say of a key that is known elsewhere
}

func (k keys) refuse(message string, names ...string) keys {
	if k.refused == nil {
		k.refused = make(map[string]string)
	}
	for _, name := range names {
		k.refused[name] = message
	}
	return k
}

// fields are the values of a mapping by their keys.
type fields map[string]field

type field struct{ key, value *yaml.Node }

// mapping returns the values of a mapping, which are only those of known keys.
// Whatever else it holds is an error.
func (r *reader) mapping(n *yaml.Node, at *place, k keys, want string) (fields, bool) {
	n = deref(n)
	if n.Kind != yaml.MappingNode || n.Tag != "!!map" {
		r.fail(n, at, "%s, want %s", describe(n), want)
		return nil, false
	}
	if !r.visit(n, at) {
		return nil, false
	}
	f := make(fields, min(len(n.Content)/2, len(k.known)))
	firsts := make(map[string]int, len(f)) // of refused keys too, which may repeat
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := deref(n.Content[i])
		if key.Kind != yaml.ScalarNode {
			r.fail(n.Content[i], at, "a key is %s, want one of %s", describe(key), strings.Join(k.known, ", "))
			continue
		}
		if line, ok := firsts[key.Value]; ok {
			r.fail(n.Content[i], at.at(key.Value), "given twice, first on line %d, want it once", line)
			continue
		}
		firsts[key.Value] = n.Content[i].Line
		if r.admit(n.Content[i], key, at, k) {
			f[key.Value] = field{n.Content[i], n.Content[i+1]}
		}
	}
	return f, true
}

// admit reports whether a key is known; if it is not, that is an error.
func (r *reader) admit(n, key *yaml.Node, at *place, k keys) bool {
	for _, known := range k.known {
		if key.Value == known {
			return true
		}
	}
	switch message, ok := k.refused[key.Value]; {
	case ok:
		r.fail(n, at.at(key.Value), "%s", message)
	case key.Tag == "!!merge":
		r.fail(n, at.at(key.Value), "merge keys are not supported, want the keys themselves, or shared ones under defaults")
	default:
		r.fail(n, at.at(key.Value), "unknown key%s", hint(key.Value, k.known))
	}
	return false
}

// hint proposes the near word, or names all.
func hint(word string, words []string) string {
	if near := didYouMean(word, words); near != "" {
		return near
	}
	return ", want one of " + strings.Join(words, ", ")
}

// each calls read for every element of a list; a scalar stands for a list of
// one. It returns how many there were. The place is only good during the call.
func (r *reader) each(n *yaml.Node, at *place, read func(n *yaml.Node, at *place)) int {
	n = deref(n)
	if n.Kind != yaml.SequenceNode || n.Tag != "!!seq" {
		read(n, at)
		return 1
	}
	if !r.visit(n, at) {
		return 0
	}
	here := at.element(0, "")
	for i, element := range n.Content {
		if r.stopped {
			break
		}
		here.index = i
		read(deref(element), here)
	}
	return len(n.Content)
}

// describe says what a node is, for people who do not think of tags.
func describe(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.ScalarNode && strings.HasPrefix(n.Tag, "!") && !strings.HasPrefix(n.Tag, "!!"):
		return n.Tag + " is a tag to YAML"
	case n.Kind == yaml.SequenceNode && n.Tag == "!!seq":
		return "a list"
	case n.Kind == yaml.MappingNode && n.Tag == "!!map":
		return "a mapping"
	case n.Kind != yaml.ScalarNode:
		return "a value with the tag " + quote(n.Tag)
	case n.Tag == "!!null" && n.Value == "":
		return "no value"
	case n.Tag == "!!str":
		return quote(n.Value) + " is a string"
	}
	if what := scalarName(n.Tag); what != "" {
		return shorten(n.Value) + " is " + what
	}
	return "a value with the tag " + quote(n.Tag)
}

func scalarName(tag string) string {
	switch tag {
	case "!!int", "!!float":
		return "a number to YAML"
	case "!!bool":
		return "a truth value to YAML"
	case "!!null":
		return "YAML's null"
	case "!!timestamp":
		return "a date to YAML"
	case "!!merge":
		return "a merge key to YAML"
	}
	return ""
}

func shorten(value string) string {
	if len(value) > maxShown || !text.Printable(value) {
		return quote(value)
	}
	return value
}
