package integration

import (
	"testing"

	"github.com/ssmd-project/ssmd/internal/testnet"
)

// What the kernel restores by itself ends no attachment: administratively
// down and up.
func TestStoryDownAndUp(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		s := joinedStage(t, f, f.feed())
		receiver := s.fed()
		s.hears(receiver)
		s.undisturbed(func() {
			ok(t, s.Near.Set("eth0", testnet.Down))
			s.caughtUp()
			ok(t, s.Near.Set("eth0", testnet.Up))
		})
		s.wantUsers(1)
		s.hears(receiver)
	})
}

// A cable that is pulled and put back leaves everything as it was.
func TestStoryCarrierLost(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		s := joinedStage(t, f, f.feed())
		receiver := s.fed()
		s.hears(receiver)
		s.unpruned(func() {
			s.undisturbed(func() {
				ok(t, s.Far.Set("far0", testnet.Down))
				s.caughtUp()
				// The far end lost its IPv6 address by going down.
				ok(t, s.Far.Set("far0", testnet.Up, testnet.NoAddresses, testnet.Address("10.1.0.1/24", "2001:db8:1::1/64")))
			})
		})
		s.wantUsers(1)
		s.hears(receiver)
	})
}

// A membership is the interface's and not an address's.
func TestStoryAddressesFlushed(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		s := joinedStage(t, f, f.feed())
		receiver := s.fed()
		s.unpruned(func() {
			s.undisturbed(func() {
				ok(t, s.Near.Set("eth0", testnet.NoAddresses))
				s.caughtUp()
				s.hears(receiver)
				ok(t, s.Near.Set("eth0", testnet.Address("10.1.0.2/24", "2001:db8:1::2/64")))
			})
		})
		s.wantUsers(1)
		s.hears(receiver)
	})
}
