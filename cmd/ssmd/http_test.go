package main

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/ssmd-project/ssmd/config"
	"github.com/ssmd-project/ssmd/membership"
)

// health returns the status and the text of an answer.
func health(t *testing.T, address, path string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// From before the manager runs until after it ended, /readyz and /healthz say
// how it is.
func TestHealth(t *testing.T) {
	if errNotIsolated != nil {
		t.Skip(errNotIsolated)
	}
	listener, err := listenHTTP(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	want := func(when, path string, status int, text string) {
		t.Helper()
		if got, body := health(t, listener.Addr().String(), path); got != status || !strings.HasPrefix(body, text) {
			t.Errorf("%s, %s: %d %q, want %d %q", when, path, got, body, status, text)
		}
	}
	log := slog.New(slog.DiscardHandler)
	w := daemon{first: new(config.Packed), log: log, state: openState(t.Context(), "", log), source: new(source), started: then}.wire()
	manager := w.manager
	ending, end := context.WithCancel(t.Context())
	serving, endServing := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- w.newWebServer(ending).Serve(serving, listener) }()
	want("before it runs", "/healthz", 503, "no answer from the manager within 1s\n")
	want("before it runs", "/readyz", 503, errStarting.Error()+"\n")

	ended := make(chan error, 1)
	go func() { ended <- manager.Run(ending) }()
	go func() { _ = w.monitor.Run(ending) }()
	if err := manager.Apply(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	want("before it is said to be ready", "/readyz", 503, errStarting.Error()+"\n")
	w.joined.Store(true)
	want("while it runs", "/healthz", 200, "ok\n")
	want("while it runs", "/readyz", 200, "ok\n")
	want("while it runs", "/metrics", 200, "#")

	end()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	want("after it ended", "/healthz", 503, membership.ErrStopped.Error()+"\n")
	want("after it ended", "/readyz", 503, errEnding.Error()+"\n")
	want("after it ended", "/metrics", 500, "An error has occurred")
	endServing()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestNoListener(t *testing.T) {
	if l, err := listenHTTP(t.Context(), ""); l != nil || err != nil {
		t.Errorf("%v, %v", l, err)
	}
}
