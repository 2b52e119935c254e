package main

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/internal/adopt"
	"github.com/ssmd-project/ssmd/membership"
)

// TestStoredWritesItself holds that it writes what json.Marshal would, but for
// the lines, which are no part of a value, and that it can be read.
func TestStoredWritesItself(t *testing.T) {
	life := membership.Life{Place: "x", Interface: ifwatch.Interface{Index: 7, Name: "eth0", Alias: "<&>\u2028\n"}, Families: []ifwatch.Family{ifwatch.IPv4}}
	one := membership.Remembered{Selector: "s", Wish: "w", Attached: []membership.Life{life}, Previous: &life}
	for name, value := range map[string]stored{
		"nothing":     {Memory: membership.Memory{Memberships: map[string]membership.Remembered{}}},
		"memberships": {Memory: membership.Memory{Memberships: map[string]membership.Remembered{"b": one, "a": {Ended: "so"}, "c": {}}}},
		"all": {
			Memory: membership.Memory{Memberships: map[string]membership.Remembered{"a": one}, Drained: []membership.Life{life}},
			Added:  map[string]string{"z": "{name: \"z\"}", "y": "line\nline"},
			Adopted: []adopt.Kept{
				{ID: "1", Selection: adopt.Selection{Unit: "tv"}, Rules: []byte(`{"interface":"eth0"}`), Since: time.Unix(1, 0).UTC()},
				{ID: "2", Selection: adopt.Selection{PID: 7}, Boot: "b", Life: adopt.Life{Born: 9, PidFS: 1 << 40}, Sockets: []adopt.KeptSocket{{
					Cookie: 1 << 60, Places: []adopt.KeptPlace{{Group: netip.MustParseAddr("232.1.1.1"), Index: 3, Interface: "eth0"}}, Lost: []string{""},
				}}},
			},
		},
	} {
		var written, compact bytes.Buffer
		if err := value.WriteJSON(&written); err != nil {
			t.Fatal(err)
		}
		if err := json.Compact(&compact, written.Bytes()); err != nil {
			t.Fatalf("%s: %v:\n%s", name, err, &written)
		}
		want, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		compare(t, string(want), compact.String())
		var read stored
		if err := json.Unmarshal(written.Bytes(), &read); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(value, read, cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-written +read):\n%s", name, diff)
		}
	}
}
