package config

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

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
		"interface": interfaceKeys().known, "reattach": reattachKeys().known, "limit": limitKeys().known, "reannounce": reannounceKeys().known, "hooks": hookKeys().known, "monitor": monitorKeys().known,
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
		if k.Below != nil || checked[k.Name] != nil && k.Name != "name" && k.Flag == "" {
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
