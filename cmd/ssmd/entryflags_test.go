package main

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/ssmd-project/ssmd/config"
	"github.com/ssmd-project/ssmd/membership"
)

// TestEveryKeyHasAFlag holds that the flags of join do not fall behind the
// file.
func TestEveryKeyHasAFlag(t *testing.T) {
	var flags []string
	for _, f := range entryFlags() {
		flags = append(flags, f.path)
	}
	keys := config.EntryKeys()
	slices.Sort(flags)
	slices.Sort(keys)
	if diff := cmp.Diff(keys, flags); diff != "" {
		t.Errorf("keys and flags differ (-keys +flags):\n%s", diff)
	}
	for _, f := range entryFlags() {
		if newJoinCommand().Flags().Lookup(f.name) == nil {
			t.Errorf("join has no flag --%s", f.name)
		}
	}
}

// TestFlagsMakeEntries holds each flag against the entry that it stands for,
// and against the reading of files.
func TestFlagsMakeEntries(t *testing.T) {
	tests := map[string]string{ // flag and value: entry
		"--name=a":                        `{"name":"a"}`,
		"--channels=10.1.0.1@232.1.1.1":   `{"channels":["10.1.0.1@232.1.1.1"]}`,
		"--groups=232.1.1.1,232.1.2.0/28": `{"groups":["232.1.1.1","232.1.2.0/28"]}`,
		"--sources=10.1.0.1":              `{"sources":["10.1.0.1"]}`,
		"--allow-any-range":               `{"allow_any_range":true}`,
		"--interface=eth*":                `{"interface":{"name":["eth*"]}}`,
		"--interface=vlan_id=10":          `{"interface":{"vlan_id":["10"]}}`,
		"--interface=alias=a=b,c":         `{"interface":{"alias":["a=b,c"]}}`,
		"--attach=all":                    `{"attach":"all"}`,
		"--ambiguous=oldest":              `{"ambiguous":"oldest"}`,
		"--netns=5":                       `{"netns":"5"}`,
		"--netns=":                        `{"netns":""}`,
		"--require=":                      `{"require":[]}`,
		"--require=up,carrier":            `{"require":["up","carrier"]}`,
		"--policy=never":                  `{"reattach":{"policy":"never"}}`,
		"--settle=200ms":                  `{"reattach":{"settle":"200ms"}}`,
		"--within=0":                      `{"reattach":{"within":"0"}}`,
		"--limit=5/1m":                    `{"reattach":{"limit":{"count":5,"per":"1m"}}}`,
		"--limit=0":                       `{"reattach":{"limit":{"count":0}}}`,
		"--when=candidate.mtu == 1500":    `{"reattach":{"when":"candidate.mtu == 1500"}}`,
		"--on-change=leave":               `{"on_change":"leave"}`,
		"--reannounce=carrier=false":      `{"reannounce":{"carrier":false}}`,
		"--reannounce=every=5m":           `{"reannounce":{"every":"5m"}}`,
	}
	whole := map[string]any{"channels": "10.1.0.1@232.1.1.1", "interface": "eth0"}
	for flag, want := range tests {
		flags := pflag.NewFlagSet("", pflag.ContinueOnError)
		entry := addEntryFlags(flags, entryFlags())
		if err := flags.Parse([]string{flag}); err != nil {
			t.Errorf("%s: %v", flag, err)
			continue
		}
		got, err := json.Marshal(entry())
		if err != nil || string(got) != want {
			t.Errorf("%s: %s, %v, want %s", flag, got, err, want)
		}
		good := entry()
		for key, value := range whole {
			if good[key] == nil && (key != "channels" || good["groups"] == nil && good["sources"] == nil) {
				good[key] = value
			}
		}
		if good["groups"] != nil {
			good["sources"] = "10.1.0.1"
		} else if good["sources"] != nil {
			good["groups"] = "232.1.1.1"
		}
		text, err := json.Marshal(good)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := config.ParseEntry("f", "a", text); err != nil {
			t.Errorf("%s: %s: %v", flag, text, err)
		}
	}
}

func TestFlagsAreMergedAndRepeated(t *testing.T) {
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	entry := addEntryFlags(flags, entryFlags())
	if err := flags.Parse([]string{"--policy=same", "--same=mac", "--same=subnet", "--interface=eth0", "--interface=name=eth1", "--interface=kind=veth", "--limit=x", "--reannounce=address=1"}); err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(entry())
	const want = `{"interface":{"kind":["veth"],"name":["eth0","eth1"]},"reannounce":{"address":"1"},"reattach":{"limit":{"count":"x"},"policy":"same","same":["mac","subnet"]}}`
	if err != nil || string(got) != want {
		t.Errorf("got  %s, %v\nwant %s", got, err, want)
	}
}

func TestParseSince(t *testing.T) {
	for text, want := range map[string]membership.Since{
		"":                     {},
		"0":                    {},
		"12":                   {Seq: 12},
		"10m":                  {Time: then.Add(-10 * time.Minute)},
		"0s":                   {Time: then},
		"2026-11-23T10:00:00Z": {Time: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)},
	} {
		if got, err := parseSince(text, then); err != nil || got.Seq != want.Seq || !got.Time.Equal(want.Time) {
			t.Errorf("%q: %+v, %v, want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"-1", "-5m", "x", "2026-11-23", "18446744073709551616", "0001-01-01T00:00:00Z"} {
		if got, err := parseSince(text, then); err == nil {
			t.Errorf("%q: %+v, want an error", text, got)
		}
	}
}
