package config

import (
	"bytes"
	"encoding/json"
	"maps"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
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
	`is the name of another membership`:                            "compares memberships",
	`is not source-specific`:                                       "allow_any_range may be inherited",
	`is not a (unicast|multicast) address`:                         "addresses are only known by their form",
	`is (an )?IPv4 (address|prefix) in`:                            "addresses are only known by their form",
	`is not an IP address|is not a prefix`:                         "addresses are only known by their form",
	`has bits set behind its length|runs backwards`:                "addresses are only known by their form",
	`of different families|is not of the family`:                   "compares values",
	`more than \d+ (channels|patterns)|aliases repeat`:             "counts over all memberships",
	`given with policy|missing with policy same`:                   "the policy may be inherited",
	`limit\.(count|per): (missing|0, want more)`:                   "the other key may be inherited",
	`want less than within`:                                        "compares values",
	`want at least 1s|is negative|is no time`:                      "times are only known by their form",
	`of the expression|, want a comparison`:                        "expressions are another language",
	`pattern .* is malformed|a set or an escape in it has no end`:  "patterns are another language",
	`given twice, first on line`:                                   "editors' YAML tells it",
	`is a tag to YAML|a value with the tag|a key is`:               "a schema sees no tags",
	`is a date to YAML|is YAML's null|is a merge key to YAML`:      "a schema sees no tags",
	`is not a plain decimal number|is a decimal number|is no mode`: "a schema sees numbers, not their digits",
	`has a character that cannot be printed`:                       "characters are not looked at",
	`nothing tells of the end of what is in /proc|zero byte`:       "paths are only known by their form",
	`names no host|has no port|is no address to listen on`:         "addresses are only known by their form",
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
		"control: {group: 5}", "http: {listen: localhost}", "http: {listen: 9781}", "state_dir: state", "audit: 5", "audit: 1x", "include: [5]",
		"include: ''", "defaults: {name: a}", "defaults: {require: [power]}", "memberships: {}", "pace: {}",
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

// paths calls f for every key and all below it.
func paths(keys []Key, above string, f func(path string, k Key)) {
	for _, k := range keys {
		path := strings.TrimPrefix(above+"."+k.Name, ".")
		f(path, k)
		paths(k.Below, path, f)
	}
}

// Every key that is read is documented, as is every one in the schema, and
// nothing else is.
func TestKeysAreThoseOfTheCheck(t *testing.T) {
	checked := map[string][]string{
		"": topKeys().known, "memberships": membershipKeys().known, "defaults": defaultKeys().known,
		"interface": interfaceKeys().known, "reattach": reattachKeys().known, "limit": limitKeys().known, "reannounce": reannounceKeys().known,
	}
	for _, s := range settings() {
		if s.section != "" {
			checked[s.section] = append(checked[s.section], s.key)
		}
	}
	manual, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	compare := func(path string, below []Key) {
		name := path[strings.LastIndex(path, ".")+1:]
		if diff := cmp.Diff(checked[name], keyNames(below)); diff != "" {
			t.Errorf("%q (-checked +documented):\n%s", path, diff)
		}
	}
	compare("", Keys())
	paths(Keys(), "", func(path string, k Key) {
		if k.Below != nil || checked[k.Name] != nil && k.Name != "name" {
			compare(path, k.Below)
		}
		if !strings.HasSuffix(k.Doc, ".") || k.Values == "" || k.form.schema == nil {
			t.Errorf("%s is not documented: %+v", path, k)
		}
		if !regexp.MustCompile("[`{. ]" + k.Name + "[`:.]").Match(manual) {
			t.Errorf("%s is not in docs/configuration.md", path)
		}
	})
	var whole map[string]any
	if err := json.Unmarshal(Schema(), &whole); err != nil {
		t.Fatal(err)
	}
	inSchema(t, "", whole, Keys())
}

// inSchema holds that a schema has the properties that keys are, all the way
// down, each with its documentation.
func inSchema(t *testing.T, path string, schema map[string]any, keys []Key) {
	t.Helper()
	properties := propertiesOf(schema)
	if diff := cmp.Diff(slices.Sorted(slices.Values(keyNames(keys))), slices.Sorted(maps.Keys(properties))); diff != "" {
		t.Errorf("%q (-keys +schema):\n%s", path, diff)
		return
	}
	for _, k := range keys {
		property := properties[k.Name].(map[string]any)
		if property["description"] != k.Doc {
			t.Errorf("%s.%s: %v", path, k.Name, property["description"])
		}
		if k.Below != nil {
			inSchema(t, path+"."+k.Name, property, k.Below)
		}
	}
}

// propertiesOf finds the properties of a mapping, also where it stands in a
// list or beside something else.
func propertiesOf(schema map[string]any) map[string]any {
	if items, ok := schema["items"].(map[string]any); ok {
		schema = items
	}
	if properties, ok := schema["properties"].(map[string]any); ok {
		return properties
	}
	options, _ := schema["anyOf"].([]any)
	for _, o := range options {
		if properties, ok := o.(map[string]any)["properties"].(map[string]any); ok {
			return properties
		}
	}
	return nil
}

// A default that is written down changes nothing.
func TestKeysDefault(t *testing.T) {
	without, err := Parse("f", []byte("memberships: [{name: a, channels: 10.0.0.1@232.1.1.1, interface: eth0}]"))
	if err != nil {
		t.Fatal(err)
	}
	defaults := 0
	paths(Keys(), "", func(path string, k Key) {
		if k.Default == "" {
			return
		}
		defaults++
		steps := strings.Split(path, ".")
		text := k.Default
		for _, step := range slices.Backward(steps[1:]) {
			text = "{" + step + ": " + text + "}"
		}
		switch steps[0] {
		case "memberships":
			text = "memberships: [{name: a, channels: 10.0.0.1@232.1.1.1, interface: eth0, " + text[1:] + "]"
		default:
			text = steps[0] + ": " + text + "\nmemberships: [{name: a, channels: 10.0.0.1@232.1.1.1, interface: eth0}]"
		}
		c, err := Parse("f", []byte(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			return
		}
		agrees(t, text, err)
		if diff := cmp.Diff(without, c, exact); diff != "" {
			t.Errorf("%s is no default: -without +with:\n%s", text, diff)
		}
	})
	if defaults < 30 {
		t.Errorf("only %d keys have a default", defaults)
	}
}
