package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"time"
)

// errSlowManager says that the manager took too long to answer.
var errSlowManager = errors.New("the manager is busy")

// handler returns the whole API.
func (s *Server) handler() http.Handler {
	m := s.options.Manager
	mux := http.NewServeMux()
	mux.Handle("GET /v1/memberships", s.answer(func(ctx context.Context, _ *http.Request) (any, error) {
		return list(m.Status(ctx))
	}))
	mux.Handle("GET /v1/memberships/{name}", s.answer(func(ctx context.Context, r *http.Request) (any, error) {
		return m.StatusOf(ctx, r.PathValue("name"))
	}))
	mux.Handle("GET /v1/memberships/{name}/explain", s.answer(func(ctx context.Context, r *http.Request) (any, error) {
		return m.Explain(ctx, r.PathValue("name"))
	}))
	mux.Handle("GET /v1/interfaces", s.answer(func(ctx context.Context, _ *http.Request) (any, error) {
		return list(m.Interfaces(ctx))
	}))
	mux.Handle("GET /v1/status", s.answer(func(ctx context.Context, _ *http.Request) (any, error) {
		statuses, err := m.Status(ctx)
		d := summarize(s.options.Info, statuses)
		d.LastReload = s.lastReload()
		return d, err
	}))
	mux.HandleFunc("GET /v1/events", s.events)
	mux.Handle("PUT /v1/memberships/{name}", s.answer(s.put))
	mux.Handle("DELETE /v1/memberships/{name}", s.answer(s.delete))
	mux.Handle("POST /v1/reload", s.answer(s.reload))
	s.handlePolicy(mux)
	return withProblems(mux)
}

// list makes an empty list of none, so that JSON never says null.
func list[T any](items []T, err error) ([]T, error) {
	if items == nil {
		items = []T{}
	}
	return items, err
}

// answer asks the manager and writes its answer, or the problem.
func (s *Server) answer(ask func(context.Context, *http.Request) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		late := fmt.Errorf("%w: no answer within %s", errSlowManager, s.limits.answer)
		ctx, cancel := context.WithTimeoutCause(r.Context(), s.limits.answer, late)
		defer cancel()
		object, err := ask(ctx, r)
		if err != nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			writeProblem(w, problemOf(err))
			return
		}
		writeJSON(w, http.StatusOK, contentJSON, object)
	})
}

// events streams the manager's events, a JSON object a line. The subscription
// begins before the answer does, so that whoever has the answer's header
// misses nothing that happens later.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	select {
	case s.streams <- struct{}{}:
		defer func() { <-s.streams }()
	default:
		writeProblem(w, tooMany(s.limits.streams))
		return
	}
	subscription := s.options.Subscribe()
	defer subscription.Close()

	connection := http.NewResponseController(w)
	// A reader may take its time, and never sends anything more.
	err := errors.Join(connection.SetReadDeadline(time.Time{}), connection.SetWriteDeadline(time.Time{}))
	if err != nil {
		writeProblem(w, problemOf(err))
		return
	}
	w.Header().Set("Content-Type", contentLines)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	if connection.Flush() != nil || r.Method == http.MethodHead {
		return
	}
	err = follow(r.Context(), subscription, func(event any) error {
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

// withProblems answers in problem details where the mux has no handler.
func withProblems(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler, pattern := mux.Handler(r)
		asked := r.URL.EscapedPath()
		if pattern != "" && asked == path.Clean(asked) { // the mux redirects where it is not
			mux.ServeHTTP(w, r)
			return
		}
		refusal := refusal{header: w.Header()}
		handler.ServeHTTP(&refusal, r)
		if refusal.status == http.StatusMethodNotAllowed {
			writeProblem(w, blank(refusal.status, fmt.Sprintf("%s %s: want one of %s", r.Method, r.URL.Path, w.Header().Get("Allow"))))
			return
		}
		writeProblem(w, blank(http.StatusNotFound, fmt.Sprintf("nothing at %s", r.URL.Path)))
	})
}

// refusal takes the mux's own answer: its header, RFC 9110's Allow among it,
// and its status, but not its words.
type refusal struct {
	header http.Header
	status int
}

func (r *refusal) Header() http.Header         { return r.header }
func (r *refusal) WriteHeader(status int)      { r.status = status }
func (r *refusal) Write(b []byte) (int, error) { return len(b), nil }

func writeProblem(w http.ResponseWriter, p *Problem) {
	writeJSON(w, p.Status, contentProblem, p)
}

func writeJSON(w http.ResponseWriter, status int, contentType string, object any) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = encode(w, object) // the reader is gone
}

// encode writes an object on one line.
func encode(w io.Writer, object any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(object)
}
