package integration

import (
	"testing"

	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/internal/testnet/wire"
)

// lives are the ways in which an interface comes back as another instance.
var lives = map[string]func(*lab){
	"another index": func(l *lab) { ok(l.t, l.Recreate("eth0", testnet.Veth{})) },
	"another MAC":   func(l *lab) { ok(l.t, l.Recreate("eth0", testnet.Veth{MAC: "02:00:00:00:00:07"})) },
	"same index":    (*lab).again,
	"moved":         (*lab).awayAndBack,
}

// eachLife runs a story in labs of its own: for both families, and each of the
// ways in which the interface comes back.
func eachLife(t *testing.T, story func(l *lab, again func(*lab))) {
	bothFamilies(t, func(t *testing.T, f family) {
		for name, again := range lives {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				story(newLab(t, f), again)
			})
		}
	})
}

// awayAndBack moves eth0 to another namespace and back, where it gets its
// index again.
func (l *lab) awayAndBack() {
	l.t.Helper()
	away, index := newNamespace(l.t), l.index()
	ok(l.t, l.Near.Set("eth0", testnet.MoveTo(away)))
	ok(l.t, away.Set("eth0", testnet.MoveTo(l.Near)))
	if l.index() != index {
		l.t.Fatalf("the index is %d, was %d", l.index(), index)
	}
	ok(l.t, l.Near.Set("eth0", testnet.Address("10.1.0.2/24", "2001:db8:1::2/64"), testnet.Up))
}

// TestStoryRecreated is the main job: the interface goes, one of the same
// name comes, and the datagrams flow again.
func TestStoryRecreated(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		for name, again := range lives {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s := joinedStage(t, f, f.feed())
				receiver := s.fed()
				s.hears(receiver)
				for i := range 2 { // the second time there is a history
					from, was := len(s.capture.Reports()), s.status("feed").Attachments[0].Instance
					again(s.lab)
					status := s.reattached(uint64(i + 1))
					if a := status.Attachments[0]; a.Index != s.index() || a.Instance == was {
						t.Errorf("attached to instance %d (index %d), was to %d", a.Instance, a.Index, was)
					}
					s.reports(from, wire.AllowNewSources)
					s.wantUsers(1)
					s.hears(receiver)
				}
			})
		}
	})
}
