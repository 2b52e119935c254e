// Package metrics tells Prometheus what a membership manager did and has.
package metrics

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/ssmd-project/ssmd/internal/hooks"
	"github.com/ssmd-project/ssmd/internal/monitor"
	"github.com/ssmd-project/ssmd/membership"
)

// Source is what the numbers come from: a *membership.Manager.
type Source interface {
	Totals(context.Context) (membership.Totals, error)
}

// Reload says how the configuration was read last, be it at the start.
type Reload struct {
	Successful  bool
	LastSuccess time.Time
}

// Build says which program it is.
type Build struct {
	Version, Revision, Go string
}

// Streams is where the numbers of streams come from: a *monitor.Monitor.
type Streams interface {
	Status(context.Context) (map[string]monitor.Status, error)
}

// Handoffs are the sockets that applications hand over.
type Handoffs struct {
	Now            int
	Total, Refused uint64
}

// Options are all needed but Handoffs and Streams.
type Options struct {
	Source   Source
	Streams  Streams
	Reload   func() Reload       // called at each scrape
	Handoffs func() Handoffs     // likewise; nil: none
	Hooks    func() hooks.Counts // likewise
	Build    Build
}

// patience bounds for how long a scrape waits for the manager.
const patience = 5 * time.Second

// NewRegistry returns a registry with ssmd's metrics and those of the Go
// runtime and the process. Each scrape asks the source once. Where that does not
// answer within 5 s the scrape fails: it is never told what was true before.
func NewRegistry(o Options) *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		&collector{options: o, patience: patience},
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return registry
}

// collector makes metrics of one snapshot a scrape.
type collector struct {
	options  Options
	patience time.Duration
}

// Describe sends every metric that Collect can send.
func (c *collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range all {
		to <- d
	}
}

// Collect asks the source.
func (c *collector) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), c.patience)
	defer cancel()
	t, err := c.options.Source.Totals(ctx)
	if err != nil {
		to <- prometheus.NewInvalidMetric(memberships, err)
		return
	}
	var streams map[string]monitor.Status
	if c.options.Streams != nil {
		if streams, err = c.options.Streams.Status(ctx); err != nil {
			to <- prometheus.NewInvalidMetric(memberships, err)
			return
		}
	}
	s := sink{to}
	s.ofStreams(streams)
	s.ofManager(t)
	s.ofKernel(t)
	s.ofProgram(c.options)
}
