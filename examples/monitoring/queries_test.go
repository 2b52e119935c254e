// Package monitoring_test holds the dashboard and the alert rules against what
// ssmd exports.
package monitoring_test

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// query is an expression and where it stands.
type query struct{ where, text string }

// read parses a file.
func read(t *testing.T, path string, unmarshal func([]byte, any) error, into any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err == nil {
		err = unmarshal(data, into)
	}
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// alert is a rule of alerts.yaml.
type alert struct {
	Alert, Expr string
	Annotations map[string]string
}

func alerts(t *testing.T) []alert {
	t.Helper()
	var file struct{ Groups []struct{ Rules []alert } }
	read(t, "alerts.yaml", yaml.Unmarshal, &file)
	var all []alert
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

// dashboardQueries returns every expression of the dashboard: those under the
// keys expr and query, wherever they are.
func dashboardQueries(t *testing.T) []query {
	t.Helper()
	var dashboard map[string]any
	read(t, "dashboard.json", json.Unmarshal, &dashboard)
	var all []query
	var walk func(where string, v any)
	walk = func(where string, v any) {
		switch v := v.(type) {
		case map[string]any:
			if title, ok := v["title"].(string); ok {
				where = title
			}
			for key, value := range v {
				text, isText := value.(string)
				if isText && (key == "expr" || key == "query" && text != "prometheus") {
					all = append(all, query{where, text})
				}
				walk(where, value)
			}
		case []any:
			for _, value := range v {
				walk(where, value)
			}
		}
	}
	walk("", dashboard)
	return all
}

// expressions are those of the dashboard that Prometheus evaluates, with values
// in the place of what Grafana puts in.
func expressions(t *testing.T) []query {
	t.Helper()
	fill := strings.NewReplacer("$__rate_interval", "5m", "$__range", "6h", "$job", ".*", "$instance", ".*")
	var all []query
	for _, q := range dashboardQueries(t) {
		if !strings.HasPrefix(q.text, "label_values(") {
			all = append(all, query{q.where, fill.Replace(q.text)})
		}
	}
	return all
}

// selector is a metric in an expression, with the labels that it is chosen by.
type selector struct {
	name     string
	matchers []matcher
}

type matcher struct{ label, op, value string }

var (
	ranges     = regexp.MustCompile(`\[[^\]]*\]`)
	groupings  = regexp.MustCompile(`\b(by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)`)
	selectors  = regexp.MustCompile(`([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(\(|\{([^}]*)\})?`)
	conditions = regexp.MustCompile(`([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*"([^"]*)"`)
)

// words of the language that stand where a metric can.
var words = map[string]bool{"and": true, "or": true, "unless": true, "bool": true, "offset": true}

// parse returns the metrics in an expression, and the labels that it groups by.
// promtool says whether it is one.
func parse(text string) (found []selector, labels []string) {
	if inner, ok := strings.CutPrefix(text, "label_values("); ok { // Grafana's, not Prometheus's
		cut := strings.LastIndex(inner, ",")
		text = inner[:cut]
		labels = append(labels, strings.TrimSpace(strings.TrimSuffix(inner[cut+1:], ")")))
	}
	text = ranges.ReplaceAllString(text, "")
	for _, g := range groupings.FindAllStringSubmatch(text, -1) {
		for label := range strings.SplitSeq(g[2], ",") {
			labels = append(labels, strings.TrimSpace(label))
		}
	}
	text = groupings.ReplaceAllString(text, "")
	for _, m := range selectors.FindAllStringSubmatch(text, -1) {
		if m[2] == "(" || words[m[1]] {
			continue // a function
		}
		s := selector{name: m[1]}
		for _, c := range conditions.FindAllStringSubmatch(m[3], -1) {
			s.matchers = append(s.matchers, matcher{c[1], c[2], c[3]})
		}
		found = append(found, s)
	}
	return found, labels
}

func TestParse(t *testing.T) {
	found, labels := parse(`histogram_quantile(0.99, sum by (le, job) (rate(a_bucket{x="1",y!~"b|c"}[5m]))) > 2 * clamp_min(sum without (z) (b:c), 1) and ignoring(q) d or e{}`)
	want := `[{a_bucket [{x = 1} {y !~ b|c}]} {b:c []} {d []} {e []}] [le job z q]`
	if got := fmt.Sprint(found, labels); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	found, labels = parse(`label_values(a{job=~"$job"}, instance)`)
	if got := fmt.Sprint(found, labels); got != `[{a [{job =~ $job}]}] [instance]` {
		t.Errorf("got %s", got)
	}
}
