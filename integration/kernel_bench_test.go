package integration

import (
	"slices"
	"testing"

	"github.com/ssmd-project/ssmd/internal/testnet"
)

const (
	benchGroups      = 10_000
	groupsPerSocket  = 20
	benchSocketCount = benchGroups / groupsPerSocket
)

// joinMany joins benchGroups groups, 20 a socket, on a fresh interface.
func joinMany(b *testing.B, n *testnet.Network, f family) []*socket {
	b.Helper()
	index, err := n.Near.Index("eth0")
	ok(b, err)
	sockets := make([]*socket, benchSocketCount)
	ok(b, n.Near.Do(func() (err error) {
		for i := range sockets {
			if sockets[i], err = openSocket(f); err != nil {
				return err
			}
			for j := range groupsPerSocket {
				if err := sockets[i].join(index, f.spare(i*groupsPerSocket+j)); err != nil {
					return err
				}
			}
		}
		return nil
	}))
	return sockets
}

func closeAll(b *testing.B, sockets []*socket) {
	b.Helper()
	for _, s := range sockets {
		ok(b, s.close())
	}
}

// Fact K19: what 10,000 joins cost.
func BenchmarkK19Join(b *testing.B) {
	for _, f := range []family{v4, v6} {
		b.Run(f.name, func(b *testing.B) {
			n := newNetwork(b)
			for b.Loop() {
				sockets := joinMany(b, n, f)
				b.StopTimer()
				slices.Reverse(sockets)
				closeAll(b, sockets)
				b.StartTimer()
			}
		})
	}
}

// Fact K19: what leaving 10,000 groups costs, in which order and when.
func BenchmarkK19Leave(b *testing.B) {
	for name, prepare := range map[string]func(*testnet.Network, []*socket) error{
		"newest first": func(_ *testnet.Network, s []*socket) error { slices.Reverse(s); return nil },
		"oldest first": func(*testnet.Network, []*socket) error { return nil },
		"gone":         func(n *testnet.Network, _ []*socket) error { return n.Cut("eth0") },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				n := newNetwork(b)
				sockets := joinMany(b, n, v4)
				ok(b, prepare(n, sockets))
				b.StartTimer()
				closeAll(b, sockets)
				b.StopTimer()
				n.Close()
				b.StartTimer()
			}
		})
	}
}
