package monitor

import "testing"

func TestBrief(t *testing.T) {
	stream := func(datagrams, bytes float64) Stream {
		return Stream{DatagramsPerSecond: datagrams, BytesPerSecond: bytes}
	}
	for want, s := range map[string]Status{
		"0/s 0 bit/s":       {Streams: []Stream{stream(0, 0)}},
		"1/s 800 bit/s":     {Streams: []Stream{stream(1, 100)}},
		"96/s 774 kbit/s":   {Streams: []Stream{stream(96, 96_800)}},
		"3000/s 24 Mbit/s":  {Streams: []Stream{stream(1000, 1e6), stream(2000, 2e6)}},
		"1000/s 1 Mbit/s":   {Streams: []Stream{stream(1000, 124_999)}},
		"not monitored":     {Stalled: 1, Streams: []Stream{{Error: "in use"}}},
		"stalled":           {Stalled: 1, Streams: []Stream{stream(0, 0)}},
		"1 of 2 stalled":    {Stalled: 1, Streams: []Stream{stream(0, 0), stream(5, 5)}},
		"900000/s 9 Gbit/s": {Streams: []Stream{stream(900_000, 1.125e9)}},
	} {
		if got := s.Brief(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
