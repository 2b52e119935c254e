package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"syscall"
	"time"

	"github.com/ssmd-project/ssmd/membership"
)

// events streams the manager's events, a JSON object a line. The subscription
// begins before the answer does, so that whoever has the answer's header
// misses nothing that happens later. A slow reader costs no memory: the manager
// keeps the events, once for all.
func (s *Server) events(w http.ResponseWriter, r request) {
	p := peerIn(r.http.Context())
	switch s.streams.take(p) {
	case none:
		writeProblem(w, s.streams.exceeded(p))
		return
	case over:
		s.streams.give(p)
		writeProblem(w, s.streams.exceeded(p))
		return
	case fair:
		defer s.streams.give(p)
	}
	subscription, err := s.subscribe(r)
	if err != nil {
		writeProblem(w, problemOf(err))
		return
	}
	defer subscription.Close()

	connection := http.NewResponseController(w)
	// A reader may take its time, and never sends anything more.
	err = errors.Join(connection.SetReadDeadline(time.Time{}), connection.SetWriteDeadline(time.Time{}))
	if err != nil {
		writeProblem(w, problemOf(err))
		return
	}
	w.Header().Set("Content-Type", contentLines)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	if connection.Flush() != nil || r.http.Method == http.MethodHead {
		return
	}
	err = follow(r.http.Context(), subscription, func(event any) error {
		if err := encode(w, event); err != nil {
			return err
		}
		return connection.Flush()
	})
	if err != nil {
		// The stream is cut off, so that the reader does not take it
		// for the manager's end.
		panic(http.ErrAbortHandler)
	}
}

// subscribe returns what a request asks for.
func (s *Server) subscribe(r request) (Subscription, error) {
	since, err := readSince(r.query.Get("since"))
	if err != nil {
		return nil, err
	}
	follows, err := r.truth("follow", true)
	if err != nil {
		return nil, err
	}
	if !follows && since == nil {
		since = &membership.Since{}
	}
	subscription, err := s.options.Subscribe(since)
	if err != nil {
		return nil, err
	}
	if !follows {
		subscription.Finish()
	}
	return subscription, nil
}

// readSince reads the number of an event or a time, nil for neither.
func readSince(text string) (*membership.Since, error) {
	if text == "" {
		return nil, nil
	}
	if seq, err := strconv.ParseUint(text, 10, 64); err == nil {
		return &membership.Since{Seq: seq}, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil || t.IsZero() {
		return nil, fmt.Errorf("%w: since: %q, want the number of an event, or a time as 2026-11-23T10:00:00Z", errBadRequest, text)
	}
	return &membership.Since{Time: t}, nil
}

// follow passes events on until the reader or the manager ends.
func follow(ctx context.Context, events Subscription, write func(any) error) error {
	for {
		event, err := events.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := write(event); err != nil {
			return err
		}
	}
}

// Events returns the events from now on: none is missed that happens after it
// returned. The stream lives until ctx ends or it is closed.
func (c *Client) Events(ctx context.Context) (*Events, error) { return c.stream(ctx, url.Values{}) }

// EventsSince returns the events since a point in the past, and those that
// follow, as Events does. The error is membership.ErrNoEvent to errors.Is for
// the number of an event that has not happened.
func (c *Client) EventsSince(ctx context.Context, since membership.Since) (*Events, error) {
	return c.stream(ctx, url.Values{"since": {sinceText(since)}})
}

// PastEvents returns the events since a point in the past up to now, and then
// ends. For the error see EventsSince.
func (c *Client) PastEvents(ctx context.Context, since membership.Since) (*Events, error) {
	return c.stream(ctx, url.Values{"since": {sinceText(since)}, "follow": {"false"}})
}

func sinceText(since membership.Since) string {
	if !since.Time.IsZero() {
		return since.Time.Format(time.RFC3339Nano)
	}
	return strconv.FormatUint(since.Seq, 10)
}

func (c *Client) stream(ctx context.Context, query url.Values) (*Events, error) {
	path := "/v1/events"
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	response, err := c.request(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, err
	}
	return &Events{ctx: ctx, body: response.Body, reader: bufio.NewReader(response.Body)}, nil
}

// Events is a stream of events. It is used by one goroutine at a time.
type Events struct {
	ctx    context.Context
	body   io.Closer
	reader *bufio.Reader
}

// Next waits for the next event. It returns io.EOF after the daemon's last
// one, or the last that was asked for, io.ErrUnexpectedEOF where the daemon
// broke off without an end, and the error of the context that the stream was
// made with when that ends.
func (e *Events) Next() (membership.Event, error) {
	var event membership.Event
	line, err := e.reader.ReadBytes('\n')
	switch {
	case e.ctx.Err() != nil:
		return event, e.ctx.Err()
	case errors.Is(err, syscall.ECONNRESET):
		return event, io.ErrUnexpectedEOF
	case err != nil:
		return event, err
	}
	if err := json.Unmarshal(line, &event); err != nil {
		return event, fmt.Errorf("read an event: %w", err)
	}
	return event, nil
}

// Close ends the stream.
func (e *Events) Close() { _ = e.body.Close() } // nothing was written
