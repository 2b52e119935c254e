package reattach

import (
	"fmt"
	"testing"

	"github.com/ssmd-project/ssmd/ifwatch"
	"pgregory.net/rapid"
)

var drawPattern = rapid.OneOf(
	rapid.SampledFrom([]string{"eth0", "eth1", "eth*", "!eth1", "up0", "*", "?th0", "[e]th0", "et[h-z]0", `e\th0`, `\!x`, `eth\*`, "lan?", "02:00:*", "02:00:00:00:00:0A",
		"pci/*", "pci/0000:3b:00.0", "1", "[0-2]", "feed", "trunk0", "br*"}),
	rapid.StringMatching(`[eu]?[t*]?[h?]?[01]?x?`).Filter(func(s string) bool { return Globs{s}.Validate() == nil }),
)

func drawSelector(t *rapid.T) Selector {
	var s Selector
	for _, a := range rapid.SliceOfNDistinct(rapid.SampledFrom(Attributes()), 1, 3, rapid.ID).Draw(t, "attributes") {
		if a == Subnet {
			_ = s.Set(a, []string{"10.1.0.0/16"})
			continue
		}
		if err := s.Set(a, rapid.SliceOfN(drawPattern, 1, 3).Draw(t, "patterns")); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// Whatever was added and removed, the index leaves out only what is rejected,
// and exactly what its hint excludes.
func TestIndexAgainstTheLoop(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var x Index[int]
		all := make(map[int]Selector)
		for n := range rapid.IntRange(0, 12).Draw(t, "selectors") {
			s := drawSelector(t)
			all[n] = s
			x.Add(s.Hint(), n)
			if rapid.IntRange(0, 3).Draw(t, "remove") == 0 {
				gone := rapid.IntRange(0, n).Draw(t, "which")
				if s, there := all[gone]; there {
					x.Remove(s.Hint(), gone)
					delete(all, gone)
				}
			}
		}
		i := drawInterface(t, 1)
		if rapid.Bool().Draw(t, "odd name") {
			i.Name = rapid.SampledFrom([]string{"!x", "eth*", "x"}).Draw(t, "odd")
		}
		near := make(map[int]bool)
		for n := range x.Near(&i) {
			near[n] = true
		}
		for n, s := range all {
			excluded := s.Hint().Excludes(&i)
			if excluded == near[n] {
				t.Fatalf("%s: excluded %t, found %t, for %+v", s, excluded, near[n], i)
			}
			if v := s.Match(i); excluded && v.Result() != Reject {
				t.Fatalf("%s is excluded, and %s: %+v", s, v.Result(), i)
			}
			delete(near, n)
		}
		if len(near) > 0 {
			t.Fatalf("removed, and found: %v", near)
		}
		for n, s := range all {
			x.Remove(s.Hint(), n)
		}
		if len(x.open) > 0 || len(x.hinted) > 0 {
			t.Fatalf("left behind: %+v", x)
		}
	})
}

// Names and MAC addresses that are given narrow it down, also among others.
func TestIndexNarrowsDown(t *testing.T) {
	var x Index[int]
	for n := range 10_000 {
		s := ByName(fmt.Sprint("eth", n))
		switch n % 4 {
		case 1:
			s = Selector{Name: Globs{fmt.Sprintf("lan%d.*", n), "!*.5"}}
		case 2:
			s = Selector{Kind: Globs{"veth"}, MAC: Globs{fmt.Sprintf("02:00:00:00:%02X:%02X", n>>8, n&255)}}
		}
		x.Add(s.Hint(), n)
	}
	for _, c := range []struct {
		i    ifwatch.Interface
		want int
	}{
		{ifwatch.Interface{Name: "eth400"}, 400},
		{ifwatch.Interface{Name: "x", AltNames: []string{"eth404"}}, 404},
		{ifwatch.Interface{Name: "lan401.7"}, 401},
		{ifwatch.Interface{Name: "x", MAC: "02:00:00:00:01:92"}, 402},
	} {
		var got []int
		for n := range x.Near(&c.i) {
			got = append(got, n)
		}
		if len(got) != 1 || got[0] != c.want {
			t.Errorf("%s: %v, want %d", c.i.Name, got, c.want)
		}
	}
}
