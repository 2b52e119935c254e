package web

import (
	"context"
	"fmt"
	"net/http"
)

// index is what a person sees who opens the address in a browser.
const index = `<!DOCTYPE html>
<title>ssmd</title>
<h1>ssmd</h1>
<ul>
<li><a href="/metrics">/metrics</a>: for Prometheus
<li><a href="/healthz">/healthz</a>: whether the manager answers
<li><a href="/readyz">/readyz</a>: whether the first joins were made
<li>the status page is off: <code>http: {status: true}</code> in the file shows it, with names
</ul>
`

// handler knows GET and HEAD alone; a mux answers 405 to any other method.
func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", s.options.Metrics)
	mux.HandleFunc("GET /healthz", s.health)
	mux.HandleFunc("GET /readyz", s.ready)
	if s.options.Page != nil {
		for _, pattern := range []string{"GET /{$}", "GET /plain", "GET /page/", "GET /status/"} {
			mux.Handle(pattern, s.options.Page)
		}
	} else {
		mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			fmt.Fprint(w, index)
		})
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Content-Security-Policy", "default-src 'none'")
		w.Header().Set("Cache-Control", "no-store")
		mux.ServeHTTP(w, r)
	})
}

func (s *Server) health(w http.ResponseWriter, r *http.Request) {
	late := fmt.Errorf("no answer from the manager within %s", s.limits.alive)
	ctx, cancel := context.WithTimeoutCause(r.Context(), s.limits.alive, late)
	defer cancel()
	err := s.options.Alive(ctx)
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	answer(w, err)
}

func (s *Server) ready(w http.ResponseWriter, _ *http.Request) { answer(w, s.options.Ready()) }

func answer(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintln(w, err)
		return
	}
	fmt.Fprintln(w, "ok")
}
