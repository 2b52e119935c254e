package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ssmd-project/ssmd/membership"
	"github.com/ssmd-project/ssmd/reattach"
)

// What is packed is unpacked as it was, and what memberships next to each other
// have in common is there once.
func TestPack(t *testing.T) {
	c, err := Parse("ssmd.yaml", []byte(`
memberships:
  - {name: a, interface: eth0, channels: 10.1.0.1@232.1.0.1}
  - {name: b, interface: eth0, channels: [10.1.0.2@232.1.0.1, 10.1.0.1@232.1.0.1]}
  - {name: c, interface: eth0, channels: 10.1.0.1@232.1.0.1, require: [up, address]}
  - {name: d, interface: eth0, channels: 10.1.0.1@232.1.0.1, monitor: {port: 5001}}
`))
	if err != nil {
		t.Fatal(err)
	}
	p := Pack(c)
	if diff := cmp.Diff(c, p.Unpack(), exact); diff != "" {
		t.Errorf("(-packed +unpacked):\n%s", diff)
	}
	if p.Len() != len(c.Memberships) || p.packed[0].rest != p.packed[1].rest || p.packed[1].rest == p.packed[2].rest {
		t.Errorf("%d are packed, as %+v", p.Len(), p.packed)
	}
	with := p.With(c.Memberships[:1])
	if &with.packed[0].channels[0] != &p.packed[0].channels[0] {
		t.Error("with one more it has its channels twice")
	}
	if names := strings.Join(namesOf(with), " "); names != "a b c d a" || p.Len() != 4 {
		t.Errorf("with one more: %s, and it has %d", names, p.Len())
	}
}

func namesOf(p Packed) (names []string) {
	for name := range p.Names() {
		names = append(names, name)
	}
	return names
}

// Nothing that a membership has is taken from the one before it where it differs.
func TestAgree(t *testing.T) {
	others := map[string]membership.Membership{
		"AnyRange":   {AnyRange: true},
		"Rules":      {Rules: reattach.Rules{Selector: reattach.ByName("eth0")}},
		"Namespace":  {Namespace: "tv"},
		"Reannounce": {Reannounce: membership.Reannounce{Every: 1}},
		"Socket":     {Socket: os.Stdin},
		"Keep":       {Keep: membership.KeepAtEnd},
	}
	for f := range reflect.TypeFor[membership.Membership]().Fields() {
		other, is := others[f.Name]
		if is != (f.Name != "Name" && f.Name != "Channels") || is && agree(&membership.Membership{}, &other) {
			t.Errorf("%s makes no difference", f.Name)
		}
	}
}

// After any number of reloads nothing is kept of what is gone, and what is the same
// is there once.
func TestAgainKeepsNoMore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ssmd.yaml")
	var last Packed
	var sources Sources
	load := func(elements ...string) {
		t.Helper()
		write(t, path, "memberships:\n"+strings.Join(elements, ""))
		var err error
		if last, sources, err = LoadAgain(Options{Path: path}, sources); err != nil {
			t.Fatal(err)
		}
	}
	element := func(name string, round int) string {
		return fmt.Sprintf("  - {name: %s, interface: eth0, channels: 10.1.0.%d@232.1.0.1}\n", name, round)
	}
	const large = "  - {name: large, interface: eth0, groups: 232.0.0.0/17, sources: 10.1.0.1}\n"
	elements := []string{element("a", 1)}
	load(elements...)
	before := heap()
	for round := range 10 {
		elements = append(elements, element(fmt.Sprint("b", round), 1))
		load(append(elements, large)...)
		elements[round] = element(fmt.Sprint("c", round), 2)
		load(elements...)
	}
	if grown := heap() - before; grown > 1<<20 {
		t.Errorf("%d bytes are kept of what is gone", grown)
	}
	for _, one := range last.packed {
		if one.rest != last.packed[0].rest {
			t.Errorf("%s has apart what it shares with those before it", one.name)
		}
	}
	runtime.KeepAlive(sources)
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
