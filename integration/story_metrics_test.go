package integration

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ssmd-project/ssmd/control"
	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/membership"
)

// metricsAt is where the daemon of these stories listens. Each has a loopback
// of its own.
const metricsAt = "127.0.0.1:9781"

// listeningDir is a daemonDir whose daemon listens.
func (l *lab) listeningDir() string {
	l.t.Helper()
	dir := l.daemonDir()
	file := filepath.Join(dir, "ssmd.yaml")
	text, err := os.ReadFile(file)
	ok(l.t, err)
	ok(l.t, os.WriteFile(file, fmt.Appendf(text, "http: {listen: %q}\n", metricsAt), 0o644))
	return dir
}

// clientIn returns a client whose connections are of a namespace.
func clientIn(n *testnet.Namespace) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (c net.Conn, err error) {
			err = n.Do(func() error {
				c, err = (&net.Dialer{}).DialContext(ctx, network, address)
				return err
			})
			return c, err
		},
	}}
}

// web asks for a path of the daemon, on a connection of its namespace.
func (l *lab) web(path string) (int, string, error) {
	request, err := http.NewRequestWithContext(l.ctx, http.MethodGet, "http://"+metricsAt+path, nil)
	if err != nil {
		return 0, "", err
	}
	response, err := clientIn(l.Near).Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, string(body), err
}

// scraped are ssmd's own series and their values.
type scraped map[string]float64

func (d *daemon) scrape() scraped {
	d.t.Helper()
	status, body, err := d.web("/metrics")
	if err != nil || status != http.StatusOK {
		d.t.Fatalf("%d, %v: %s", status, err, body)
	}
	series := make(scraped)
	for line := range strings.Lines(body) {
		name, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		if strings.HasPrefix(name, "ssmd_") {
			value, err := strconv.ParseFloat(text, 64)
			ok(d.t, err)
			series[name] = value
		}
	}
	return series
}

// since returns what is otherwise than before, and by how much. How long
// something took, and what else the kernel had to tell, is left out.
func (s scraped) since(before scraped) map[string]float64 {
	moved := make(map[string]float64)
	for name, value := range s {
		if value != before[name] {
			moved[name] = value - before[name]
		}
	}
	for name := range before {
		if _, there := s[name]; !there {
			moved[name+" is gone"] = 0
		}
	}
	maps.DeleteFunc(moved, func(name string, _ float64) bool {
		return strings.HasPrefix(name, "ssmd_reattach_seconds_bucket{") && !strings.Contains(name, "+Inf") || name == "ssmd_reattach_seconds_sum" ||
			strings.HasPrefix(name, "ssmd_netlink_events_total{") && !strings.Contains(name, `"dellink"`)
	})
	return moved
}

// moved scrapes until exactly this has changed.
func (d *daemon) moved(before scraped, want map[string]float64) scraped {
	d.t.Helper()
	var now scraped
	err := testnet.Eventually(d.ctx, func() error {
		now = d.scrape()
		if diff := cmp.Diff(want, now.since(before)); diff != "" {
			return fmt.Errorf("since the last scrape (-want +got):\n%s", diff)
		}
		return nil
	})
	ok(d.t, err)
	return now
}

// wantFirst checks what is told while the feed is joined for the first time.
func (d *daemon) wantFirst(first scraped) scraped {
	d.t.Helper()
	for name, want := range map[string]float64{
		`ssmd_memberships{state="joined"}`: 1, `ssmd_memberships{state="ended"}`: 0, "ssmd_channels_joined": 1, "ssmd_sockets": 1, "ssmd_attaches_total": 1,
		`ssmd_detaches_total{cause="removal"}`: 0, "ssmd_reattaches_total": 0, "ssmd_reattach_seconds_count": 0, "ssmd_repairs_total": 0,
		`ssmd_join_errors_total{errno="ENOBUFS"}`: 0, "ssmd_netlink_overruns_total": 0, "ssmd_config_last_reload_successful": 1,
	} {
		if got, there := first[name]; !there || got != want {
			d.t.Errorf("%s is %v (%t), want %v", name, got, there, want)
		}
	}
	if first[`ssmd_netlink_events_total{type="newlink"}`] < 2 || first[`ssmd_netlink_events_total{type="newaddr"}`] < 2 {
		d.t.Errorf("fewer events than there are interfaces: %v", first)
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		if status, body, err := d.web(path); status != http.StatusOK || body != "ok\n" {
			d.t.Errorf("%s: %d %q %v", path, status, body, err)
		}
	}
	return first
}

// What is told over HTTP moves by exactly what happened.
func storyMetrics(t *testing.T, program string) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		dir := l.listeningDir()
		d := startDaemon(l, program, dir, nil)
		d.await(inState(membership.StateJoined))
		before := d.wantFirst(d.scrape())

		// Two more lives, the second after a while without any.
		reattached := map[string]float64{
			"ssmd_attaches_total": 1, `ssmd_detaches_total{cause="removal"}`: 1, "ssmd_reattaches_total": 1,
			"ssmd_reattach_seconds_count": 1, `ssmd_reattach_seconds_bucket{le="+Inf"}`: 1, `ssmd_netlink_events_total{type="dellink"}`: 1,
		}
		ok(t, l.Recreate("eth0", testnet.Veth{}))
		before = d.moved(before, reattached)
		ok(t, l.Cut("eth0"))
		lost := d.moved(before, map[string]float64{
			`ssmd_memberships{state="joined"}`: -1, `ssmd_memberships{state="detached"}`: 1, "ssmd_channels_joined": -1, "ssmd_sockets": -1,
			`ssmd_detaches_total{cause="removal"}`: 1, `ssmd_netlink_events_total{type="dellink"}`: 1,
		})
		ok(t, l.Connect(testnet.Veth{}))
		found := d.moved(before, reattached)
		if took := found["ssmd_reattach_seconds_sum"] - lost["ssmd_reattach_seconds_sum"]; took <= 0 || took > 30 {
			t.Errorf("it took %v s", took)
		}

		// Another membership for the same channel, for a while.
		entry := fmt.Appendf(nil, `{"channels": %q, "interface": "eth0"}`, l.channel)
		_, err := d.client.Put(d.ctx, "more", entry, control.KeepUntilExit)
		ok(t, err)
		before = d.moved(found, map[string]float64{`ssmd_memberships{state="joined"}`: 1, "ssmd_attaches_total": 1})
		_, err = d.client.Delete(d.ctx, "more")
		ok(t, err)
		before = d.moved(before, map[string]float64{`ssmd_memberships{state="joined"}`: -1, `ssmd_detaches_total{cause="request"}`: 1})

		// A file that is wrong is told, and nothing else moves.
		ok(t, os.WriteFile(filepath.Join(dir, "ssmd.yaml"), []byte("memberships: 1\n"), 0o644))
		d.moved(before, map[string]float64{"ssmd_config_last_reload_successful": -1})
		l.hears(l.fed())
	})
}

// A daemon that cannot listen does not start, and touches nothing.
func storyPortInUse(t *testing.T, program string) {
	t.Parallel()
	l := newLab(t, v4)
	var taken net.Listener
	ok(t, l.Near.Do(func() (err error) {
		taken, err = net.Listen("tcp", metricsAt)
		return err
	}))
	defer taken.Close()
	dir := l.listeningDir()
	capture := newCapture(t, l.Far)
	d := startDaemon(l, program, dir, nil)
	if code := d.ended(); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	want := "ssmd: http.listen " + metricsAt + ": address already in use: another program listens there: stop it, or choose another port\n"
	if diff := cmp.Diff(want, d.stderr.String()); diff != "" {
		t.Errorf("standard error (-want +got):\n%s", diff)
	}
	silent(t, capture, l.channel.group, 0, l.mark(capture, 0))
	if _, err := os.Stat(filepath.Join(dir, "control.sock")); !os.IsNotExist(err) {
		t.Errorf("the control socket is there: %v", err)
	}
}
