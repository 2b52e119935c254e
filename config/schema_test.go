package config

import (
	"bytes"
	"math"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// compiledSchema is the schema, as a validator of another make takes it.
var compiledSchema = sync.OnceValues(func() (*jsonschema.Schema, error) {
	whole, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		return nil, err
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource(SchemaID, whole); err != nil {
		return nil, err
	}
	return compiler.Compile(SchemaID)
})

// bySchema judges a file as an editor does. What is not readable as one
// document of JSON's values is not for a schema to judge.
func bySchema(t *testing.T, text string) (verdict error, readable bool) {
	t.Helper()
	schema, err := compiledSchema()
	if err != nil {
		t.Fatal(err)
	}
	root, err := document("f", []byte(text))
	if err != nil {
		return nil, false
	}
	v := values{left: 100_000}
	value := v.of(root)
	if v.left < 0 {
		return nil, false
	}
	return schema.Validate(value), true
}

// values turns nodes into JSON's values, a bounded number of them: aliases may
// go in circles.
type values struct{ left int }

func (v *values) of(n *yaml.Node) any {
	v.left--
	if n == nil || v.left < 0 {
		return nil
	}
	switch n = deref(n); n.Kind {
	case yaml.SequenceNode:
		list := make([]any, 0, len(n.Content))
		for _, element := range n.Content {
			list = append(list, v.of(element))
		}
		return list
	case yaml.MappingNode:
		mapping := make(map[string]any)
		for i := 0; i+1 < len(n.Content); i += 2 {
			mapping[deref(n.Content[i]).Value] = v.of(n.Content[i+1])
		}
		return mapping
	}
	return scalar(n)
}

// scalar reads what YAML 1.2 has: dates are strings there, and so is what has
// a tag of one's own.
func scalar(n *yaml.Node) any {
	var value any
	switch n.Tag {
	case "!!null":
		return nil
	case "!!int", "!!float", "!!bool":
		if n.Decode(&value) != nil {
			return n.Value
		}
	}
	switch v := value.(type) {
	case bool, int, int64, uint64:
		return v
	case float64:
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			return v
		}
	}
	return n.Value
}

// beyondSchema are the errors of which a schema knows nothing, by their words.
var beyondSchema = map[string]string{
	`is the name of another membership`:                                    "compares memberships",
	`is not source-specific`:                                               "allow_any_range may be inherited",
	`is not a (unicast|multicast) address`:                                 "addresses are only known by their form",
	`is (an )?IPv4 (address|prefix) in`:                                    "addresses are only known by their form",
	`is not an IP address|is not a prefix`:                                 "addresses are only known by their form",
	`has bits set behind its length|runs backwards`:                        "addresses are only known by their form",
	`of different families|is not of the family`:                           "compares values",
	`more than \d+ (channels|patterns)|aliases repeat`:                     "counts over all memberships",
	`given with policy|missing with policy same`:                           "the policy may be inherited",
	`limit\.(count|per): (missing|0, want more)`:                           "the other key may be inherited",
	`want less than within`:                                                "compares values",
	`monitor\.port: missing|given without monitor`:                         "the port may be inherited",
	`want at least 1s|want at least 10ms|is negative|is no time`:           "times are only known by their form",
	`of the expression|, want a comparison`:                                "expressions are another language",
	`pattern .* is malformed|a set or an escape in it has no end`:          "patterns are another language",
	`given twice, first on line`:                                           "editors' YAML tells it",
	`is a tag to YAML|a value with the tag|a key is`:                       "a schema sees no tags",
	`is a date to YAML|is YAML's null|is a merge key to YAML`:              "a schema sees no tags",
	`is not a plain decimal number|is a decimal number|is no mode`:         "a schema sees numbers, not their digits",
	`has a character that cannot be printed`:                               "characters are not looked at",
	`nothing tells of the end of what is in /proc|is no network namespace`: "paths are only known by their form",
	`no absolute path, want for example /usr|no time that a hook may`:      "paths and times are only known by their form",
	`names no host|has no port|is no address to listen on`:                 "addresses are only known by their form",
	`bytes long`: "a schema counts characters, not bytes",
}

func isBeyondSchema(message string) bool {
	for pattern := range beyondSchema {
		if regexp.MustCompile(pattern).MatchString(message) {
			return true
		}
	}
	return false
}

// agrees holds the schema's verdict on a file against that of Parse.
func agrees(t *testing.T, text string, err error) {
	t.Helper()
	verdict, readable := bySchema(t, text)
	switch {
	case !readable:
	case err == nil && verdict != nil:
		t.Errorf("the schema refuses what is good:\n%s\n%v", text, verdict)
	case err != nil && verdict == nil:
		for line := range strings.Lines(err.Error()) {
			if !isBeyondSchema(line) {
				t.Errorf("the schema accepts:\n%s\nthough %s", text, line)
			}
		}
	}
}

// Every file of the tables that is wrong is judged alike. The good ones are
// where they are read.
func TestSchemaAgreesOnBadFiles(t *testing.T) {
	texts := []string{manyErrors}
	for _, tt := range badMembership {
		texts = append(texts, one(tt.keys))
	}
	for _, tt := range badFiles {
		texts = append(texts, tt.text)
	}
	refused := 0
	for _, text := range texts {
		_, err := Parse("f", []byte(text))
		if err == nil {
			t.Errorf("good: %s", text)
		}
		agrees(t, text, err)
		if verdict, readable := bySchema(t, text); readable && verdict != nil {
			refused++
		}
	}
	if refused < len(texts)/3 {
		t.Errorf("of %d bad files the schema refuses %d: it says next to nothing", len(texts), refused)
	}
}

// What an error of one value is, the schema says too, at each key.
func TestSchemaRefuses(t *testing.T) {
	const good = "memberships: [{name: a, channels: 10.0.0.1@232.1.1.1, interface: eth0"
	for _, text := range []string{
		"log: {level: loud}", "log: {level: }", "log: []", "control: {mode: '4755'}", "control: {mode: 66a}", "control: {socket: '@x'}",
		"control: {group: 5}", "handoff: {socket: '@x'}", "handoff: {limit: 0}", "handoff: {limit: '5'}", "handoff: {mode: 66a}", "handoff: {path: /x}", "http: {listen: localhost}", "http: {listen: 9781}", "state_dir: state", "audit: 5", "audit: 1x", "include: [5]",
		"include: ''", "defaults: {name: a}", "defaults: {require: [power]}", "memberships: {}", "pace: {joins_per_second: -1}", "pace: {joins_per_second: '5'}", "pace: {joins: 5}",
		"memberships: [{channels: 10.0.0.1@232.1.1.1, interface: eth0}]",
		"memberships: [{name: a, interface: eth0}]", "memberships: [{name: a, channels: 10.0.0.1@232.1.1.1}]",
		"memberships: [{name: ..., channels: 10.0.0.1@232.1.1.1, interface: eth0}]",
		"memberships: [{name: a, groups: 232.1.1.1, interface: eth0}]", "memberships: [{name: a, channels: '10.0.0.1@ff3e::1', interface: eth0}]",
		good + ", sources: 10.0.0.1}]", good + ", interfaces: eth0}]", good + ", allow_any_range: 'true'}]", good + ", attach: two}]",
		good + ", ambiguous: any}]", good + ", netns: a/b}]", good + ", require: [up, up]}]", good + ", on_change: stay}]",
		good + ", reattach: {policy: sane}}]", good + ", reattach: {same: []}}]", good + ", reattach: {settle: 5}}]", good + ", reattach: {within: 1}}]",
		good + ", reattach: {limit: 5}}]", good + ", reattach: {limit: {count: 1001}}}]", good + ", reattach: {when: true}}]",
		good + ", reannounce: {carrier: 1}}]", good + ", reannounce: {every: soon}}]",
		strings.Replace(good, "eth0", "{}}]", 1), strings.Replace(good, "eth0", "{vlan_id: -1}}]", 1), strings.Replace(good, "eth0", "{mac: []}}]", 1),
		strings.Replace(good, "eth0", "{subnet: 10.1.0.1}}]", 1), strings.Replace(good, "eth0", "{nam: x}}]", 1), strings.Replace(good, "eth0", "'!'}]", 1),
	} {
		if _, err := Parse("f", []byte(text)); err == nil {
			t.Errorf("%s: Parse accepts it", text)
		}
		if verdict, readable := bySchema(t, text); readable && verdict == nil {
			t.Errorf("%s: the schema accepts it", text)
		}
	}
}
