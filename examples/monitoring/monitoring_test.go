package monitoring_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/ssmd-project/ssmd/internal/hooks"
	"github.com/ssmd-project/ssmd/internal/metrics"
	"github.com/ssmd-project/ssmd/internal/monitor"
	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/membership"
)

func TestMain(m *testing.M) {
	if err := testnet.Isolate(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// exported are the metrics of a manager that has just begun: the names of
// series, with the values of each of their labels.
func exported(t *testing.T) map[string]map[string][]string {
	t.Helper()
	manager := membership.New(membership.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- manager.Run(ctx) }()
	registry := metrics.NewRegistry(metrics.Options{
		Source: manager, Streams: streams{},
		Reload: func() metrics.Reload { return metrics.Reload{Successful: true, LastSuccess: time.Now()} },
		Hooks:  func() hooks.Counts { return hooks.Counts{} },
	})
	families, err := registry.Gather()
	cancel()
	if err != nil || <-ended != nil {
		t.Fatal(err)
	}
	series := map[string]map[string][]string{"up": {}}
	for _, f := range families {
		labels := make(map[string][]string)
		for _, m := range f.Metric {
			for _, l := range m.Label {
				labels[l.GetName()] = append(labels[l.GetName()], l.GetValue())
			}
		}
		switch f.GetType() {
		case dto.MetricType_HISTOGRAM:
			series[f.GetName()+"_sum"], series[f.GetName()+"_count"] = labels, labels
			withBound := maps.Clone(labels)
			withBound["le"] = nil
			series[f.GetName()+"_bucket"] = withBound
		default:
			series[f.GetName()] = labels
		}
	}
	return series
}

// byPrometheus are the labels that every series gets when it is scraped.
var byPrometheus = []string{"job", "instance"}

// check returns what is wrong with an expression.
func check(text string, series map[string]map[string][]string) error {
	found, grouped := parse(text)
	if len(found) == 0 {
		return fmt.Errorf("no metric in it")
	}
	known := slices.Clone(byPrometheus)
	for _, s := range found {
		labels, ok := series[s.name]
		if !ok {
			return fmt.Errorf("no metric %s is exported", s.name)
		}
		known = slices.AppendSeq(known, maps.Keys(labels))
		for _, m := range s.matchers {
			if err := m.check(labels); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
		}
	}
	for _, label := range grouped {
		if !slices.Contains(known, label) {
			return fmt.Errorf("nothing in it has a label %s", label)
		}
	}
	return nil
}

// check returns an error where no series can have the label, or the value.
func (m matcher) check(labels map[string][]string) error {
	if slices.Contains(byPrometheus, m.label) {
		return nil
	}
	values, ok := labels[m.label]
	if !ok {
		return fmt.Errorf("it has no label %s", m.label)
	}
	wanted := []string{m.value}
	if strings.HasSuffix(m.op, "~") {
		wanted = strings.Split(m.value, "|")
	}
	for _, value := range wanted {
		if !slices.Contains(values, value) {
			return fmt.Errorf("%s is never %q, only one of %q", m.label, value, values)
		}
	}
	return nil
}

// Every query names what there is.
func TestQueries(t *testing.T) {
	series := exported(t)
	queries := dashboardQueries(t)
	if len(queries) < 20 {
		t.Errorf("only %d queries found in the dashboard", len(queries))
	}
	for _, a := range alerts(t) {
		queries = append(queries, query{a.Alert, a.Expr})
	}
	used := make(map[string]bool)
	for _, q := range queries {
		if err := check(q.text, series); err != nil {
			t.Errorf("%s: %s: %v", q.where, q.text, err)
		}
		found, _ := parse(q.text)
		for _, s := range found {
			used[s.name] = true
		}
	}
	for name := range series { // but for a time that is for queries of one's own
		if strings.HasPrefix(name, "ssmd_") && !used[name] && name != "ssmd_config_last_reload_success_timestamp_seconds" {
			t.Errorf("no query asks for %s", name)
		}
	}
	for bad, want := range map[string]string{
		`ssmd_nothing > 0`:                            "no metric ssmd_nothing",
		`ssmd_memberships{stat="joined"}`:             "no label stat",
		`ssmd_memberships{state="joined"} + ssmd_nix`: "no metric ssmd_nix",
		`ssmd_memberships{state=~"joined|gone"}`:      `never "gone"`,
		`sum by (cause) (ssmd_memberships)`:           "a label cause",
		`ssmd_reattach_seconds`:                       "no metric ssmd_reattach_seconds",
	} {
		if err := check(bad, series); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", bad, err, want)
		}
	}
}

// Every metric has a row in docs/metrics.md, with its type and its labels, and
// no row is of anything else. Every alert is there too.
func TestDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := make(map[string]string)
	for _, row := range regexp.MustCompile("(?m)^\\| `(ssmd_[a-z_]+)` \\| ([^|]*) \\| ([^|]*) \\|").FindAllStringSubmatch(string(text), -1) {
		rows[row[1]] = row[2] + ", " + strings.ReplaceAll(row[3], "`", "")
	}
	families, err := gatherOwn()
	if err != nil {
		t.Fatal(err)
	}
	want := make(map[string]string)
	for _, f := range families {
		var labels []string
		for _, l := range f.Metric[0].Label {
			labels = append(labels, l.GetName())
		}
		want[f.GetName()] = strings.ToLower(f.GetType().String()) + ", " + strings.Join(labels, ", ")
	}
	for name, is := range want {
		if rows[name] != is {
			t.Errorf("%s: the document says %q, want %q", name, rows[name], is)
		}
		delete(rows, name)
	}
	for name := range rows {
		t.Errorf("%s is documented, and not exported", name)
	}
	for _, a := range alerts(t) {
		if !strings.Contains(string(text), "`"+a.Alert+"`") {
			t.Errorf("the document says nothing of the alert %s", a.Alert)
		}
	}
}

// numbers are a source that has one of everything.
type numbers struct{}

func (numbers) Totals(context.Context) (membership.Totals, error) {
	return membership.Totals{
		Memberships: map[membership.State]int{membership.StateJoined: 1},
		Detaches:    map[membership.Cause]uint64{membership.CauseRemoval: 1},
		Reannounces: map[membership.Cause]uint64{membership.CauseUp: 1},
		JoinErrors:  map[string]uint64{"EPERM": 1},
	}, nil
}

// gatherOwn returns ssmd's own metrics.
func gatherOwn() ([]*dto.MetricFamily, error) {
	registry := metrics.NewRegistry(metrics.Options{Source: numbers{}, Streams: streams{}, Reload: func() metrics.Reload { return metrics.Reload{} }, Hooks: func() hooks.Counts { return hooks.Counts{} }})
	all, err := prometheus.Gatherers{registry}.Gather()
	return slices.DeleteFunc(all, func(f *dto.MetricFamily) bool { return !strings.HasPrefix(f.GetName(), "ssmd_") }), err
}

// streams has one, with everything that there is to tell of it.
type streams struct{}

func (streams) Status(context.Context) (map[string]monitor.Status, error) {
	return map[string]monitor.Status{"a": {Streams: []monitor.Stream{{RTP: &monitor.RTP{JitterSeconds: new(float64)}}}}}, nil
}

// promtool runs it. Without one the test is skipped, with SSMD_NO_SKIP=1 in the
// environment it fails.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	program, err := exec.LookPath("promtool")
	switch {
	case err == nil:
	case os.Getenv("SSMD_NO_SKIP") == "1":
		t.Fatalf("no promtool, which Debian has in the package prometheus: %v", err)
	default:
		t.Skipf("no promtool, which Debian has in the package prometheus: %v", err)
	}
	if out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestRules(t *testing.T) {
	t.Parallel()
	promtool(t, "check", "rules", "--lint-fatal", "alerts.yaml")
	promtool(t, "test", "rules", "alerts_test.yaml")
	promtool(t, "check", "config", "prometheus.yaml")
	tested, err := os.ReadFile("alerts_test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range alerts(t) {
		if n := strings.Count(string(tested), "alertname: "+a.Alert); n < 2 {
			t.Errorf("%s is tested %d times, want where it fires and where it does not", a.Alert, n)
		}
		if a.Annotations["summary"] == "" || a.Annotations["description"] == "" {
			t.Errorf("%s does not say what is the matter", a.Alert)
		}
	}
}

// The dashboard's expressions are well-formed: as rules they are.
func TestExpressions(t *testing.T) {
	t.Parallel()
	type rule struct {
		Record string `json:"record"`
		Expr   string `json:"expr"`
	}
	var rules []rule
	for n, q := range expressions(t) {
		rules = append(rules, rule{fmt.Sprintf("dashboard:query:%d", n), q.text})
	}
	text, err := json.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": rules}}}) // JSON is YAML
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	promtool(t, "check", "rules", file)
}
