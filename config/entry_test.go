package config

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ssmd-project/ssmd/membership"
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
	if diff := cmp.Diff(c.Memberships[0], got.Membership, exact); diff != "" {
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

func TestReannounce(t *testing.T) {
	all := membership.Triggers()
	slices.Sort(all)
	for text, want := range map[string]membership.Reannounce{
		"":                             {On: all},
		"reannounce: ":                 {On: all},
		"reannounce: {carrier: false}": {On: []membership.Trigger{membership.OnAddress, membership.OnNotifyPeers}},
		"reannounce: {carrier: false, address: false, notify_peers: false, every: 5m}": {On: []membership.Trigger{}, Every: 5 * time.Minute},
	} {
		for _, file := range []string{
			"memberships: [{name: a, channels: 10.0.0.1@232.1.1.1, interface: x, " + text + "}]",
			"defaults: {" + text + "}\nmemberships: [{name: a, channels: 10.0.0.1@232.1.1.1, interface: x, reannounce: {}}]",
		} {
			c, err := Parse("f", []byte(file))
			if err != nil {
				t.Errorf("%s: %v", file, err)
				continue
			}
			agrees(t, file, nil)
			if diff := cmp.Diff(want, c.Memberships[0].Reannounce); diff != "" {
				t.Errorf("%s: -want +got:\n%s", file, diff)
			}
		}
	}
	_, err := ParseEntry("f", "a", []byte("{channels: 10.0.0.1@232.1.1.1, interface: x, reannounce: {carier: true, address: 1, every: 10ms}}"))
	const want = `f:1:59: reannounce.carier: unknown key, did you mean "carrier"?
f:1:82: reannounce.address: 1 is a number to YAML, want true or false, without quotes
f:1:92: reannounce.every: 10ms, want at least 1s, or 0 for never`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}
