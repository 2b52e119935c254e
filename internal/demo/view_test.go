package demo

import (
	"time"
)

const second = time.Second

// storyView is a view of a story that was measured nowhere, at a time.
func storyView(elapsed time.Duration) view {
	v := view{elapsed: elapsed, planned: 10 * second, now: "creating eth0 again, same MAC address, even the same index: another life"}
	all := []span{
		{from: 0, to: 2 * second, index: 2},
		{from: 3 * second, to: 5 * second, index: 3},
		{from: 6 * second, to: 8 * second, index: 4, refused: true},
		{from: 8500 * time.Millisecond, to: 8600 * time.Millisecond, index: 5},
		{from: 9 * second, index: 6},
	}
	for _, s := range all {
		if s.from < elapsed {
			if s.to > elapsed {
				s.to = 0
			}
			v.lives = append(v.lives, s)
		}
	}
	var now sample
	for ; now.at <= elapsed; now.at += 100 * time.Millisecond {
		v.samples = append(v.samples, now)
		for i, s := range all {
			if s.from <= now.at && (s.to == 0 || now.at < s.to) {
				now.sent += 50
				if i == 0 {
					now.received[plain] += 50
				}
				if !s.refused {
					now.received[held] += 50
				}
			}
		}
	}
	v.tallies = [2]tally{plain: {now.sent, now.received[plain]}, held: {1000, 998}}
	for _, e := range storyLog() {
		if e.at <= elapsed {
			v.log = append(v.log, e)
		}
	}
	return v
}

func storyLog() []entry {
	return []entry{
		{0, kindStep, "both receivers hear the sender"},
		{0, kindAttached, "eth0 (instance 2) matches name=eth0"},
		{1900 * time.Millisecond, kindTraffic, "sender 500/s"},
		{2 * second, kindStep, "deleting eth0"},
		{2012 * time.Millisecond, kindDetached, "eth0 (instance 2) was removed"},
		{3 * second, kindStep, "creating eth0"},
		{3 * second, kindRejoined, "eth0 (instance 3) matches name=eth0 same subnet=10.1.0.0/24; takes the place of eth0 (instance 2)"},
		{3 * second, kindHeard, "datagram 2.42 ms after eth0 was up (ssmd's part: 0.15 ms)"},
		{5 * second, kindDetached, "eth0 (instance 3) was removed"},
		{6 * second, kindStep, "creating eth0 in another subnet"},
		{6 * second, kindRefused, "eth0 (instance 4): same subnet: wanted 10.1.0.0/24, found 10.9.0.0/24"},
	}
}

func storyOutcome() outcome {
	return outcome{
		finished: true,
		tallies:  [2]tally{plain: {4463, 901}, held: {4463, 4462}},
		recreations: []recreation{
			{name: "another MAC, another index", again: 2420 * time.Microsecond, join: 150 * time.Microsecond},
			{name: "another subnet", refused: true, reason: "eth0 (instance 5): same subnet: wanted 10.1.0.0/24, found 10.9.0.0/24"},
			{name: "its own subnet again", again: 1260 * time.Microsecond, join: 12345 * time.Microsecond},
		},
	}
}
