package membership

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ssmd-project/ssmd/ifwatch"
)

func TestHints(t *testing.T) {
	group := func(n int) ifwatch.GroupKey { return ifwatch.GroupKey{Index: n, Group: one.Group} }
	many := make([]ifwatch.GroupKey, mostHints+1)
	for name, test := range map[string]struct {
		given [][]ifwatch.GroupKey
		want  []ifwatch.GroupKey
	}{
		"none":          {nil, []ifwatch.GroupKey{}},
		"some":          {[][]ifwatch.GroupKey{{group(1)}, {group(2), group(3)}}, []ifwatch.GroupKey{group(1), group(2), group(3)}},
		"and others":    {[][]ifwatch.GroupKey{{group(1)}, nil, {group(2)}}, nil},
		"too many":      {[][]ifwatch.GroupKey{many}, nil},
		"more and more": {[][]ifwatch.GroupKey{many[:mostHints], {group(1)}, {group(2)}}, nil},
	} {
		h := newHints()
		for _, groups := range test.given {
			h.add(groups)
		}
		if diff := cmp.Diff(test.want, h.take(), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if got := h.take(); got == nil || len(got) > 0 {
			t.Errorf("%s: taken again: %v", name, got)
		}
	}
}
