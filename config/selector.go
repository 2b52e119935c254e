package config

import (
	"go.yaml.in/yaml/v3"

	"github.com/ssmd-project/ssmd/reattach"
)

func interfaceKeys() keys { return keys{known: keyNames(attributeKeyList())} }

// selector reads interface: a name, or attributes with their patterns. It
// returns how many patterns there are, none where something is wrong.
func (r *reader) selector(n *yaml.Node, at *place) (reattach.Selector, int) {
	n = deref(n)
	var s reattach.Selector
	if n.Kind != yaml.MappingNode {
		if n.Kind == yaml.SequenceNode {
			r.fail(n, at, "a list, want a name, or attributes, for example {name: [eth0, eth1]}")
			return s, 0
		}
		patterns := r.patternsOf(n, at, reattach.Name)
		return s, r.set(&s, reattach.Name, patterns)
	}
	f, ok := r.mapping(n, at, r.interfaceKeys, "a name, or attributes")
	if !ok {
		return s, 0
	}
	if len(n.Content) == 0 {
		r.fail(n, at, `selects every interface, want at least one attribute; {name: "*"} says so on purpose`)
	}
	count := 0
	for _, a := range reattach.Attributes() {
		if v, ok := f[string(a)]; ok {
			count += r.set(&s, a, r.patternsOf(v.value, at.at(string(a)), a))
		}
	}
	return s, count
}

// patternsOf reads the patterns of one attribute; those that are wrong are
// left out.
func (r *reader) patternsOf(n *yaml.Node, at *place, a reattach.Attribute) []string {
	numeric := a == reattach.VLANID || a == reattach.LinkGroup
	want := `a pattern, for example "eth*"`
	switch {
	case a == reattach.Subnet:
		want = "a prefix, for example 10.1.0.0/16"
	case numeric:
		want = "a number"
	}
	var patterns []string
	count := r.each(n, at, func(n *yaml.Node, at *place) {
		text, ok := r.pattern(n, at, numeric, want)
		if !ok {
			return
		}
		var probe reattach.Selector
		if err := probe.Set(a, []string{text}); err != nil {
			r.fail(n, at, "%v", err)
			return
		}
		patterns = append(patterns, text)
	})
	if count == 0 && !r.stopped {
		r.fail(deref(n), at, "an empty list, want %s", want)
	}
	return patterns
}

func (r *reader) set(s *reattach.Selector, a reattach.Attribute, patterns []string) int {
	if len(patterns) == 0 || s.Set(a, patterns) != nil {
		return 0
	}
	return len(patterns)
}

// countPatterns bounds what memberships inherit from a long default.
func (r *reader) countPatterns(n *yaml.Node, at *place, count int) {
	before := r.patterns
	r.patterns += count
	if r.patterns > maxPatterns && before <= maxPatterns {
		r.fail(n, at.at("interface"), "more than %d patterns in all memberships together, want fewer", maxPatterns)
	}
}
