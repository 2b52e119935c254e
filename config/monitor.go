package config

import (
	"math"
	"strconv"
	"sync"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/ssmd-project/ssmd/internal/monitor"
)

// Monitor says how the streams of a membership are monitored.
type Monitor = monitor.Settings

// shortestStall keeps a stream of a few datagrams a second from being stalled
// between each two.
const shortestStall = 10 * time.Millisecond

var monitorKeyList = sync.OnceValue(func() []Key {
	port := form{"a port from 1 to 65535, or 0 for no monitor", object{"type": "integer", "minimum": 0, "maximum": math.MaxUint16}}
	rate := form{"a number of Hz, or 0 for that of the payload type", object{"type": "integer", "minimum": 0, "maximum": uint64(math.MaxUint32)}}
	return []Key{
		newKey("port", "0", port, "The UDP port that the sources send to; 0: nothing is monitored."),
		newKey("stalled_after", monitor.DefaultStalledAfter.String(), durationForm(), "How long nothing comes from a stream that is stalled. At least 10ms."),
		newKey("rtp", "false", truthForm(), "What comes is RTP: count what is lost, late and doubled, and measure the jitter."),
		newKey("clock_rate", "0", rate, "The clock rate of the RTP timestamps, which dynamic payload types need for a jitter."),
	}
})

func monitorKeys() keys { return keys{known: keyNames(monitorKeyList())} }

// monitor reads how streams are monitored, key by key over what is inherited.
func (r *reader) monitor(n *yaml.Node, at *place, m Monitor) Monitor {
	f, ok := r.mapping(n, at, monitorKeys(), `a mapping, for example {port: 5001, stalled_after: 2s}`)
	if !ok {
		return m
	}
	if v, ok := f["port"]; ok {
		port, _ := r.number(v.value, at.at("port"), math.MaxUint16, "a port from 1 to 65535, or 0 for no monitor")
		m.Port = uint16(port)
	}
	if v, ok := f["stalled_after"]; ok {
		if d, ok := r.duration(v.value, at.at("stalled_after")); ok && d < shortestStall {
			r.fail(deref(v.value), at.at("stalled_after"), "%s, want at least %s", d, shortestStall)
		} else if ok {
			m.StalledAfter = d
		}
	}
	if v, ok := f["rtp"]; ok {
		m.RTP, _ = r.truth(v.value, at.at("rtp"))
	}
	if v, ok := f["clock_rate"]; ok {
		rate, _ := r.number(v.value, at.at("clock_rate"), math.MaxUint32, "a clock rate in Hz, for example 90000, or 0 for that of the payload type")
		m.ClockRate = uint32(rate)
	}
	return m
}

// number reads a plain decimal number.
func (r *reader) number(n *yaml.Node, at *place, most uint64, want string) (uint64, bool) {
	n = deref(n)
	if n.Kind == yaml.ScalarNode && n.Tag == "!!int" {
		number, err := strconv.ParseUint(n.Value, 10, 64)
		if err == nil && number <= most {
			return number, true
		}
	}
	r.fail(n, at, "%s, want %s", describe(n), want)
	return 0, false
}

// checkMonitor refuses what a membership says of a monitor that it has not.
func (r *reader) checkMonitor(n *yaml.Node, f fields, at *place, m Monitor) {
	if m.Port != 0 || m.Equal(Monitor{}) {
		return
	}
	if v, ok := f["monitor"]; ok && !isNull(v.value) {
		if mapping := deref(v.value); mapping.Kind == yaml.MappingNode && !hasKey(mapping, "port") {
			r.fail(mapping, at.at("monitor").at("port"), "missing, want the UDP port that the sources send to, for example 5001")
		}
		return
	}
	if v, ok := f["on_stall"]; ok && len(m.OnStall) > 0 {
		r.fail(v.key, at.at("on_stall"), "given without monitor, want for example monitor: {port: 5001}")
	}
}

func hasKey(n *yaml.Node, key string) bool {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if deref(n.Content[i]).Value == key {
			return true
		}
	}
	return false
}

// note keeps the monitor of a membership that has one.
func (r *reader) note(w wish) {
	if w.monitor.Port == 0 {
		return
	}
	if r.monitors == nil {
		r.monitors = make(map[string]Monitor)
	}
	r.monitors[w.Name] = w.monitor.Normalize()
}

// monitors are those of memberships, of which some, from one up to another, were
// read now, and the rest before.
func (p packed) monitors(from, to int, before, now map[string]Monitor) map[string]Monitor {
	var all map[string]Monitor
	for n, one := range p {
		of := before
		if from <= n && n < to {
			of = now
		}
		if m, ok := of[one.name]; ok {
			if all == nil {
				all = make(map[string]Monitor)
			}
			all[one.name] = m
		}
	}
	return all
}
