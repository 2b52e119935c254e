package integration

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"testing"
	"time"
	"unsafe"

	"github.com/ssmd-project/ssmd/ifwatch"
	streams "github.com/ssmd-project/ssmd/internal/monitor"
	"github.com/ssmd-project/ssmd/membership"
	"golang.org/x/sys/unix"
)

// The load of the monitor's benchmark: so many streams of so many RTP packets of
// this size a second each, for so long.
const (
	floodStreams = 100
	floodRate    = 10_000
	floodPacket  = 1316
	floodTime    = 2 * time.Second
)

// heardFlood is what the load cost, and what a contender counted of it.
type heardFlood struct {
	sent, took   float64 // datagrams, seconds
	busy         float64 // processor time of the process, in seconds
	thread       float64 // of the contender's own thread
	read, unread float64 // datagrams
}

// flooded is a namespace in which a manager holds the streams.
type flooded struct {
	*lab
	channels []membership.Channel
	manager  *membership.Manager
}

// BenchmarkMonitor measures what the monitor costs beside a counter in the kernel,
// and beside nobody who listens.
func BenchmarkMonitor(b *testing.B) {
	var nobody, ours, kernels []heardFlood
	for b.Loop() {
		nobody = append(nobody, flood(b, func(*flooded) func() heardFlood { return func() heardFlood { return heardFlood{} } }))
		ours = append(ours, flood(b, byMonitor))
		kernels = append(kernels, flood(b, byFilter))
	}
	b.ReportMetric(0, "ns/op")
	each := func(all []heardFlood, of func(heardFlood) float64) float64 {
		values := make([]float64, len(all))
		for n, one := range all {
			values[n] = of(one)
		}
		return quantile(values, 0.5)
	}
	busy := func(h heardFlood) float64 { return h.busy / h.sent * 1e9 }
	alone := each(nobody, busy)
	nanoseconds := func(v float64) string { return fmt.Sprintf("%.0f ns", v) }
	percent := func(v float64) string { return fmt.Sprintf("%.1f %%", 100*v) }
	bare := "not allowed here"
	if each(kernels, func(h heardFlood) float64 { return h.read }) > 0 {
		bare = nanoseconds(each(kernels, busy) - alone)
	}
	what := fmt.Sprintf("%d RTP streams of %s datagrams a second each: processor time for one that is monitored, delivered and read; bare: counted by an eBPF filter", floodStreams, grouped(floodRate))
	more := fmt.Sprintf("%.0f a second were sent, %s unread; sending and what the kernel does without a listener take %s",
		each(ours, func(h heardFlood) float64 { return h.sent / h.took }), percent(each(ours, func(h heardFlood) float64 { return h.unread / h.sent })), nanoseconds(alone))
	record(row{placeMonitor, what, nanoseconds(each(ours, busy) - alone), bare, more, ""})
	share := each(ours, func(h heardFlood) float64 { return h.thread / h.took })
	reached := "met"
	switch {
	case each(ours, func(h heardFlood) float64 { return h.unread }) > 0:
		reached = "missed"
	case each(ours, func(h heardFlood) float64 { return h.sent / h.took }) < floodStreams*floodRate:
		reached = "not sent here"
	}
	record(row{placeMonitor, "— of that the monitor's own thread", nanoseconds(each(ours, func(h heardFlood) float64 { return h.thread / h.read * 1e9 })), "", percent(share) + " of a processor", "all of it on one processor: " + reached})
}

// flood has a contender listen while the load is sent.
func flood(b *testing.B, listen func(*flooded) (heard func() heardFlood)) heardFlood {
	b.Helper()
	f := &flooded{lab: &lab{newNetwork(b), b, patience(b), v4}}
	f.manager = membership.New(membership.Options{Watch: ifwatch.Options{Within: f.Near.Do}})
	ctx, stop := context.WithCancel(f.ctx)
	ended := make(chan error, 1)
	go func() { ended <- f.manager.Run(ctx) }()
	for n := range floodStreams {
		c := v4.spare(n)
		f.channels = append(f.channels, membership.Channel{Source: c.source, Group: c.group})
	}
	ok(b, f.manager.Apply(f.ctx, []membership.Membership{onEth0("feed", f.channels...)}))
	awaitStatus(b, f.ctx, inState(membership.StateJoined), func() (membership.Status, error) { return f.manager.StatusOf(f.ctx, "feed") })
	heard := listen(f)
	before, began := busyTime(), time.Now()
	sent := f.send()
	took, busy := time.Since(began), busyTime()-before
	h := heard()
	h.sent, h.took, h.busy = float64(sent), took.Seconds(), busy.Seconds()
	if counted := h.read + h.unread; counted > 0 && math.Abs(counted-h.sent) > h.sent/100 {
		b.Errorf("%.0f datagrams were counted, %.0f sent", counted, h.sent)
	}
	stop()
	ok(b, <-ended)
	f.Near.Close()
	f.Far.Close()
	return h
}

// byMonitor has the monitor count.
func byMonitor(f *flooded) func() heardFlood {
	watch := streams.New(f.manager)
	ctx, stop := context.WithCancel(f.ctx)
	spent := make(chan time.Duration, 1)
	go func() {
		_ = f.Near.Do(func() error {
			before := threadTime()
			err := watch.Run(ctx)
			spent <- threadTime() - before
			return err
		})
	}()
	settings := streams.Settings{Port: port, RTP: true, StalledAfter: time.Minute}
	ok(f.t, watch.Set(f.ctx, map[string]streams.Target{"feed": {Settings: settings, Channels: f.channels}}))
	status := func(check func(streams.Stream) error) (s *streams.Status) {
		eventually(f.t, func() (err error) {
			if s, err = watch.StatusOf(f.ctx, "feed"); err != nil {
				return err
			}
			for _, one := range s.Streams {
				if err := check(one); err != nil {
					return err
				}
			}
			return nil
		})
		return s
	}
	status(func(s streams.Stream) error { // its sockets are open
		if s.Interface == "" || s.Error != "" {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
	return func() (h heardFlood) {
		s := status(func(s streams.Stream) error { // all is read, and the drops were looked at
			if s.DatagramsPerSecond > 0 {
				return fmt.Errorf("%v datagrams a second yet", s.DatagramsPerSecond)
			}
			return nil
		})
		for _, one := range s.Streams {
			h.read, h.unread = h.read+float64(one.Datagrams), h.unread+float64(one.Unread)
		}
		stop()
		h.thread = (<-spent).Seconds()
		return h
	}
}

// busyTime is the processor time of this process: it sends, the kernel delivers in
// its system calls, and it reads. /proc/stat counts ticks, which the pauses of the
// sender escape.
func busyTime() time.Duration { return spentBy(unix.RUSAGE_SELF) }

func threadTime() time.Duration { return spentBy(unix.RUSAGE_THREAD) }

func spentBy(who int) time.Duration {
	var u unix.Rusage
	_ = unix.Getrusage(who, &u) // who is right
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// segments is how many datagrams of a stream are sent at once, in one buffer that
// the kernel cuts: UDP_SEGMENT, udp(7).
const segments = 40

// send sends the load, or as much as one thread can.
func (f *flooded) send() (sent int) {
	f.t.Helper()
	s := f.outward()
	burst := make([]byte, segments*floodPacket)
	ok(f.t, s.do(func(fd int) error {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT, floodPacket); err != nil {
			return err
		}
		began := time.Now()
		pause := time.Duration(segments) * time.Second / floodRate
		for round := 0; time.Since(began) < floodTime; round++ {
			for n := range segments {
				header := burst[n*floodPacket:]
				header[0], header[1] = 0x80, 33
				binary.BigEndian.PutUint16(header[2:], uint16(round*segments+n))
			}
			for _, c := range f.channels {
				if err := unix.Sendto(fd, burst, 0, &unix.SockaddrInet4{Port: port, Addr: c.Group.As4()}); err != nil {
					return err
				}
				sent += segments
			}
			time.Sleep(time.Until(began.Add(time.Duration(round+1) * pause)))
		}
		return nil
	}))
	return sent
}

// byFilter counts in the kernel: a filter on a socket for each group adds to a map,
// and lets nothing through. It needs CAP_BPF.
func byFilter(f *flooded) func() heardFlood {
	counts, err := bpf(unix.BPF_MAP_CREATE, &struct{ kind, key, value, entries uint32 }{unix.BPF_MAP_TYPE_ARRAY, 4, 16, floodStreams})
	if err != nil {
		f.t.Logf("no counter in the kernel: %v", err)
		return func() heardFlood { return heardFlood{} }
	}
	f.t.Cleanup(func() { _ = unix.Close(counts) })
	for n, c := range f.channels {
		program, err := loadCounter(counts, n)
		ok(f.t, err)
		s := newSocket(f.t, f.Near, v4)
		ok(f.t, s.do(func(fd int) error {
			if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ATTACH_BPF, program); err != nil {
				return err
			}
			if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
				return err
			}
			return unix.Bind(fd, &unix.SockaddrInet4{Port: port, Addr: c.Group.As4()})
		}))
		ok(f.t, unix.Close(program)) // the socket has it
	}
	return func() (h heardFlood) {
		for n := range uint32(floodStreams) {
			var value [2]uint64 // datagrams, bytes
			_, err := bpf(unix.BPF_MAP_LOOKUP_ELEM, &struct {
				fd, _      uint32
				key, value unsafe.Pointer
			}{fd: uint32(counts), key: unsafe.Pointer(&n), value: unsafe.Pointer(&value)})
			ok(f.t, err)
			h.read += float64(value[0])
		}
		return h
	}
}

// bpf is bpf(2), whose attributes are a struct of the command.
func bpf[T any](command int, attributes *T) (int, error) {
	result, _, errno := unix.Syscall(unix.SYS_BPF, uintptr(command), uintptr(unsafe.Pointer(attributes)), unsafe.Sizeof(*attributes))
	if errno != 0 {
		return -1, errno
	}
	return int(result), nil
}

// loadCounter loads a filter that adds to one entry of a map the number of
// datagrams and their bytes.
func loadCounter(counts, entry int) (int, error) {
	type instruction struct {
		code, registers uint8 // the source's number above, the destination's below
		offset          int16
		constant        int32
	}
	program := []instruction{
		{0xbf, 0x16, 0, 0},             // r6 = r1, the packet
		{0x62, 0x0a, -4, int32(entry)}, // *(u32 *)(r10 - 4) = entry
		{0xbf, 0xa2, 0, 0},             // r2 = r10
		{0x07, 0x02, 0, -4},            // r2 += -4
		{0x18, 0x11, 0, int32(counts)}, // r1 = the map, in two halves
		{},                             //
		{0x85, 0, 0, 1},                // r0 = bpf_map_lookup_elem(r1, r2)
		{0x15, 0x00, 4, 0},             // if r0 == 0, drop
		{0xb7, 0x01, 0, 1},             // r1 = 1
		{0xdb, 0x10, 0, 0},             // lock *(u64 *)r0 += r1
		{0x61, 0x61, 0, 0},             // r1 = r6->len
		{0xdb, 0x10, 8, 0},             // lock *(u64 *)(r0 + 8) += r1
		{0xb7, 0x00, 0, 0},             // drop: r0 = 0
		{0x95, 0, 0, 0},                // return r0
	}
	license := []byte("Apache-2.0\x00")
	return bpf(unix.BPF_PROG_LOAD, &struct {
		kind, count           uint32
		instructions, license unsafe.Pointer
	}{unix.BPF_PROG_TYPE_SOCKET_FILTER, uint32(len(program)), unsafe.Pointer(&program[0]), unsafe.Pointer(&license[0])})
}
