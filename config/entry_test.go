package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseEntry(t *testing.T) {
	const entry = `{"channels": "10.0.0.1@232.1.1.1", "interface": {"kind": "veth"}}`
	got, err := ParseEntry("f", "a", []byte(entry))
	if err != nil {
		t.Fatal(err)
	}
	c, err := Parse("f", []byte("memberships: ["+strings.Replace(entry, "{", `{"name": "a", `, 1)+"]"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(c.Memberships[0], got, exact); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for entry, want := range map[string]string{
		"":                       "f: empty, want a membership",
		"- name: a":              "f:1:1: a list, want a mapping, as \"name:\"",
		"{name: a, nam: 1":       "f:1: ",
		"name: a\ninterface: x":  "f:1:1: channels: ",
		"{name: a, wrong: true}": "f:1:1: interface: missing",
		"{name: a, interface: x, groups: 232.1.1.1, sources: 10.0.0.1, attach: two}": "f:1:71: attach: unknown value \"two\", want one or all",
	} {
		_, err := ParseEntry("f", "", []byte(entry))
		if err == nil || len(err.Error()) < len(want) || err.Error()[:len(want)] != want {
			t.Errorf("%q: %v, want %s", entry, err, want)
		}
	}
}
