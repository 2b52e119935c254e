package wire

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/ssmd-project/ssmd/internal/testnet"
)

// Joins arrive on the far side as reports, also after the far interface was
// made anew, with their sources and groups.
func TestCaptureReports(t *testing.T) {
	t.Parallel()
	ctx, n := patience(t), network(t)
	c := capture(t, n.Far)
	channels := []struct {
		to     netip.AddrPort
		source netip.Addr
	}{{data4, testnet.Source4}, {data6, testnet.Source6}}
	for range 2 {
		heard := len(c.Reports())
		for _, ch := range channels {
			r, err := testnet.NewReceiver(n.Near, testnet.ReceiverConfig{Listen: ch.to, Join: "eth0", Source: ch.source})
			ok(t, err)
			defer r.Close()
			report, err := c.WaitFrom(ctx, heard, func(r Report) bool {
				return r.Is(AllowNewSources, ch.source, ch.to.Addr())
			})
			ok(t, err)
			if report.Interface != "far0" || len(report.Sources) != 1 {
				t.Errorf("got %v", report)
			}
		}
		ok(t, n.Recreate("eth0", testnet.Veth{}))
	}
}

// A query is answered with all groups: several records in one packet.
func TestAsk(t *testing.T) {
	t.Parallel()
	ctx, n := patience(t), network(t)
	c := capture(t, n.Far)
	for _, g := range append(someGroups, data6) {
		source := testnet.Source4
		if g.Addr().Is6() {
			source = testnet.Source6
		}
		r, err := testnet.NewReceiver(n.Near, testnet.ReceiverConfig{Listen: g, Join: "eth0", Source: source})
		ok(t, err)
		defer r.Close()
	}
	ok(t, n.Far.Ask("far0", testnet.QueryV3))
	packet := 0
	for _, g := range someGroups {
		r, err := c.Wait(ctx, func(r Report) bool { return r.Is(ModeIsInclude, testnet.Source4, g.Addr()) })
		ok(t, err)
		if packet != 0 && r.Packet != packet {
			t.Errorf("record in packet %d, the one before in %d", r.Packet, packet)
		}
		packet = r.Packet
	}
	ok(t, testnet.Eventually(ctx, func() error { return n.Far.Ask("far0", testnet.QueryMLD) }))
	_, err := c.Wait(ctx, func(r Report) bool { return r.Is(ModeIsInclude, testnet.Source6, data6.Addr()) })
	ok(t, err)
	eth0, err := n.Near.Index("eth0")
	ok(t, err)
	for version, q := range map[string]testnet.Query{"V2": testnet.QueryV2} {
		ok(t, n.Far.Ask("far0", q))
		ok(t, testnet.Eventually(ctx, func() error {
			queriers, err := testnet.Queriers(n.Near)
			if queriers[eth0] != version && err == nil {
				return errors.New("not yet")
			}
			return err
		}))
	}
	_, err = c.Wait(ctx, func(r Report) bool { return r.Is(V2Report, netip.Addr{}, data4.Addr()) })
	ok(t, err)
}

func TestCloseEndsRun(t *testing.T) {
	t.Parallel()
	n := network(t)
	for range 20 { // before Run reads, and while it does
		c, err := NewCapture(n.Far)
		ok(t, err)
		done := make(chan error, 1)
		go func() { done <- c.Run(t.Context()) }()
		runtime.Gosched()
		ok(t, c.Close())
		ok(t, <-done)
	}
}

// Close closes what the capture opened. Not parallel: the other tests open
// files.
func TestCaptureLeaksNothing(t *testing.T) {
	n := network(t)
	var used []*Capture // kept, or the collector would close their files
	use := func() {
		c, err := NewCapture(n.Far)
		ok(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		cancel()
		ok(t, <-done)
		ok(t, c.Close())
		used = append(used, c)
	}
	use() // the runtime opens files of its own
	before := openSockets(t)
	for range 3 {
		use()
	}
	ok(t, testnet.Eventually(patience(t), func() error {
		if now := openSockets(t); now > before {
			return fmt.Errorf("%d sockets are open, before it were %d", now, before)
		}
		return nil
	}))
	runtime.KeepAlive(used)
}

// openSockets counts the program's open sockets.
func openSockets(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	ok(t, err)
	count := 0
	for _, e := range entries {
		target, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err == nil && strings.HasPrefix(target, "socket:") {
			count++
		}
	}
	return count
}
