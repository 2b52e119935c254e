package integration

import (
	"context"
	"testing"
	"time"

	"github.com/ssmd-project/ssmd/ifwatch"
	streams "github.com/ssmd-project/ssmd/internal/monitor"
	"github.com/ssmd-project/ssmd/membership"
	"github.com/ssmd-project/ssmd/reattach"
	"golang.org/x/sys/unix"
)

// BenchmarkMonitor sends to a hundred streams, as fast as one thread can, and tells
// what CPU time the monitor's own thread took for each datagram.
func BenchmarkMonitor(b *testing.B) {
	l := &lab{newNetwork(b), b, patience(b), v4}
	manager := membership.New(membership.Options{Watch: ifwatch.Options{Within: l.Near.Do}})
	watch := streams.New(manager)
	background(b, manager.Run)
	ctx, cancel := context.WithCancel(context.Background())
	spent := make(chan time.Duration, 1)
	go func() {
		_ = l.Near.Do(func() error {
			before := threadTime()
			err := watch.Run(ctx)
			spent <- threadTime() - before
			return err
		})
	}()
	one := membership.Membership{Name: "feed", Rules: reattach.Rules{Selector: reattach.ByName("eth0")}}
	for n := range 100 {
		c := v4.spare(n)
		one.Channels = append(one.Channels, membership.Channel{Source: c.source, Group: c.group})
	}
	ok(b, manager.Apply(l.ctx, []membership.Membership{one}))
	ok(b, watch.Set(l.ctx, map[string]streams.Target{"feed": {Settings: streams.Settings{Port: port, RTP: true, StalledAfter: time.Minute}, Channels: one.Channels}}))
	eventually(b, func() error { _, err := watch.StatusOf(l.ctx, "feed"); return err })
	time.Sleep(100 * time.Millisecond) // until the sockets are open
	start := time.Now()
	sent := flood(b, l, one.Channels, 2*time.Second)
	took := time.Since(start)
	time.Sleep(1100 * time.Millisecond) // what is on its way is read, and the look is over
	status, err := watch.StatusOf(l.ctx, "feed")
	ok(b, err)
	cancel()
	var read, unread uint64
	for _, s := range status.Streams {
		read, unread = read+s.Datagrams, unread+s.Unread
	}
	b.ReportMetric(float64((<-spent).Nanoseconds())/float64(read), "cpu-ns/datagram")
	b.ReportMetric(float64(sent)/took.Seconds(), "sent/s")
	b.ReportMetric(float64(unread), "unread")
	b.ReportMetric(0, "ns/op")
}

func threadTime() time.Duration {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_THREAD, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// flood sends RTP of 1,316 bytes to every channel in turn.
func flood(b *testing.B, l *lab, to []membership.Channel, long time.Duration) (sent int) {
	b.Helper()
	s := newSocket(b, l.Far, v4)
	index, err := l.Far.Index("far0")
	ok(b, err)
	payload := make([]byte, 1316)
	ok(b, s.do(func(fd int) error {
		if err := unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_IF, &unix.IPMreqn{Ifindex: int32(index)}); err != nil {
			return err
		}
		for end, n := time.Now().Add(long), uint16(0); time.Now().Before(end); n++ {
			payload[0], payload[1], payload[2], payload[3] = 0x80, 33, byte(n>>8), byte(n)
			for _, c := range to {
				if unix.Sendto(fd, payload, 0, &unix.SockaddrInet4{Port: port, Addr: c.Group.As4()}) == nil {
					sent++
				}
			}
		}
		return nil
	}))
	return sent
}
