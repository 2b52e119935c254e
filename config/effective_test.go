package config

import (
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/ssmd-project/ssmd/membership"
	"github.com/ssmd-project/ssmd/reattach"
)

func TestYAML(t *testing.T) {
	c, err := Parse("f", []byte("memberships: [{name: '1', channels: 10.0.0.1@232.0.0.1, interface: {vlan_id: 5, name: '*'}, reattach: {policy: same, same: mac}}]"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.YAML()
	if err != nil {
		t.Fatal(err)
	}
	const want = `log:
    level: info
    format: text
control:
    socket: /run/ssmd/control.sock
    mode: "0660"
    group: ""
    readers: ""
handoff:
    socket: ""
    mode: "0660"
    group: ""
    limit: 64
http:
    listen: ""
    status: false
state_dir: /var/lib/ssmd
pace:
    joins_per_second: 0
audit: 30s
memberships:
    - name: "1"
      channels:
        - 10.0.0.1@232.0.0.1
      allow_any_range: false
      netns: ""
      interface:
        name: ['*']
        vlan_id: ["5"]
      attach: one
      ambiguous: hold
      require: [up]
      reattach: {policy: same, same: [mac], settle: 0s, within: 0s, limit: {count: 0, per: 0s}, when: ""}
      on_change: keep
      reannounce: {carrier: true, notify_peers: true, address: true, every: 0s}
      monitor: {port: 0, stalled_after: 2s, rtp: false, clock_rate: 0}
      on_stall: []
`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// roundTrip fails where the effective configuration does not read as the same
// again.
func roundTrip(t interface {
	Fatalf(string, ...any)
}, c Config) {
	text, err := c.YAML()
	if err != nil {
		t.Fatalf("YAML: %v", err)
	}
	again, err := Parse(c.File, text)
	if err != nil {
		t.Fatalf("its own YAML is refused: %v\n%s", err, text)
	}
	if diff := cmp.Diff(c, again, exact); diff != "" {
		t.Fatalf("-before +after:\n%s\n%s", diff, text)
	}
	if diff := cmp.Diff(Difference{}, Compare(Pack(c), Pack(again))); diff != "" {
		t.Fatalf("Compare: %s", diff)
	}
}

func TestYAMLRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { roundTrip(t, drawConfig(t)) })
}

func drawConfig(t *rapid.T) Config {
	c := Config{Settings: Settings{
		File: "f",
		Log: Log{
			Level:  rapid.SampledFrom([]slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}).Draw(t, "level"),
			Format: rapid.SampledFrom([]string{"text", "json"}).Draw(t, "format"),
		},
		Control:  defaults().Control,
		Handoff:  Handoff{Socket: rapid.SampledFrom([]string{"", "/run/h"}).Draw(t, "handoff"), Mode: 0o606, Limit: rapid.IntRange(1, 10_000).Draw(t, "handoffs")},
		HTTP:     HTTP{Listen: rapid.SampledFrom([]string{"", ":9781", "[::1]:9781", "localhost:1"}).Draw(t, "listen")},
		StateDir: rapid.SampledFrom([]string{"", "/state", "/a b: #c"}).Draw(t, "state"),
	}}
	word := rapid.StringOfN(rapid.RuneFrom([]rune(`ab1: #'"-{}&*!|>%@,~ é[]`)), 1, 8, -1)
	c.Audit = rapid.SampledFrom([]time.Duration{0, time.Second, 90 * time.Second}).Draw(t, "audit")
	c.Pace.JoinsPerSecond = rapid.SampledFrom([]int{0, 1, mostJoinsPerSecond}).Draw(t, "joins a second")
	c.Control.Group = word.Draw(t, "group")
	names := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-zA-Z0-9_-][a-zA-Z0-9._-]{0,3}`), 0, 4, rapid.ID[string]).Draw(t, "names")
	for _, name := range names {
		c.Memberships = append(c.Memberships, drawMembership(t, name, word))
	}
	return c
}

func drawMembership(t *rapid.T, name string, word *rapid.Generator[string]) membership.Membership {
	m := membership.Membership{Name: name, AnyRange: membership.AnyRange(rapid.Bool().Draw(t, "any"))}
	for range rapid.IntRange(1, 3).Draw(t, "channels") {
		text := fmt.Sprintf("10.0.0.%d@232.0.0.%d", rapid.IntRange(0, 9).Draw(t, "source"), rapid.IntRange(0, 9).Draw(t, "group"))
		if rapid.Bool().Draw(t, "IPv6") {
			text = fmt.Sprintf("2001:db8::%d@ff3e::%d", rapid.IntRange(0, 9).Draw(t, "source"), rapid.IntRange(0, 9).Draw(t, "group"))
		}
		m.Channels = append(m.Channels, channels(text)...)
	}
	m.Channels = canonical(m.Channels)
	for _, a := range rapid.SliceOfNDistinct(rapid.SampledFrom(reattach.Attributes()), 1, 3, rapid.ID[reattach.Attribute]).Draw(t, "attributes") {
		patterns := rapid.SliceOfN(word, 1, 3).Draw(t, string(a))
		if a == reattach.Subnet {
			patterns = []string{"10.0.0.0/8", "2001:db8::/32"}
		}
		if m.Rules.Selector.Set(a, patterns) != nil {
			_ = m.Rules.Selector.Set(a, []string{"eth0"})
		}
	}
	m.Rules.Require = rapid.SliceOfDistinct(rapid.SampledFrom([]reattach.Requirement{reattach.RequireUp, reattach.RequireCarrier, reattach.RequireAddress}), rapid.ID[reattach.Requirement]).Draw(t, "require")
	m.Rules.Attach = rapid.SampledFrom([]reattach.Attach{"", reattach.AttachAll}).Draw(t, "attach")
	if rapid.Bool().Draw(t, "same") {
		m.Rules.Policy.Kind = reattach.PolicySame
		m.Rules.Policy.Same = rapid.SliceOfNDistinct(rapid.SampledFrom(reattach.Attributes()), 1, 3, rapid.ID[reattach.Attribute]).Draw(t, "attributes")
	}
	drawRest(t, &m.Rules)
	m.Namespace = rapid.SampledFrom([]string{"", "blue", "/run/x y"}).Draw(t, "netns")
	m.Rules = m.Rules.Normalize()
	return m
}

func drawRest(t *rapid.T, r *reattach.Rules) {
	if r.Policy.Kind == "" && rapid.Bool().Draw(t, "approve") {
		r.Policy.Kind = reattach.PolicyApprove
	}
	r.Settle = time.Duration(rapid.Int64Range(0, 1<<40).Draw(t, "settle"))
	if rapid.Bool().Draw(t, "within") {
		r.Within = r.Settle + time.Duration(rapid.Int64Range(1, 1<<40).Draw(t, "more"))
	}
	if count := rapid.IntRange(0, reattach.MaxLimit).Draw(t, "count"); count > 0 {
		r.Limit = reattach.Limit{Count: count, Per: time.Duration(rapid.Int64Range(1, 1<<40).Draw(t, "per"))}
	}
	text := rapid.SampledFrom([]string{"", "true", "candidate.mtu >= previous.mtu", `candidate.name != "a: b # {c}" && !('x' in candidate.subnet)`}).Draw(t, "when")
	if when, err := reattach.ParseWhen(text); err == nil {
		r.When = when
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{design, manyErrors, one(channelLine + interfaceLine), "a: &a [*a]", "memberships: &x [*x]"} {
		f.Add(text)
	}
	for _, tt := range badMembership {
		f.Add(one(tt.keys))
	}
	for _, tt := range badFiles {
		f.Add(tt.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse("f", []byte(text))
		if err != nil {
			return
		}
		agrees(t, text, nil)
		count := 0
		for _, m := range c.Memberships {
			count += len(m.Channels)
			if err := m.Validate(); err != nil {
				t.Fatalf("accepted, but invalid: %v", err)
			}
		}
		if count <= 10_000 { // more is only slow
			roundTrip(t, c)
		}
	})
}

func TestCompare(t *testing.T) {
	base, err := Parse("f", []byte(design))
	if err != nil {
		t.Fatal(err)
	}
	changed, err := Parse("g", []byte(strings.NewReplacer("feed-a", "feed-c", "ens*", "enp*", "level: info", "level: warn", `"0660"`, `"0600"`).Replace(design)))
	if err != nil {
		t.Fatal(err)
	}
	want := Difference{Added: []string{"feed-c"}, Changed: []string{"feed-b"}, Removed: []string{"feed-a"}, Settings: []string{"log.level", "control.mode"}}
	if diff := cmp.Diff(want, Compare(Pack(base), Pack(changed))); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	// Order means nothing.
	shuffled := base
	shuffled.Memberships = []membership.Membership{base.Memberships[1], base.Memberships[0]}
	c := append([]membership.Channel{base.Memberships[1].Channels[1]}, base.Memberships[1].Channels...)
	shuffled.Memberships[0].Channels = c
	if diff := cmp.Diff(Difference{}, Compare(Pack(base), Pack(shuffled))); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if c[1] != base.Memberships[1].Channels[0] {
		t.Error("Compare changed what it was given")
	}
}

func TestDidYouMean(t *testing.T) {
	words := []string{"name", "channels", "groups", "interface", "on_change"}
	for word, want := range map[string]string{
		"nmae": "name", "channel": "channels", "Groups": "groups", "interfcae": "interface", "onchange": "on_change",
		"x": "", "": "", "foo": "", "completely": "", strings.Repeat("name", 1000): "",
	} {
		got := didYouMean(word, words)
		if want != "" {
			want = `, did you mean "` + want + `"?`
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
	}
}

func BenchmarkParseMemberships(b *testing.B) {
	var text strings.Builder
	text.WriteString("memberships:\n")
	for i := range 10_000 {
		fmt.Fprintf(&text, "  - name: feed-%d\n    channels: 10.1.0.1@232.1.%d.%d\n    interface: eth%d\n", i, i>>8, i&255, i&7)
	}
	benchmarkParse(b, text.String())
}

func BenchmarkParseChannels(b *testing.B) {
	var text strings.Builder
	text.WriteString("memberships:\n  - name: feed\n    interface: eth0\n    channels:\n")
	group := netip.MustParseAddr("232.1.0.0")
	for range 100_000 {
		fmt.Fprintf(&text, "      - 10.1.0.1@%s\n", group)
		group = group.Next()
	}
	benchmarkParse(b, text.String())
}

func BenchmarkParseRange(b *testing.B) {
	benchmarkParse(b, one("groups: 232.0.0.0-232.1.134.159\nsources: 10.0.0.1\n"+interfaceLine))
}

func benchmarkParse(b *testing.B, text string) {
	b.ReportAllocs()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := Parse("f", []byte(text)); err != nil {
			b.Fatal(err)
		}
	}
}
