package metrics

import (
	"github.com/ssmd-project/ssmd/internal/monitor"
)

// The instance is no label: what is counted goes on over the lives of an interface,
// and Prometheus has a label of that name.
var streamLabels = []string{"membership", "channel", "interface"}

// What is exported of each stream that is monitored.
var (
	streamDatagrams  = describe("stream_datagrams_total", "Datagrams of a monitored stream.", streamLabels...)
	streamBytes      = describe("stream_bytes_total", "Bytes of payload of a monitored stream.", streamLabels...)
	streamGap        = describe("stream_longest_gap_seconds", "The longest time between two datagrams in the last whole second.", streamLabels...)
	streamStalled    = describe("stream_stalled", "1 where a monitored stream has stalled, else 0.", streamLabels...)
	streamStalls     = describe("stream_stalls_total", "Times that a monitored stream has stalled.", streamLabels...)
	streamUnread     = describe("stream_unread_total", "Datagrams that came and the monitor was too slow for, of all streams of the group and port.", streamLabels...)
	streamExpected   = describe("stream_rtp_expected_total", "RTP packets that were sent, by their sequence numbers.", streamLabels...)
	streamReceived   = describe("stream_rtp_received_total", "RTP packets that came, late ones and duplicates among them.", streamLabels...)
	streamReordered  = describe("stream_rtp_reordered_total", "RTP packets that came after later ones.", streamLabels...)
	streamDuplicates = describe("stream_rtp_duplicates_total", "RTP packets that came again.", streamLabels...)
	streamInvalid    = describe("stream_rtp_invalid_total", "Datagrams that are no RTP, or in no sequence.", streamLabels...)
	streamJitter     = describe("stream_rtp_jitter_seconds", "Interarrival jitter, where the clock rate is known.", streamLabels...)
)

// ofStreams tells of what comes in.
func (s sink) ofStreams(all map[string]monitor.Status) {
	for name, m := range all {
		for _, one := range m.Streams {
			s.ofStream(one, []string{name, one.Channel.String(), one.Interface})
		}
	}
}

func (s sink) ofStream(one monitor.Stream, labels []string) {
	stalled := 0.
	if one.Stalled {
		stalled = 1
	}
	s.counter(streamDatagrams, one.Datagrams, labels...)
	s.counter(streamBytes, one.Bytes, labels...)
	s.gauge(streamGap, one.LongestGapSeconds, labels...)
	s.gauge(streamStalled, stalled, labels...)
	s.counter(streamStalls, one.Stalls, labels...)
	s.counter(streamUnread, one.Unread, labels...)
	r := one.RTP
	if r == nil {
		return
	}
	s.counter(streamExpected, r.Expected, labels...)
	s.counter(streamReceived, r.Received, labels...)
	s.counter(streamReordered, r.Reordered, labels...)
	s.counter(streamDuplicates, r.Duplicates, labels...)
	s.counter(streamInvalid, r.Invalid, labels...)
	if r.JitterSeconds != nil {
		s.gauge(streamJitter, *r.JitterSeconds, labels...)
	}
}
