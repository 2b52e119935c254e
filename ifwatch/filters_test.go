package ifwatch

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestParseFilters(t *testing.T) {
	for _, test := range []struct {
		name, content string
		want          []Filter
	}{
		{"IPv4", "Idx Device        MCA        SRC    INC    EXC\n" +
			"  1     lo 0xe8000001 0x7f000001      1      0\n" +
			" 12  eth 0 0xe8010203 0x0a010002      2      1\n" +
			" 12  eth 0 0xe8010203 0x0a010003      0      1\n",
			[]Filter{
				{1, netip.MustParseAddr("232.0.0.1"), netip.MustParseAddr("127.0.0.1")},
				{12, netip.MustParseAddr("232.1.2.3"), netip.MustParseAddr("10.1.0.2")},
			}},
		{"IPv6", "Idx Device                Multicast Address                   Source Address    INC    EXC\n" +
			"  3   eth0 ff3e0000000000000000000080000001 20010db8000000000000000000000009      1      0\n",
			[]Filter{{3, netip.MustParseAddr("ff3e::8000:1"), netip.MustParseAddr("2001:db8::9")}}},
		{"none", "", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got []Filter
			if err := parseFilters(strings.NewReader(test.content), func(f Filter) { got = append(got, f) }); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(test.want, got, cmpopts.EquateComparable(netip.Addr{})); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestParseFiltersMalformed(t *testing.T) {
	for _, line := range []string{"1 lo", "x lo 0xe8000001 0x7f000001 1 0", "1 lo 0xe80000 0x7f000001 1 0", "1 lo 0xe8000001 0x7f0000zz 1 0"} {
		if parseFilters(strings.NewReader("heading\n"+line+"\n"), func(Filter) {}) == nil {
			t.Errorf("%q was taken", line)
		}
	}
}
