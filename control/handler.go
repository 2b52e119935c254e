package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
)

// errSlowManager says that the manager took too long to answer.
var errSlowManager = errors.New("the manager is busy")

func (s *Server) late() error {
	return fmt.Errorf("%w: no answer within %s", errSlowManager, s.limits.answer)
}

// answer asks the manager and writes its answer, or the problem.
func (s *Server) answer(ask func(context.Context, request) (any, error)) respond {
	return func(w http.ResponseWriter, r request) {
		ctx, cancel := context.WithTimeoutCause(r.http.Context(), s.limits.answer, s.late())
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
	}
}

// admit lets through who may do what he asks for.
func (s *Server) admit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := peerIn(r.Context())
		may := s.options.Access.roleOf(p)
		reading := r.Method == http.MethodGet || r.Method == http.MethodHead
		over := r.Context().Value(overKey{}) == true
		if !over && (may == changer || may == reader && reading) {
			next.ServeHTTP(w, r)
			return
		}
		problem := forbidden(s.options.Access.refuse(p))
		if over {
			problem = s.connections.exceeded(p)
		}
		if r.ContentLength != 0 {
			leaveUnread(w, r)
		}
		writeProblem(w, problem)
	})
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
	if l, ok := object.(interface{ encode(io.Writer) error }); ok {
		return l.encode(w)
	}
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(object)
}
