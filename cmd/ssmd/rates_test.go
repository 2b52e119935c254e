package main

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ssmd-project/ssmd/internal/monitor"
	"github.com/ssmd-project/ssmd/internal/statuspage"
)

func TestRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, rate := 0, 1.
		var failing error
		r := &rates{ask: func(context.Context) (map[string]monitor.Status, error) {
			asked++
			return map[string]monitor.Status{"a": {Stalled: 1, Streams: []monitor.Stream{
				{DatagramsPerSecond: rate, BytesPerSecond: 10}, {DatagramsPerSecond: 2, BytesPerSecond: 20}, {Error: "in use"}}}}, failing
		}}
		want := func(datagrams float64, times int) {
			t.Helper()
			for range 3 {
				got, monitored := r.of("a")
				if (got != statuspage.Rates{Datagrams: datagrams, Bytes: 30, Stalled: 1, Unheard: 1}) || !monitored || asked != times {
					t.Errorf("%+v, %t, asked %d times, want %v datagrams and %d times", got, monitored, asked, datagrams, times)
				}
				if _, monitored := r.of("b"); monitored {
					t.Error("b is monitored")
				}
			}
		}
		want(3, 1)
		rate = 5
		want(3, 1)
		time.Sleep(ratesAge)
		want(7, 2)
		failing = errors.New("no time")
		time.Sleep(ratesAge)
		want(7, 3)
	})
}
