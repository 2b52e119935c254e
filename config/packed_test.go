package config

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What is packed is unpacked as it was, and what memberships next to each other
// have in common is there once.
func TestPack(t *testing.T) {
	c, err := Parse("ssmd.yaml", []byte(`
memberships:
  - {name: a, interface: eth0, channels: 10.1.0.1@232.1.0.1}
  - {name: b, interface: eth0, channels: [10.1.0.2@232.1.0.1, 10.1.0.1@232.1.0.1]}
  - {name: c, interface: eth0, channels: 10.1.0.1@232.1.0.1, require: [up, address]}
  - {name: d, interface: eth0, channels: 10.1.0.1@232.1.0.1, netns: tv}
  - {name: e, interface: eth0, channels: 10.1.0.1@239.1.0.1, allow_any_range: true}
  - {name: f, interface: eth0, channels: 10.1.0.1@239.1.0.1, allow_any_range: true, reannounce: {every: 5m}}
  - {name: g, interface: eth0, channels: 10.1.0.1@239.1.0.1, allow_any_range: true, reannounce: {every: 5m}}
`))
	if err != nil {
		t.Fatal(err)
	}
	p := Pack(c)
	if diff := cmp.Diff(c.Memberships, p.Memberships(), exact); diff != "" {
		t.Errorf("(-packed +unpacked):\n%s", diff)
	}
	if p.Len() != len(c.Memberships) || p.Config.Memberships != nil {
		t.Errorf("%d are packed, and %d are not", p.Len(), len(p.Config.Memberships))
	}
	for n, shared := range []bool{1: true, 6: true} {
		if n > 0 && shared != (p.packed[n].others == p.packed[n-1].others) {
			t.Errorf("%s shares what it has with the one before it: want %t", p.packed[n].name, shared)
		}
	}
}
