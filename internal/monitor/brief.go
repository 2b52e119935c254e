package monitor

import "fmt"

// DatagramsPerSecond is that of all streams together.
func (s Status) DatagramsPerSecond() (sum float64) {
	for i := range s.Streams {
		sum += s.Streams[i].DatagramsPerSecond
	}
	return sum
}

// BytesPerSecond is that of all streams together, of payload.
func (s Status) BytesPerSecond() (sum float64) {
	for i := range s.Streams {
		sum += s.Streams[i].BytesPerSecond
	}
	return sum
}

// Unheard is how many of the streams cannot be counted.
func (s *Status) Unheard() (n int) {
	for i := range s.Streams {
		if s.Streams[i].Error != "" {
			n++
		}
	}
	return n
}

// Brief says for people, in a few words, how the streams come in: nothing where
// they are not monitored.
func (s *Status) Brief() string {
	switch {
	case s == nil:
		return ""
	case s.Unheard() > 0:
		return "not monitored"
	case s.Stalled == 0:
		return fmt.Sprintf("%.0f/s %s", s.DatagramsPerSecond(), bits(8*s.BytesPerSecond()))
	case len(s.Streams) == 1:
		return "stalled"
	}
	return fmt.Sprintf("%d of %d stalled", s.Stalled, len(s.Streams))
}

// bits writes a rate with three digits.
func bits(perSecond float64) string {
	units := []string{"bit/s", "kbit/s", "Mbit/s", "Gbit/s"}
	unit := 0
	for perSecond >= 999.5 && unit < len(units)-1 {
		perSecond /= 1000
		unit++
	}
	return fmt.Sprintf("%.3g %s", perSecond, units[unit])
}
