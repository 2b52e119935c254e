package membership

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// idleKernel opens sockets that take as many groups as Linux does, and cost
// nothing.
type idleKernel struct{ kernel }

func (idleKernel) open(ifwatch.Family) (holdingSocket, error) { return &idleSocket{}, nil }

type idleSocket struct {
	holdingSocket
	groups int
}

func (s *idleSocket) join(int, Channel) error {
	if s.groups == 20 {
		return unix.ENOBUFS
	}
	s.groups++
	return nil
}

func (s *idleSocket) occupied(int) bool { return false }
func (s *idleSocket) close()            {}

// BenchmarkRestore measures what there is to a restoration besides the kernel's
// part: 10,000 channels are wished for, joined, and torn down with their
// interface.
func BenchmarkRestore(b *testing.B) {
	channels := manyChannels(1, 10000)
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		p := newPool(poolKey{family: ifwatch.IPv4}, newOwnSockets(idleKernel{}, ifwatch.IPv4, 7, newParkingLot(), func() bool { return false }))
		p.users = 1
		p.wish(channels)
		p.flush(now, wholly())
		if p.joined != len(channels) {
			b.Fatal(p.joined)
		}
		p.holder.abandon()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(channels)), "ns/channel")
}

// BenchmarkCompare measures for how long an audit of 10,000 channels keeps the
// owner from its work.
func BenchmarkCompare(b *testing.B) {
	w := newWorld()
	w.kernel.maxGroups = 20
	w.create(1, mac1)
	w.put(feed("a", "eth1", manyChannels(1, 10000)...))
	w.deliver()
	compare := func() {}
	w.keeper.aside = func(now time.Time, read func(), then func(time.Time)) {
		read()
		compare = func() { then(now) }
	}
	for b.Loop() {
		b.StopTimer()
		w.keeper.audit(w.now)
		b.StartTimer()
		compare()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*10000), "ns/channel")
}
