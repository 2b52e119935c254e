package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ssmd-project/ssmd/membership"
)

func event(n int) membership.Event {
	return membership.Event{Time: time.Unix(int64(n), 0).UTC(), Type: membership.EventState, Membership: "a", State: membership.StateJoined, Reason: fmt.Sprint("no. ", n)}
}

// subscribe opens a stream, and returns it with the manager's side.
func (h *harness) subscribe(t *testing.T) (*Events, *fakeEvents) {
	t.Helper()
	stream, err := h.client.Events(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stream.Close)
	return stream, <-h.events
}

func closedSoon(t *testing.T, f *fakeEvents) {
	t.Helper()
	select {
	case <-f.closed:
	case <-time.After(10 * time.Second):
		t.Error("the subscription was not closed")
	}
}

func TestEventsComeAtOnceAndEndWithTheManager(t *testing.T) {
	// The stream outlives the time that a request has.
	h := serve(t, &fakeManager{}, func(l *limits) { l.read, l.write = 30*time.Millisecond, 30*time.Millisecond })
	stream, events := h.subscribe(t)
	for n := range 3 {
		time.Sleep(25 * time.Millisecond) // time passes: that is what is tested
		events.publish(event(n))
		got, err := stream.Next()
		if diff := cmp.Diff(event(n), got); err != nil || diff != "" {
			t.Fatalf("%v (-want +got):\n%s", err, diff)
		}
	}
	close(events.end)
	if _, err := stream.Next(); err != io.EOF {
		t.Errorf("at the manager's end: %v, want io.EOF", err)
	}
	closedSoon(t, events)
}

func TestEventsEndGoodWhereTheManagerEndedBefore(t *testing.T) {
	h := serve(t, &fakeManager{}, func(l *limits) { l.grace = 10 * time.Second })
	stream, events := h.subscribe(t)
	events.publish(event(1))
	close(events.end)
	h.stop()
	for {
		if _, err := stream.Next(); err != nil {
			if err != io.EOF {
				t.Errorf("got %v, want io.EOF", err)
			}
			return
		}
	}
}

func TestReaderThatGoesIsUnsubscribed(t *testing.T) {
	h := serve(t, &fakeManager{}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := h.client.Events(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	events := <-h.events
	cancel()
	if _, err := stream.Next(); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	closedSoon(t, events)
}

func TestSlowReaderDelaysNobody(t *testing.T) {
	h := serve(t, &fakeManager{}, nil)
	slow, events := h.subscribe(t)
	quick, others := h.subscribe(t)

	big := event(0)
	big.Reason = strings.Repeat("x", 64<<10)
	const count = 200
	last := event(count)
	for range count { // far more than the socket's buffers hold
		events.publish(big)
		time.Sleep(100 * time.Microsecond)
	}
	events.publish(last)
	others.publish(event(1))
	if got, err := quick.Next(); err != nil || got.Reason != "no. 1" {
		t.Fatalf("the quick reader got %v, %v", got, err)
	}
	if _, err := h.client.Daemon(t.Context()); err != nil {
		t.Fatal(err)
	}
	for {
		got, err := slow.Next()
		if err != nil {
			t.Fatal(err)
		}
		if got.Reason == last.Reason {
			if got.Missed == 0 {
				t.Error("the slow reader missed nothing")
			}
			return
		}
	}
}

func TestServeEndsWithStuckReader(t *testing.T) {
	h := serve(t, &fakeManager{}, nil)
	_, events := h.subscribe(t)
	big := event(0)
	big.Reason = strings.Repeat("x", 8<<20)
	events.publish(big)
	h.stop()
	closedSoon(t, events)
}

func TestReadersAreLimited(t *testing.T) {
	h := serve(t, &fakeManager{}, func(l *limits) { l.streams.all = 1; l.connections.all = 2 })
	first, events := h.subscribe(t)
	_, err := h.client.Events(t.Context())
	problem, ok := errors.AsType[*Problem](err)
	if !ok || problem.Type != TypeBusy || problem.Status != http.StatusServiceUnavailable {
		t.Fatalf("second reader: %v, want busy", err)
	}
	first.Close()
	closedSoon(t, events)
	deadline := time.Now().Add(10 * time.Second)
	for {
		stream, err := h.client.Events(t.Context())
		if err == nil {
			stream.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func TestHeadOfEventsReturns(t *testing.T) {
	h := serve(t, &fakeManager{}, nil)
	response, _ := ask(t, h.socket, http.MethodHead, "/v1/events")
	if got := response.Header.Get("Content-Type"); got != contentLines {
		t.Errorf("type %q", got)
	}
}

func TestEventsSince(t *testing.T) {
	h := serve(t, &fakeManager{}, nil)
	zone := time.FixedZone("", 2*60*60)
	moment := time.Date(2026, 11, 23, 10, 0, 0, 123456789, zone)
	for _, since := range []membership.Since{{}, {Seq: 7}, {Time: moment}} {
		stream, err := h.client.EventsSince(t.Context(), since)
		if err != nil {
			t.Fatal(err)
		}
		events := <-h.events
		if got := events.since; got == nil || got.Seq != since.Seq || !got.Time.Equal(since.Time) {
			t.Errorf("asked for %+v, want %+v", got, since)
		}
		events.publish(event(1))
		if _, err := stream.Next(); err != nil {
			t.Error(err)
		}
		stream.Close()
		closedSoon(t, events)
	}
	if _, events := h.subscribe(t); events.since != nil {
		t.Errorf("from now on is since %+v", events.since)
	}
	_, err := h.client.PastEvents(t.Context(), membership.Since{Seq: noSuchEvent})
	if problem, ok := errors.AsType[*Problem](err); !ok || problem.Status != 404 || !errors.Is(err, membership.ErrNoEvent) {
		t.Errorf("got %v, want ErrNoEvent", err)
	}
	past, err := h.client.PastEvents(t.Context(), membership.Since{Seq: 7})
	if err != nil {
		t.Fatal(err)
	}
	defer past.Close()
	events := <-h.events
	if _, err := past.Next(); err != io.EOF || events.since.Seq != 7 {
		t.Errorf("%v at the end of the past since %+v, want io.EOF", err, events.since)
	}
	if response, _ := ask(t, h.socket, "GET", "/v1/events?follow=false"); response.StatusCode != 200 || (<-h.events).since == nil {
		t.Errorf("all of the past: %s", response.Status)
	}
}
