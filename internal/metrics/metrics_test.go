package metrics

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/membership"
)

// source answers with its numbers, or its error.
type source struct {
	totals membership.Totals
	err    error
}

func (s source) Totals(context.Context) (membership.Totals, error) { return s.totals, s.err }

// silent never answers.
type silent struct{}

func (silent) Totals(ctx context.Context) (membership.Totals, error) {
	<-ctx.Done()
	return membership.Totals{}, ctx.Err()
}

var start = time.Unix(1_795_000_000, 250_000_000)

func optionsFor(s Source) Options {
	return Options{
		Source:   s,
		Reload:   func() Reload { return Reload{Successful: true, LastSuccess: start} },
		Handoffs: func() Handoffs { return Handoffs{Now: 3, Total: 8, Refused: 2} },
		Build:    Build{Version: "v1.2.3", Revision: "abc", Go: "go1.26"},
	}
}

// someTotals has another number for everything.
func someTotals() membership.Totals {
	return membership.Totals{
		Memberships: map[membership.State]int{membership.StateJoined: 10_000, membership.StateHeld: 0},
		Channels:    20_000, Sockets: 12, Attaches: 30_000,
		Detaches:    map[membership.Cause]uint64{membership.CauseRemoval: 20_001, membership.CauseDrain: 0},
		Reattaches:  6,
		Reannounces: map[membership.Cause]uint64{membership.CauseCarrier: 4},
		Repairs:     5,
		JoinErrors:  map[string]uint64{"ENOBUFS": 7, membership.OtherErrno: 0},
		ReattachTimes: membership.Histogram{
			Bounds: []time.Duration{50 * time.Microsecond, time.Millisecond}, Counts: []uint64{1, 2, 3}, Sum: 1500 * time.Millisecond,
		},
		Netlink: ifwatch.Counters{Links: 101, LinkRemovals: 102, Addresses: 103, AddressRemovals: 104, Undecodable: 105, Overruns: 106, Dumps: 107},
	}
}

const someMetrics = `# HELP ssmd_attaches_total Memberships that were attached to an interface.
# TYPE ssmd_attaches_total counter
ssmd_attaches_total 30000
# HELP ssmd_build_info Always 1; the labels say which program it is.
# TYPE ssmd_build_info gauge
ssmd_build_info{goversion="go1.26",revision="abc",version="v1.2.3"} 1
# HELP ssmd_channels_joined Channels that the kernel holds, each on each interface.
# TYPE ssmd_channels_joined gauge
ssmd_channels_joined 20000
# HELP ssmd_config_last_reload_success_timestamp_seconds When the configuration was last read well, as Unix time.
# TYPE ssmd_config_last_reload_success_timestamp_seconds gauge
ssmd_config_last_reload_success_timestamp_seconds 1.79500000025e+09
# HELP ssmd_config_last_reload_successful 1 where the last reading of the configuration went well, else 0.
# TYPE ssmd_config_last_reload_successful gauge
ssmd_config_last_reload_successful 1
# HELP ssmd_detaches_total Memberships that were detached from an interface, by the cause.
# TYPE ssmd_detaches_total counter
ssmd_detaches_total{cause="drain"} 0
ssmd_detaches_total{cause="removal"} 20001
# HELP ssmd_handoffs Sockets of applications that are handed over.
# TYPE ssmd_handoffs gauge
ssmd_handoffs 3
# HELP ssmd_handoffs_refused_total Connections of applications that brought no socket that was taken.
# TYPE ssmd_handoffs_refused_total counter
ssmd_handoffs_refused_total 2
# HELP ssmd_handoffs_total Sockets that applications handed over.
# TYPE ssmd_handoffs_total counter
ssmd_handoffs_total 8
# HELP ssmd_join_errors_total Joins that the kernel refused, each try, by the name of the errno.
# TYPE ssmd_join_errors_total counter
ssmd_join_errors_total{errno="ENOBUFS"} 7
ssmd_join_errors_total{errno="other"} 0
# HELP ssmd_memberships Memberships in each state.
# TYPE ssmd_memberships gauge
ssmd_memberships{state="held"} 0
ssmd_memberships{state="joined"} 10000
# HELP ssmd_netlink_events_total Messages of links and addresses from the kernel, those of dumps among them, by type.
# TYPE ssmd_netlink_events_total counter
ssmd_netlink_events_total{type="deladdr"} 104
ssmd_netlink_events_total{type="dellink"} 102
ssmd_netlink_events_total{type="newaddr"} 103
ssmd_netlink_events_total{type="newlink"} 101
ssmd_netlink_events_total{type="undecodable"} 105
# HELP ssmd_netlink_overruns_total Times that the kernel dropped messages, after which all interfaces were compared anew.
# TYPE ssmd_netlink_overruns_total counter
ssmd_netlink_overruns_total 106
# HELP ssmd_reannounces_total Memberships that were announced anew on an interface, by the cause.
# TYPE ssmd_reannounces_total counter
ssmd_reannounces_total{cause="carrier"} 4
# HELP ssmd_reattach_seconds Time of a reattachment, from the reading of the event that led to it to the last join.
# TYPE ssmd_reattach_seconds histogram
ssmd_reattach_seconds_bucket{le="5e-05"} 1
ssmd_reattach_seconds_bucket{le="0.001"} 3
ssmd_reattach_seconds_bucket{le="+Inf"} 6
ssmd_reattach_seconds_sum 1.5
ssmd_reattach_seconds_count 6
# HELP ssmd_reattaches_total Attaches that took a lost interface's place.
# TYPE ssmd_reattaches_total counter
ssmd_reattaches_total 6
# HELP ssmd_repairs_total Channels that the kernel had lost and that were joined again.
# TYPE ssmd_repairs_total counter
ssmd_repairs_total 5
# HELP ssmd_sockets Sockets of ssmd's own that hold memberships, those that are parked among them.
# TYPE ssmd_sockets gauge
ssmd_sockets 12
`

func TestMetrics(t *testing.T) {
	pedantic := prometheus.NewPedanticRegistry() // checks that what is collected was described
	pedantic.MustRegister(&collector{optionsFor(source{totals: someTotals()}), patience})
	if err := testutil.GatherAndCompare(pedantic, strings.NewReader(someMetrics)); err != nil {
		t.Error(err)
	}
	problems, err := testutil.GatherAndLint(pedantic)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestReloadThatFailed(t *testing.T) {
	o := optionsFor(source{totals: someTotals()})
	o.Reload = func() Reload { return Reload{LastSuccess: start} }
	want := `# HELP ssmd_config_last_reload_successful 1 where the last reading of the configuration went well, else 0.
# TYPE ssmd_config_last_reload_successful gauge
ssmd_config_last_reload_successful 0
`
	if err := testutil.GatherAndCompare(NewRegistry(o), strings.NewReader(want), "ssmd_config_last_reload_successful"); err != nil {
		t.Error(err)
	}
}

// scrape asks once, and returns the status and the text.
func scrape(t testing.TB, r *prometheus.Registry) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	Handler(r, slog.New(slog.DiscardHandler)).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	body, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Code, string(body)
}

// What the runtime and the process tell is there too.
func TestRuntimeAndProcess(t *testing.T) {
	code, body := scrape(t, NewRegistry(optionsFor(source{totals: someTotals()})))
	if code != http.StatusOK {
		t.Fatalf("%d: %s", code, body)
	}
	for _, name := range []string{"go_goroutines", "process_open_fds", "process_resident_memory_bytes", "ssmd_build_info"} {
		if !strings.Contains(body, "\n"+name) {
			t.Errorf("no %s in\n%s", name, body)
		}
	}
}

// A manager that does not answer fails the scrape, in time.
func TestNoAnswer(t *testing.T) {
	late := prometheus.NewRegistry()
	late.MustRegister(&collector{optionsFor(silent{}), 10 * time.Millisecond})
	for want, r := range map[string]*prometheus.Registry{
		"no luck":                 NewRegistry(optionsFor(source{err: errors.New("no luck")})),
		"context deadline exceed": late,
	} {
		if code, body := scrape(t, r); code != http.StatusInternalServerError || !strings.Contains(body, want) {
			t.Errorf("%d, want 500 and %s: %s", code, want, body)
		}
	}
}

// Each scrape asks anew.
func TestEachScrapeAsks(t *testing.T) {
	n := &counting{}
	r := NewRegistry(optionsFor(n))
	for want := 1; want < 4; want++ {
		if _, body := scrape(t, r); n.asked != want || !strings.Contains(body, "\nssmd_attaches_total "+string(rune('0'+want))+"\n") {
			t.Errorf("asked %d times, want %d:\n%s", n.asked, want, body)
		}
	}
}

// counting counts how often it was asked.
type counting struct{ asked int }

func (c *counting) Totals(context.Context) (membership.Totals, error) {
	c.asked++
	t := someTotals()
	t.Attaches = uint64(c.asked)
	return t, nil
}
