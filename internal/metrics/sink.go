package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/membership"
)

// sink is where the metrics of one scrape go.
type sink struct{ to chan<- prometheus.Metric }

func (s sink) gauge(d *prometheus.Desc, v float64, labels ...string) {
	s.to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (s sink) counter(d *prometheus.Desc, n uint64, labels ...string) {
	s.to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
}

func (s sink) histogram(d *prometheus.Desc, h membership.Histogram) {
	buckets := make(map[float64]uint64, len(h.Bounds))
	var below uint64
	for n, bound := range h.Bounds {
		below += h.Counts[n]
		buckets[bound.Seconds()] = below
	}
	s.to <- prometheus.MustNewConstHistogram(d, h.Count(), h.Sum.Seconds(), buckets)
}

// ofManager tells of memberships.
func (s sink) ofManager(t membership.Totals) {
	for state, n := range t.Memberships {
		s.gauge(memberships, float64(n), string(state))
	}
	s.gauge(channels, float64(t.Channels))
	s.gauge(sockets, float64(t.Sockets))
	s.counter(attaches, t.Attaches)
	for cause, n := range t.Detaches {
		s.counter(detaches, n, string(cause))
	}
	s.counter(reattaches, t.Reattaches)
	s.histogram(reattach, t.ReattachTimes)
	for cause, n := range t.Reannounces {
		s.counter(reannounces, n, string(cause))
	}
}

// ofKernel tells of what the kernel did and said.
func (s sink) ofKernel(t membership.Totals) {
	s.counter(repairs, t.Repairs)
	for errno, n := range t.JoinErrors {
		s.counter(joinErrors, n, errno)
	}
	for kind, n := range eventTypes(t.Netlink) {
		s.counter(events, n, kind)
	}
	s.counter(overruns, t.Netlink.Overruns)
}

// eventTypes are named as the kernel's messages, rtnetlink(7).
func eventTypes(c ifwatch.Counters) map[string]uint64 {
	return map[string]uint64{
		"newlink":     c.Links,
		"dellink":     c.LinkRemovals,
		"newaddr":     c.Addresses,
		"deladdr":     c.AddressRemovals,
		"undecodable": c.Undecodable,
	}
}

// ofProgram tells of the daemon itself.
func (s sink) ofProgram(o Options) {
	var h Handoffs
	if o.Handoffs != nil {
		h = o.Handoffs()
	}
	s.gauge(handoffs, float64(h.Now))
	s.counter(handoffsTotal, h.Total)
	s.counter(handoffsRefused, h.Refused)
	last := o.Reload()
	good := 0.
	if last.Successful {
		good = 1
	}
	s.gauge(reloaded, good)
	s.gauge(reloadedAt, float64(last.LastSuccess.UnixMicro())/1e6)
	s.gauge(build, 1, o.Build.Version, o.Build.Revision, o.Build.Go)
}
