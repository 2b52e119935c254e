package membership

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/ifwatch"
)

func newBallast(k kernel, f ifwatch.Family, index int, lot *parkingLot) *ownSockets {
	return newOwnSockets(k, f, index, lot, never)
}

func never() bool { return false }

// leaveOverBallast has ballast join channels, and then something leave them, unless
// the life has ended meanwhile and the index may have another one. It reports
// whether nothing of them is left on that socket. What was left took the ballast's
// user, and the ballast is never to leave in this life of the index; where nothing
// was, it leaves by itself.
func leaveOverBallast(ballast *ownSockets, channels []Channel, ended func() bool, leave func() error) bool {
	joined := joinAll(ballast, channels) && !ended()
	if joined && !isNothingLeft(leave()) || ended() {
		ballast.abandon()
	} else {
		ballast.release()
	}
	return joined
}

// isNothingLeft reports whether an error says that there was nothing to leave: the
// socket has not joined, or is closed.
func isNothingLeft(err error) bool { return errors.Is(err, unix.EADDRNOTAVAIL) || isClosed(err) }
