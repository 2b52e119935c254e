package integration

import (
	"testing"

	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/internal/testnet/wire"
	"github.com/ssmd-project/ssmd/membership"
	"github.com/ssmd-project/ssmd/reattach"
)

// addMacvlan makes mv0 on the present eth0.
func (s *stage) addMacvlan() {
	s.t.Helper()
	ok(s.t, s.Near.Add(testnet.Macvlan("mv0", s.index()), testnet.Address("10.1.0.3/24", "2001:db8:1::3/64"), testnet.Up))
}

// A macvlan goes with its parent. It is known again by the parent's name: the
// parent's index is another one.
func TestStoryParentRecreated(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		feed := f.feed()
		feed.Rules = reattach.Rules{
			Selector: reattach.Selector{Parent: reattach.Globs{"eth0"}, Kind: reattach.Globs{"macvlan"}},
			Policy:   reattach.Policy{Kind: reattach.PolicySame, Same: []reattach.Attribute{reattach.Parent, reattach.Name}},
		}
		s := newStage(t, f, feed)
		s.wait("feed", membership.StateWaiting, "parent=eth0")
		s.addMacvlan()
		s.wait("feed", membership.StateJoined, "parent=eth0")
		receiver := s.fed()
		s.hears(receiver)

		was, from := s.index(), len(s.capture.Reports())
		ok(t, s.Recreate("eth0", testnet.Veth{}))
		s.wait("feed", membership.StateDetached)
		if s.index() == was {
			t.Errorf("the parent's index is %d again", was)
		}
		s.addMacvlan()
		status := s.reattached(1)
		if a := status.Attachments[0]; a.Interface != "mv0" {
			t.Errorf("attached to %+v", a)
		}
		s.reports(from, wire.AllowNewSources)
		s.hears(receiver)
	})
}

// An interface that becomes a port of a bridge and is freed again has not been
// removed, though the kernel says RTM_DELLINK of it.
func TestStoryPortOfABridge(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		s := joinedStage(t, f, f.feed())
		receiver := s.fed()
		s.hears(receiver)
		s.quietly(func() {
			s.undisturbed(func() {
				ok(t, s.Near.Add(testnet.Bridge("br0"), testnet.Up))
				ok(t, s.Near.Set("eth0", testnet.Master("br0")))
				s.caughtUp()
				ok(t, s.Near.Set("eth0", testnet.NoMaster))
			})
		})
		s.wantUsers(1)
		s.hears(receiver)
	})
}
