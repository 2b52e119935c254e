package config

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestHooks(t *testing.T) {
	const text = `hooks:
  - {command: /bin/true, on: attached}
  - command: [/usr/local/bin/notify, "", "a b; $x"]
    on: [detached, held, reloaded]
    names: [feed-*, b]
    timeout: 1m
`
	c, err := Parse("f", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want := []Hook{
		{Command: []string{"/bin/true"}, On: []string{"attached"}, Timeout: 10 * time.Second, Line: 2, Column: 15},
		{Command: []string{"/usr/local/bin/notify", "", "a b; $x"}, On: []string{"detached", "held", "reloaded"}, Names: []string{"feed-*", "b"}, Timeout: time.Minute, Line: 3, Column: 14},
	}
	if diff := cmp.Diff(want, c.Hooks); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	written, err := c.YAML()
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse("f", written)
	if err != nil {
		t.Fatalf("%v in\n%s", err, written)
	}
	if d := Compare(Pack(c), Pack(again)); len(d.Settings) > 0 {
		t.Errorf("%v differs after\n%s", d.Settings, written)
	}
	again.Hooks[1].Timeout--
	if d := Compare(Pack(c), Pack(again)); cmp.Diff([]string{"hooks"}, d.Settings) != "" {
		t.Errorf("settings that differ: %v, want hooks", d.Settings)
	}
	agrees(t, text, nil)
	for word, name := range map[string]string{"held": "feed-1", "detached": "b"} {
		if !c.Hooks[1].Wants(word, name) || c.Hooks[1].Wants(word, "c") || c.Hooks[1].Wants("attached", name) || c.Hooks[1].Wants(word, "") {
			t.Errorf("%s of %s is not told from others", word, name)
		}
	}
	if !c.Hooks[0].Wants("attached", "") {
		t.Error("a hook for all memberships is not for what is about none")
	}
}

func TestBadHooks(t *testing.T) {
	for text, want := range map[string]string{
		"x":                                                            `f:1:8: hooks: "x" is a string, want a list of hooks`,
		"[{on: attached}]":                                             `f:1:9: hooks[0].command: missing, want for example [/usr/local/bin/notify, --verbose]`,
		"[{command: /a}]":                                              `f:1:9: hooks[0].on: missing, want for example [attached, detached, reattached]`,
		"[{command: notify -v, on: attached}]":                         `f:1:19: hooks[0].command: "notify -v" is no absolute path, want for example /usr/local/bin/notify; arguments are elements of their own`,
		"[{command: [], on: attached}]":                                `f:1:19: hooks[0].command: an empty list, want at least a path`,
		"[{command: /a, on: []}]":                                      `f:1:27: hooks[0].on: an empty list, want at least one, for example attached`,
		"[{command: /a, on: [atached]}]":                               `unknown value "atached", want attached, detached,`,
		"[{command: /a, on: attached, timeout: 1h}]":                   `hooks[0].timeout: 1h0m0s is no time that a hook may take, want from 100ms to 1m0s`,
		"[{command: /a, on: attached, timeout: 0}]":                    `hooks[0].timeout: 0s is no time`,
		"[{command: /a, on: attached, names: '['}]":                    `hooks[0].names: pattern "[" is malformed`,
		"[{command: /a, on: attached, names: []}]":                     `hooks[0].names: an empty list`,
		"[{command: /a, on: attached, shell: true}]":                   `hooks[0].shell: unknown key`,
		"[" + strings.Repeat("{command: /a, on: attached},", 65) + "]": `f:1:8: hooks: 65 hooks, want at most 64`,
	} {
		text = "hooks: " + text
		_, err := Parse("f", []byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s:\n%v\nwant %s", text, err, want)
		}
		agrees(t, text, err)
	}
}
