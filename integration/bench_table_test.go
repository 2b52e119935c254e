package integration

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// row is a line of the table that the benchmarks end with.
type row struct {
	place                          int // rows of the same place keep their order
	what, ssmd, bare, more, target string
}

// The places of the table's rows.
const (
	placeOne = iota
	placeCrowd
	placeRestore
	placeLeave
	placeStart
	placeReload
	placeEvent
	placeLinks
	placeMemory
	placeStatus
	placeIdle
	placeScrape
	placeMonitor
)

// table collects the rows of all benchmarks that ran.
var table struct {
	sync.Mutex
	rows []row
}

// record adds a row to the table.
func record(r row) {
	table.Lock()
	defer table.Unlock()
	table.rows = append(table.rows, r)
}

// printTable writes the rows there are as a Markdown table, below a line that
// says where they were measured.
func printTable(w io.Writer) {
	table.Lock()
	defer table.Unlock()
	if len(table.rows) == 0 {
		return
	}
	slices.SortStableFunc(table.rows, func(a, b row) int { return cmp.Compare(a.place, b.place) })
	fmt.Fprintf(w, "\n%s\n\n| what | ssmd | bare | ratio, or more of it | target |\n|---|---|---|---|---|\n", machine())
	for _, r := range table.rows {
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s |\n", r.what, r.ssmd, r.bare, r.more, r.target)
	}
	fmt.Fprintln(w)
}

// machine says what the figures were measured on.
func machine() string {
	var name unix.Utsname
	kernel := "Linux"
	if unix.Uname(&name) == nil {
		kernel += " " + unix.ByteSliceToString(name.Release[:])
	}
	bare := "Bare is testdata/bare.c."
	if bareCalls() == kindGo {
		bare = "Bare is in Go, as there is no C compiler."
	}
	return fmt.Sprintf("Measured on %s, %d processors (%s), %s, %s. Medians of all rounds of all starts; in brackets the least and the greatest of one start. %s",
		kernel, runtime.NumCPU(), processor(), strings.Replace(runtime.Version(), "go", "Go ", 1), time.Now().UTC().Format(time.DateOnly), bare)
}

func processor() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if key, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// series are measurements of one contender, by its starts.
type series [][]float64

// quantile is over all rounds of all starts.
func (s series) quantile(q float64) float64 { return quantile(slices.Concat(s...), q) }

func quantile(all []float64, q float64) float64 {
	all = slices.Sorted(slices.Values(all))
	below, share := math.Modf(q * float64(len(all)-1))
	at := int(below)
	return all[at] + share*(all[min(at+1, len(all)-1)]-all[at])
}

// perStart are the quantiles of each start.
func (s series) perStart(q float64) []float64 {
	each := make([]float64, len(s))
	for i := range s {
		each[i] = quantile(s[i], q)
	}
	return each
}

// unit says how a number of a series is written.
type unit func(float64) string

// seconds writes a time.
func seconds(v float64) string {
	switch {
	case v < 1e-3:
		return threeDigits(v*1e6) + " µs"
	case v < 1:
		return threeDigits(v*1e3) + " ms"
	}
	return threeDigits(v) + " s"
}

func threeDigits(v float64) string {
	if v >= 100 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	if v == 0 {
		return "0"
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

// withSpread writes a value and, of several starts, the least and the greatest.
func withSpread(value float64, each []float64, u unit) string {
	if len(each) < 2 {
		return u(value)
	}
	return fmt.Sprintf("%s (%s to %s)", u(value), u(slices.Min(each)), u(slices.Max(each)))
}

func ratio(v float64) string { return strconv.FormatFloat(v, 'f', 2, 64) }

// goal is what a row is held against: a word for it, and the greatest value.
type goal struct {
	text string
	most float64
}

// atMost is a goal for a ratio.
func atMost(most float64) goal { return goal{ratio(most), most} }

func (g goal) judge(v float64) string {
	switch {
	case g.text == "":
		return ""
	case v <= g.most:
		return g.text + ": met"
	}
	return g.text + ": missed"
}

// compare records a row that holds one series against another, by the ratio of
// their quantiles. The benchmark's own line says it too.
func compare(b *testing.B, place int, what string, ours, bare series, q float64, g goal) {
	b.Helper()
	value, each := ours.quantile(q)/bare.quantile(q), make([]float64, len(ours))
	for i, our := range ours.perStart(q) {
		each[i] = our / bare.perStart(q)[i]
	}
	record(row{place, what, withSpread(ours.quantile(q), ours.perStart(q), seconds), withSpread(bare.quantile(q), bare.perStart(q), seconds),
		withSpread(value, each, ratio), g.judge(value)})
	if q == 0.5 && g.text != "" {
		b.ReportMetric(value, "ratio")
	}
}

// absolute records a row that is held against a value. With bare calls to see
// beside it, it says the ratio.
func absolute(b *testing.B, place int, what string, ours, bare series, u unit, g goal) {
	b.Helper()
	value := ours.quantile(0.5)
	r := row{place: place, what: what, ssmd: withSpread(value, ours.perStart(0.5), u), target: g.judge(value)}
	if bare != nil {
		r.bare, r.more = withSpread(bare.quantile(0.5), bare.perStart(0.5), u), ratio(value/bare.quantile(0.5))
	}
	record(r)
}

// began is when the program did.
var began = time.Now()

// progress tells whoever waits what is being measured.
func progress(format string, words ...any) {
	fmt.Fprintf(os.Stderr, "\n%5.0f s  %s", time.Since(began).Seconds(), fmt.Sprintf(format, words...))
}
