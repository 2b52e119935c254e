package control

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ssmd-project/ssmd/internal/monitor"
	"github.com/ssmd-project/ssmd/membership"
)

// fakeMonitor monitors feed-a.
type fakeMonitor struct{ status monitor.Status }

// fullMonitor has something in every field.
func fullMonitor() fakeMonitor {
	jitter, since := 0.001, time.Unix(1000, 1).UTC()
	channel := membership.Channel{Source: netip.MustParseAddr("10.1.0.1"), Group: netip.MustParseAddr("232.1.1.1")}
	return fakeMonitor{monitor.Status{Port: 5001, Stalled: 1, Streams: []monitor.Stream{
		{
			Channel: channel, Interface: "eth0.1", Instance: 7, Since: since, DatagramsPerSecond: 1.5, BytesPerSecond: 3, LongestGapSeconds: 0.5,
			Datagrams: 7, Bytes: 14, Stalls: 2, Unread: 1,
			RTP: &monitor.RTP{Expected: 6, Received: 7, Lost: -1, Reordered: 1, Duplicates: 2, Invalid: 3, Restarts: 1, JitterSeconds: &jitter},
		},
		{Channel: channel, Stalled: true, Since: since, Error: "in use", RTP: &monitor.RTP{}},
	}}}
}

func (m fakeMonitor) Status(context.Context) (map[string]monitor.Status, error) {
	return map[string]monitor.Status{"feed-a": m.status}, nil
}

func (m fakeMonitor) StatusOf(_ context.Context, name string) (*monitor.Status, error) {
	if name != "feed-a" {
		return nil, nil
	}
	return &m.status, nil
}

// Whatever tells how a membership stands tells how its streams come in, and
// nothing of those that are not monitored.
func TestMonitorIsTold(t *testing.T) {
	other := joined
	other.Name = "feed-b"
	m := fullMonitor()
	h := serveAll(t, ServerOptions{Manager: &fakeManager{statuses: []membership.Status{joined, other}}, Editor: &fakeEditor{}, Monitor: m}, nil)
	ctx, c := t.Context(), h.client
	all, err := c.Memberships(ctx)
	if err != nil || len(all) != 2 {
		t.Fatalf("%+v, %v", all, err)
	}
	one := func(s Status, err error) *monitor.Status {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
		return s.Monitor
	}
	for name, ask := range map[string]func(name string) *monitor.Status{
		"list":       func(name string) *monitor.Status { return all[map[string]int{"feed-a": 0, "feed-b": 1}[name]].Monitor },
		"one":        func(name string) *monitor.Status { return one(c.Membership(ctx, name)) },
		"put":        func(name string) *monitor.Status { return one(c.Put(ctx, name, []byte("{}"), KeepUntilExit)) },
		"delete":     func(name string) *monitor.Status { return one(c.Delete(ctx, name)) },
		"reannounce": func(name string) *monitor.Status { return one(c.Reannounce(ctx, name)) },
		"explain": func(name string) *monitor.Status {
			e, err := c.Explain(ctx, name)
			return one(e.Status, err)
		},
	} {
		if diff := cmp.Diff(&m.status, ask("feed-a"), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if got := ask("feed-b"); got != nil {
			t.Errorf("%s: %+v of what is not monitored", name, got)
		}
	}
}
