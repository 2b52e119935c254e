package integration

import (
	"fmt"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/internal/testnet"
)

const reattachRounds = 250

// crowd is what goes on beside a contender: other channels on eth1, and
// changes of an interface that nobody wants.
type crowd struct {
	b    *testing.B
	near *testnet.Namespace
}

const (
	crowdChannels = 50_000
	crowdPace     = time.Millisecond // from one change to the next
)

// newCrowd makes the interfaces.
func newCrowd(b *testing.B, near *testnet.Namespace) *crowd {
	b.Helper()
	ok(b, near.Netlink.LinkSetUp(addPair(b, near, "eth1", "peer1")))
	ok(b, near.Add(testnet.Bridge("br0"), testnet.Up))
	return &crowd{b: b, near: near}
}

// stir changes br0 until the function that it returns is called.
func (c *crowd) stir() (still func()) {
	if c == nil {
		return func() {}
	}
	stop, stopped := make(chan struct{}), make(chan error)
	go func() { stopped <- c.stirUntil(stop) }()
	return func() { close(stop); ok(c.b, <-stopped) }
}

func (c *crowd) stirUntil(stop <-chan struct{}) error {
	handle, err := netlink.NewHandleAt(c.near.Handle(), unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer handle.Close()
	link, err := handle.LinkByName("br0")
	if err != nil {
		return err
	}
	tick := time.NewTicker(crowdPace)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-stop:
			return nil
		case <-tick.C:
			if err := handle.LinkSetAlias(link, fmt.Sprint(i%2)); err != nil {
				return err
			}
		}
	}
}

// reattaching has a contender join one channel in each life of eth0, and the
// kernel's own word says when that is.
func reattaching(b *testing.B, kind string, crowded bool) func() subject {
	return func() subject {
		near := newNamespace(b)
		var around *crowd
		words := v4Load(1).args("eth0")
		end := near.Close
		if crowded {
			around = newCrowd(b, near)
			others := v4Load(crowdChannels).args("eth1")
			if kind == kindLibrary {
				words = append(words, others...)
			} else {
				other := startContender(b, near, kind, others...)
				end = func() { other.end(); near.Close() }
			}
		}
		c := startContender(b, near, kind, words...)
		monitor := newMonitor(b, near, rtnlgrpIPv4McAddr)
		joined := func() {
			monitor.until("the join", func(e event) bool {
				return e.kind == unix.RTM_NEWMULTICAST && e.group() == benchChannels(1)[0].Group
			})
		}
		return subject{
			round: func() time.Duration { defer around.stir()(); return c.life(joined) },
			end:   func() { c.end(); end() },
		}
	}
}

// BenchmarkReattachOne measures from setting the interface up to the one
// channel being joined.
func BenchmarkReattachOne(b *testing.B) {
	took := measure(b, reattachRounds, reattaching(b, kindLibrary, false), reattaching(b, kindBare, false), reattaching(b, kindGo, false))
	const what = "interface up to one channel joined, "
	compare(b, placeOne, what+"median", took[0], took[1], 0.5, atMost(1.2))
	compare(b, placeOne, what+"99th percentile", took[0], took[1], 0.99, atMost(1.2))
	compare(b, placeOne, "— median of the bare calls in Go, in the place of ssmd", took[2], took[1], 0.5, goal{})
}

// BenchmarkReattachCrowded measures the same while 50,000 other channels are
// held on another interface, and an interface that nobody wants changes 1,000
// times a second. It is held against the same contender alone.
func BenchmarkReattachCrowded(b *testing.B) {
	took := measure(b, reattachRounds/2, reattaching(b, kindLibrary, false), reattaching(b, kindLibrary, true),
		reattaching(b, kindBare, false), reattaching(b, kindBare, true))
	const what = "the same among 50,000 other channels and 1,000 link events a second, against ssmd alone, "
	compare(b, placeCrowd, what+"median", took[1], took[0], 0.5, atMost(1.5))
	compare(b, placeCrowd, what+"99th percentile", took[1], took[0], 0.99, atMost(1.5))
	compare(b, placeCrowd, "— median of the bare calls there, in the place of ssmd, against themselves alone", took[3], took[2], 0.5, goal{})
}
