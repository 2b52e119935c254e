package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
)

// route is one method of one path. The document of the API (openapi.json) says
// the same to others, and a test holds them together.
type route struct {
	pattern string   // as http.ServeMux takes it
	query   []string // the parameters that it knows
	body    int64    // bytes that it takes at most; 0: it wants none
	respond respond
}

// respond answers a request that was read whole.
type respond func(http.ResponseWriter, request)

// request is what a route gets of a request.
type request struct {
	http  *http.Request
	name  string // in the path, of a membership or an interface, or the ID of an adoption
	query url.Values
	body  []byte
}

// routes returns the whole API. A new one is a line here, and a path in
// openapi.json.
func (s *Server) routes() []route {
	return []route{
		{pattern: "GET /v1/memberships", respond: s.answer(s.memberships)},
		{pattern: "GET /v1/memberships/{name}", respond: s.answer(s.membership)},
		{pattern: "PUT /v1/memberships/{name}", query: []string{"persist"}, body: longestEntry, respond: s.answer(s.put)},
		{pattern: "DELETE /v1/memberships/{name}", respond: s.answer(s.delete)},
		{pattern: "GET /v1/memberships/{name}/explain", respond: s.answer(s.explain)},
		{pattern: "POST /v1/memberships/{name}/approve", body: longestApproval, respond: s.answer(s.approve)},
		{pattern: "POST /v1/memberships/{name}/reannounce", respond: s.answer(s.reannounce)},
		{pattern: "GET /v1/interfaces", respond: s.answer(s.interfaces)},
		{pattern: "POST /v1/interfaces/{name}/drain", query: []string{"netns"}, respond: s.answer(s.drain)},
		{pattern: "POST /v1/interfaces/{name}/undrain", query: []string{"netns"}, respond: s.answer(s.undrain)},
		{pattern: "GET /v1/adoptions", respond: s.answer(s.adoptions)},
		{pattern: "POST /v1/adoptions", body: longestAdoption, respond: s.answer(s.adopt)},
		{pattern: "DELETE /v1/adoptions/{id}", respond: s.answer(s.stopAdoption)},
		{pattern: "GET /v1/events", query: []string{"since", "follow"}, respond: s.events},
		{pattern: "GET /v1/status", respond: s.answer(s.status)},
		{pattern: "POST /v1/reload", respond: s.answer(s.reload)},
		{pattern: "POST /v1/takeover", respond: s.takeover},
		{pattern: "GET /v1/openapi.json", respond: describe},
	}
}

// handler returns the whole API, for those who may use it.
func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	for _, r := range s.routes() {
		mux.Handle(r.pattern, r)
	}
	return s.admit(withProblems(mux))
}

func (s *Server) memberships(ctx context.Context, _ request) (any, error) {
	statuses, err := s.options.Manager.Status(ctx)
	if err != nil {
		return nil, err
	}
	return s.withMonitors(ctx, statuses)
}

func (s *Server) membership(ctx context.Context, r request) (any, error) {
	return s.statusOf(ctx, r.name)
}

func (s *Server) statusOf(ctx context.Context, name string) (Status, error) {
	status, err := s.options.Manager.StatusOf(ctx, name)
	if err != nil {
		return Status{}, err
	}
	return s.withMonitor(ctx, status)
}

func (s *Server) explain(ctx context.Context, r request) (any, error) {
	e, err := s.options.Manager.Explain(ctx, r.name)
	if err != nil {
		return nil, err
	}
	status, err := s.withMonitor(ctx, e.Status)
	return Explanation{status, e.Channels, e.Interfaces}, err
}

func (s *Server) interfaces(ctx context.Context, _ request) (any, error) {
	return list(s.options.Manager.Interfaces(ctx))
}

func (s *Server) status(ctx context.Context, _ request) (any, error) {
	statuses, err := s.options.Manager.Status(ctx)
	d := summarize(s.options.Info, statuses)
	d.LastReload = s.lastReload()
	return d, err
}

// ServeHTTP reads the request and responds.
func (t route) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	request, err := t.read(w, r)
	if err != nil {
		writeProblem(w, problemOf(err))
		return
	}
	t.respond(w, request)
}

func (t route) read(w http.ResponseWriter, r *http.Request) (request, error) {
	query, err := t.readQuery(r.URL.RawQuery)
	if err != nil {
		return request{}, err
	}
	body, err := t.readBody(w, r)
	return request{http: r, name: cmp.Or(r.PathValue("name"), r.PathValue("id")), query: query, body: body}, err
}

// readQuery refuses what it does not know: a misspelt persist is not kept.
func (t route) readQuery(text string) (url.Values, error) {
	query, err := url.ParseQuery(text)
	if err != nil {
		return nil, fmt.Errorf("%w: its query: %w", errBadRequest, err)
	}
	for name, values := range query {
		switch {
		case !slices.Contains(t.query, name) && len(t.query) == 0:
			return nil, fmt.Errorf("%w: %q is no parameter, want none", errBadRequest, name)
		case !slices.Contains(t.query, name):
			return nil, fmt.Errorf("%w: %q is no parameter, want %s", errBadRequest, name, strings.Join(t.query, " or "))
		case len(values) > 1:
			return nil, fmt.Errorf("%w: %s: given twice, want it once", errBadRequest, name)
		}
	}
	return query, nil
}

func (t route) readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	switch {
	case r.ContentLength != 0 && t.body == 0:
		leaveUnread(w, r)
		return nil, blank(http.StatusRequestEntityTooLarge, "the request has a body, want none")
	case r.ContentLength > t.body:
		leaveUnread(w, r)
		return nil, t.tooLong()
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, t.body))
	_, long := errors.AsType[*http.MaxBytesError](err)
	switch {
	case long:
		return nil, t.tooLong()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, blank(http.StatusRequestTimeout, "the request did not arrive in time")
	case err != nil:
		return nil, fmt.Errorf("%w: %w", errBadRequest, err)
	}
	return body, nil
}

// leaveUnread has net/http give whoever still sends a body the time to read
// the answer, before it closes the connection.
func leaveUnread(w http.ResponseWriter, r *http.Request) {
	_, _ = http.MaxBytesReader(w, r.Body, 0).Read(make([]byte, 1)) // it is the limit that counts
}

func (t route) tooLong() error {
	return blank(http.StatusRequestEntityTooLarge, fmt.Sprintf("the request is too long, want at most %d bytes", t.body))
}

// truth reads a parameter that is true or false.
func (r request) truth(name string, absent bool) (bool, error) {
	text := r.query.Get(name)
	if text == "" {
		return absent, nil
	}
	value, err := strconv.ParseBool(text)
	if err != nil {
		return false, fmt.Errorf("%w: %s: %q, want true or false", errBadRequest, name, text)
	}
	return value, nil
}
