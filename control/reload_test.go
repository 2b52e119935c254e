package control

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ssmd-project/ssmd/membership"
)

// fakeReloader answers as it is told.
type fakeReloader struct {
	reloaded Reloaded
	err      error
}

func (r *fakeReloader) Reload(context.Context) (Reloaded, error) { return r.reloaded, r.err }

func (r *fakeReloader) LastReload() ReloadStatus {
	return ReloadStatus{Time: time.Unix(1001, 0).UTC(), LastSuccess: time.Unix(1000, 0).UTC(), Error: "a.yaml:1:2: wrong", Watched: true}
}

func TestReload(t *testing.T) {
	r := &fakeReloader{reloaded: Reloaded{File: "a.yaml", Memberships: 2, Added: []string{"x", "y"}, Restart: []string{"control.socket"}}}
	h := serveAll(t, ServerOptions{Manager: &fakeManager{}, Reloader: r}, nil)
	want := `{"file":"a.yaml","memberships":2,"added":["x","y"],"changed":[],"removed":[],"taken_over":[],"settings":[],"restart":["control.socket"]}` + "\n"
	if _, body := ask(t, h.socket, "POST", "/v1/reload"); body != want {
		t.Errorf("got %s, want %s", body, want)
	}
	got, err := h.client.Reload(t.Context())
	if err != nil || strings.Join(got.Added, " ") != "x y" {
		t.Errorf("%+v, %v", got, err)
	}
	if response, _ := ask(t, h.socket, "GET", "/v1/reload"); response.StatusCode != 405 {
		t.Errorf("GET: %s", response.Status)
	}
	status := `"last_reload":{"successful":false,"time":"1970-01-01T00:16:41Z","last_success":"1970-01-01T00:16:40Z","error":"a.yaml:1:2: wrong","watched":true}}`
	if _, body := ask(t, h.socket, "GET", "/v1/status"); !strings.HasSuffix(body, status+"\n") {
		t.Errorf("got %s, want %s at its end", body, status)
	}
}

// Everything that is wrong passes the socket, as much as there may be.
func TestReloadErrors(t *testing.T) {
	var all []Flaw
	for n := range 1001 {
		all = append(all, Flaw{File: strings.Repeat("f", 300), Line: n + 1, Column: 2, Path: "memberships", Message: strings.Repeat("m", 300)})
	}
	last := Flaw{Path: "SSMD_LOG_LEVEL", Message: "wrong"}
	r := &fakeReloader{err: &ConfigError{Errors: append(all, last)}}
	h := serveAll(t, ServerOptions{Manager: &fakeManager{}, Reloader: r}, nil)
	_, err := h.client.Reload(t.Context())
	problem, ok := errors.AsType[*Problem](err)
	if !ok || problem.Type != TypeInvalidConfig || problem.Status != 409 {
		t.Fatalf("got %v", err)
	}
	if diff := cmp.Diff(append(all, last), problem.Errors); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got := all[0].Error(); got != all[0].File+":1:2: memberships: "+all[0].Message || last.Error() != "SSMD_LOG_LEVEL: wrong" {
		t.Errorf("%s, %s", got, last.Error())
	}
	for _, tt := range []struct {
		err        error
		kind, want string
	}{
		{&ConfigError{}, TypeInvalidConfig, "nothing was changed"},
		{&ConfigError{Errors: []Flaw{last}}, TypeInvalidConfig, "nothing was changed: SSMD_LOG_LEVEL: wrong"},
		{&ConfigError{Errors: []Flaw{last, last}}, TypeInvalidConfig, "nothing was changed: the configuration has 2 errors, first SSMD_LOG_LEVEL: wrong"},
		{&NoReloadError{"no file"}, TypeNoReload, "nothing to reload: no file"},
		{membership.ErrStopped, TypeStopped, "the daemon is ending"},
	} {
		r.err = tt.err
		_, err := h.client.Reload(t.Context())
		if problem, ok := errors.AsType[*Problem](err); !ok || problem.Type != tt.kind || err.Error() != tt.want {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
	h = serve(t, &fakeManager{}, nil)
	if _, err := h.client.Reload(t.Context()); err == nil || err.Error() != "this server reloads nothing" {
		t.Errorf("got %v", err)
	}
}
