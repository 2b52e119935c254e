package membership

import "github.com/ssmd-project/ssmd/ifwatch"

func newBallast(k kernel, f ifwatch.Family, index int, lot *parkingLot) *ownSockets {
	return newOwnSockets(k, f, index, lot, never)
}

func never() bool { return false }

// leaveOverBallast has ballast join channels, and then something leave them, unless
// the life has ended meanwhile and the index may have another one. It reports
// whether that left.
func leaveOverBallast(ballast *ownSockets, channels []Channel, ended func() bool, leave func()) bool {
	defer ballast.abandon() // never to leave in this life of the index
	if !joinAll(ballast, channels) || ended() {
		return false
	}
	leave()
	return true
}
