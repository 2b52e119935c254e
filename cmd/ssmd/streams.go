package main

import (
	"fmt"
	"time"

	"github.com/ssmd-project/ssmd/internal/monitor"
)

// streamLine says in a line how a stream comes in.
func streamLine(now time.Time, s monitor.Stream) string {
	line := s.Channel.String()
	if s.Interface != "" {
		line += " on " + printable(s.Interface)
	}
	switch {
	case s.Error != "":
		return line + ": not monitored: " + printable(s.Error)
	case s.Stalled:
		line += fmt.Sprintf(": stalled for %s", age(now.Sub(s.Since)))
	default:
		line += fmt.Sprintf(": %.0f datagrams/s, %.0f bytes/s, longest gap %s", s.DatagramsPerSecond, s.BytesPerSecond, shortTime(s.LongestGapSeconds))
	}
	if r := s.RTP; r != nil {
		line += fmt.Sprintf("; RTP: %d of %d lost, %d reordered, %d duplicates", r.Lost, r.Expected, r.Reordered, r.Duplicates)
		if r.JitterSeconds != nil {
			line += ", jitter " + shortTime(*r.JitterSeconds)
		}
	}
	if s.Unread > 0 {
		line += fmt.Sprintf("; %d too many for the monitor", s.Unread)
	}
	return line
}

// shortTime writes a time as people do.
func shortTime(s float64) string {
	return time.Duration(s * float64(time.Second)).Round(time.Microsecond).String()
}
