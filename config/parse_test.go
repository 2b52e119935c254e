package config

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ssmd-project/ssmd/membership"
	"github.com/ssmd-project/ssmd/reattach"
)

// exact compares what cannot be compared field by field.
var exact = cmp.Options{cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})}

const design = `
log: {level: info, format: text}
control: {socket: /run/ssmd/control.sock, mode: "0660", group: ""}

defaults:
  require: [up]

memberships:
  - name: feed-a
    groups: [232.1.1.1, 232.1.2.0/30, 232.1.3.1-232.1.3.2]
    sources: [10.1.0.1]
    interface: eth0
  - name: feed-b
    channels: [10.1.0.1@232.2.0.1, 2001:db8::1@ff3e::8000:1]
    interface: {name: "ens*", kind: physical, subnet: 10.1.0.0/16}
    attach: one
    ambiguous: hold
    require: [up, carrier, address]
    reattach:
      policy: same
      same: [mac, subnet]
    on_change: leave
`

func channels(texts ...string) []membership.Channel {
	all := make([]membership.Channel, len(texts))
	for i, t := range texts {
		c, err := membership.ParseChannel(t)
		if err != nil {
			panic(err)
		}
		all[i] = c
	}
	return all
}

func TestParse(t *testing.T) {
	got, err := Parse("ssmd.yaml", []byte(design))
	if err != nil {
		t.Fatal(err)
	}
	agrees(t, design, nil)
	want := Config{
		Settings: Settings{
			File:    "ssmd.yaml",
			Log:     Log{Level: slog.LevelInfo, Format: "text"},
			Control: Control{Socket: DefaultSocket, Mode: 0o660},
			Handoff: Handoff{Mode: 0o660, Limit: 64},

			StateDir: "/var/lib/ssmd",
			Audit:    defaultAudit,
		},
		Memberships: []membership.Membership{{
			Name: "feed-a",
			Channels: channels("10.1.0.1@232.1.1.1",
				"10.1.0.1@232.1.2.0", "10.1.0.1@232.1.2.1", "10.1.0.1@232.1.2.2", "10.1.0.1@232.1.2.3",
				"10.1.0.1@232.1.3.1", "10.1.0.1@232.1.3.2"),
			Rules: reattach.Rules{Selector: reattach.Selector{Name: reattach.Globs{"eth0"}}}.Normalize(),
		}, {
			Name:     "feed-b",
			Channels: channels("10.1.0.1@232.2.0.1", "2001:db8::1@ff3e::8000:1"),
			Rules: reattach.Rules{
				Selector: reattach.Selector{
					Name: reattach.Globs{"ens*"}, Kind: reattach.Globs{"physical"},
					Subnet: reattach.Subnets{netip.MustParsePrefix("10.1.0.0/16")},
				},
				Policy:  reattach.Policy{Kind: reattach.PolicySame, Same: []reattach.Attribute{reattach.MAC, reattach.Subnet}},
				Require: []reattach.Requirement{reattach.RequireUp, reattach.RequireCarrier, reattach.RequireAddress},
				Attach:  reattach.AttachOne, Ambiguous: reattach.AmbiguousHold, OnChange: reattach.OnChangeLeave,
			},
		}},
	}
	if diff := cmp.Diff(want, got, exact); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestDocumentedFile reads the file that the package's documentation shows.
func TestDocumentedFile(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	var shown strings.Builder
	for line := range strings.Lines(string(doc)) {
		if text, ok := strings.CutPrefix(line, "//\t"); ok {
			shown.WriteString(text)
		}
	}
	c, err := Parse("doc.go", []byte(shown.String()))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Memberships) != 2 {
		t.Errorf("got %d memberships, want 2", len(c.Memberships))
	}
}

func TestParseEmpty(t *testing.T) {
	want := Config{Settings: defaults()}
	want.File = "f"
	for _, text := range []string{"", "\n", "# nothing\n", "---\n", "\ufeff", "{}", "log:\ncontrol:\ndefaults:\nmemberships:\n", "memberships: []\n"} {
		got, err := Parse("f", []byte(text))
		if err != nil {
			t.Errorf("%q: %v", text, err)
		}
		agrees(t, text, err)
		if diff := cmp.Diff(want, got, exact); diff != "" {
			t.Errorf("%q: -want +got:\n%s", text, diff)
		}
	}
}

// one wraps keys into the only membership of a file.
func one(keys string) string {
	text := "memberships:\n  - name: a\n"
	for line := range strings.Lines(keys) {
		text += "    " + line
	}
	return text
}

const (
	channelLine   = "channels: 10.1.0.1@232.1.1.1\n"
	interfaceLine = "interface: eth0\n"
)

func TestParseChannels(t *testing.T) {
	tests := []struct {
		name, keys string
		want       []membership.Channel
	}{
		{"single values", "groups: 232.1.1.1\nsources: 10.0.0.1", channels("10.0.0.1@232.1.1.1")},
		{"product", "groups: [232.1.1.2, 232.1.1.1]\nsources: [10.0.0.2, 10.0.0.1]",
			channels("10.0.0.1@232.1.1.1", "10.0.0.2@232.1.1.1", "10.0.0.1@232.1.1.2", "10.0.0.2@232.1.1.2")},
		{"union", "groups: 232.1.1.1\nsources: 10.0.0.1\nchannels: [10.0.0.1@232.1.1.1, 10.0.0.9@232.1.1.0]",
			channels("10.0.0.9@232.1.1.0", "10.0.0.1@232.1.1.1")},
		{"prefix of one", "groups: 232.1.1.1/32\nsources: 10.0.0.1", channels("10.0.0.1@232.1.1.1")},
		{"range of one", "groups: 232.1.1.1-232.1.1.1\nsources: 10.0.0.1", channels("10.0.0.1@232.1.1.1")},
		{"range over a byte", "groups: 232.1.1.255-232.1.2.0\nsources: 10.0.0.1", channels("10.0.0.1@232.1.1.255", "10.0.0.1@232.1.2.0")},
		{"IPv6", "groups: [ff3e::8000:0/127, ff35::ffff-ff35::1:0]\nsources: 2001:db8::1",
			channels("2001:db8::1@ff35::ffff", "2001:db8::1@ff35::1:0", "2001:db8::1@ff3e::8000:0", "2001:db8::1@ff3e::8000:1")},
		{"any range", "groups: 239.1.1.1\nsources: 10.0.0.1\nallow_any_range: true", channels("10.0.0.1@239.1.1.1")},
		{"alias", "groups: &g [232.1.1.1]\nsources: &s 10.0.0.1\nrequire: []", channels("10.0.0.1@232.1.1.1")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := one(tt.keys + "\n" + interfaceLine)
			c, err := Parse("f", []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			agrees(t, text, nil)
			if diff := cmp.Diff(tt.want, c.Memberships[0].Channels, exact); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestParseRules(t *testing.T) {
	named := func(name string) reattach.Selector { return reattach.Selector{Name: reattach.Globs{name}} }
	same := func(a ...reattach.Attribute) reattach.Policy {
		return reattach.Policy{Kind: reattach.PolicySame, Same: a}
	}
	tests := []struct {
		name, defaults, keys string
		want                 reattach.Rules
	}{
		{"numbers", "", "interface: {vlan_id: [10, \"2*\"], link_group: 0}",
			reattach.Rules{Selector: reattach.Selector{VLANID: reattach.Globs{"10", "2*"}, LinkGroup: reattach.Globs{"0"}}}},
		{"words that YAML 1.1 took for more", "", "interface: on", reattach.Rules{Selector: named("on")}},
		{"explicit string", "", "interface: !!str 5", reattach.Rules{Selector: named("5")}},
		{"quoted number", "", "interface: '5'", reattach.Rules{Selector: named("5")}},
		{"nothing required", "", "interface: eth0\nrequire: []",
			reattach.Rules{Selector: named("eth0"), Require: []reattach.Requirement{}}},
		{"inherited", "{interface: eth1, attach: all, on_change: leave, require: carrier}", "attach: one",
			reattach.Rules{Selector: named("eth1"), OnChange: reattach.OnChangeLeave, Require: []reattach.Requirement{reattach.RequireCarrier}}},
		{"interface is replaced whole", "{interface: {kind: vlan}}", "interface: {name: x}", reattach.Rules{Selector: named("x")}},
		{"policy of the default", "{interface: x, reattach: {policy: same, same: mac}}", "",
			reattach.Rules{Selector: named("x"), Policy: same(reattach.MAC)}},
		{"same over the default's", "{interface: x, reattach: {policy: same, same: mac}}", "reattach: {same: [kind, alias]}",
			reattach.Rules{Selector: named("x"), Policy: same(reattach.Kind, reattach.Alias)}},
		{"policy that is completed", "{interface: x, reattach: {policy: same}}", "reattach: {same: kind}",
			reattach.Rules{Selector: named("x"), Policy: same(reattach.Kind)}},
		{"another policy forgets same", "{interface: x, reattach: {policy: same, same: mac}}", "reattach: {policy: never}",
			reattach.Rules{Selector: named("x"), Policy: reattach.Policy{Kind: reattach.PolicyNever}}},
		{"empty reattach", "{interface: x}", "reattach:", reattach.Rules{Selector: named("x")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := "defaults: " + tt.defaults + "\n" + one(channelLine+tt.keys)
			c, err := Parse("f", []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			agrees(t, text, nil)
			if diff := cmp.Diff(tt.want.Normalize(), c.Memberships[0].Rules, exact); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestParseSettings(t *testing.T) {
	for _, mode := range []string{`"0660"`, `'660'`, "0660", "0o660", `"0o660"`} {
		text := fmt.Sprintf("log: {level: debug, format: json}\ncontrol: {socket: a.sock, mode: %s, group: ssm, readers: \"7\"}\nhandoff: {socket: b.sock, mode: %s, group: apps, limit: 5}\nhttp: {listen: ':9781', status: true}\nstate_dir: /state\npace: {joins_per_second: 500}", mode, mode)
		c, err := Parse("f", []byte(text))
		agrees(t, text, err)
		if err != nil {
			t.Errorf("mode %s: %v", mode, err)
			continue
		}
		want := Config{Settings: Settings{File: "f", Log: Log{Level: slog.LevelDebug, Format: "json"}, Control: Control{Socket: "a.sock", Mode: 0o660, Group: "ssm", Readers: "7"}, Handoff: Handoff{Socket: "b.sock", Mode: 0o660, Group: "apps", Limit: 5}, HTTP: HTTP{Listen: ":9781", Status: true}, StateDir: "/state", Pace: Pace{500}, Audit: defaultAudit}}
		if diff := cmp.Diff(want, c, exact); diff != "" {
			t.Errorf("mode %s: -want +got:\n%s", mode, diff)
		}
	}
}

func TestErrorsUnwrap(t *testing.T) {
	_, err := Parse("f", []byte("lgo: {}\npcae: {}\n"))
	var all Errors
	if !errors.As(err, &all) || len(all) != 2 {
		t.Fatalf("errors.As: %v", err)
	}
	var first Error
	if !errors.As(err, &first) {
		t.Fatal("no Error in it")
	}
	want := Error{File: "f", Line: 1, Column: 1, Path: "lgo", Message: `unknown key, did you mean "log"?`}
	if diff := cmp.Diff(want, first); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if !errors.Is(ErrNoFile, fs.ErrNotExist) {
		t.Error("ErrNoFile is not fs.ErrNotExist")
	}
}

func TestAliases(t *testing.T) {
	c, err := Parse("f", []byte(`
defaults: {interface: &i {name: [eth0, eth1]}}
memberships:
- {name: a, channels: &c [10.0.0.1@232.0.0.1], interface: *i}
- {name: b, channels: *c}
`))
	if err != nil {
		t.Fatal(err)
	}
	a, b := c.Memberships[0], c.Memberships[1]
	b.Name = a.Name
	if diff := cmp.Diff(a, b, exact); diff != "" {
		t.Errorf("-a +b:\n%s", diff)
	}
}
