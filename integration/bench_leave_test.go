package integration

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const leaveChannels = 50_000

// leaving has a contender leave everything while the interface lives, and join
// it again after that.
func leaving(b *testing.B, kind string) func() subject {
	return func() subject {
		near := newNamespace(b)
		c := startContender(b, near, kind, v4Load(leaveChannels).args("eth0")...)
		addEth0(b, near)
		c.joined()
		return subject{
			round: func() time.Duration {
				took := c.ask(unix.SIGUSR1, "left")
				holds(b, near, 0)
				c.ask(unix.SIGUSR2, "joined")
				return took
			},
			end: func() { c.end(); near.Close() },
		}
	}
}

// BenchmarkLeave measures from the word to leave to all channels being left,
// newest first.
func BenchmarkLeave(b *testing.B) {
	took := measure(b, 4, leaving(b, kindLibrary), leaving(b, kindBare), leaving(b, kindGo))
	compare(b, placeLeave, "leave 50,000 v4 channels while the interface lives", took[0], took[1], 0.5, atMost(1.2))
	compare(b, placeLeave, "— the bare calls in Go, in the place of ssmd", took[2], took[1], 0.5, goal{})
}

// BenchmarkStop measures from SIGTERM to the end of the process that holds the
// channels.
func BenchmarkStop(b *testing.B) {
	file := oneMembership(leaveChannels)
	ours := func() subject {
		near := namespaceWithEth0(b)
		return subject{end: near.Close, round: func() time.Duration {
			d := serve(b, near, file)
			holds(b, near, leaveChannels)
			return d.quit()
		}}
	}
	bare := func() subject {
		near := namespaceWithEth0(b)
		return subject{end: near.Close, round: func() time.Duration {
			return startContender(b, near, kindBare, v4Load(leaveChannels).args("eth0")...).quit()
		}}
	}
	took := measure(b, 2, ours, bare)
	compare(b, placeLeave, "stop the daemon that holds them, SIGTERM to its end", took[0], took[1], 0.5, atMost(1.2))
}
