package adopt

import (
	"testing"

	"github.com/ssmd-project/ssmd/internal/testnet"
)

// What a socket left is searched for a while: it may be joined again on an
// interface that is gone before the next look, and in no list therefore.
func TestLookFindsWhatItLacked(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		fd, index := l.joined(), l.index()
		p, err := openProcess(l.pid)
		ok(t, err)
		defer p.Close()
		looker := newLooker(p, placesOf(nil))
		sees := func(want int) []Found {
			t.Helper()
			all, err := looker.look(nil)
			ok(t, err)
			got := 0
			for _, found := range all {
				got += len(found.Memberships)
			}
			if got != want {
				t.Fatalf("it sees %+v, want %d memberships", all, want)
			}
			return all
		}
		sees(1)
		l.do(order{Do: "leave", FD: fd, Index: index, Group: f.group, Source: f.source})
		sees(0)
		l.do(order{Do: "join", FD: fd, Index: index, Group: f.group, Source: f.source})
		ok(t, l.Recreate("eth0", testnet.Veth{Index: index}))
		if m := sees(1)[0].Memberships[0]; m.State != StateDeaf || m.Index != index || m.Interface != "eth0" {
			t.Errorf("%+v", m)
		}
	})
}
