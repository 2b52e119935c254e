package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/ssmd-project/ssmd/membership"
)

// The daemon answers as the document says that it serves, with something in
// nearly every field: the feed lost an interface, and got another.
func storyDocument(t *testing.T, program string) {
	t.Parallel()
	l := newLab(t, v4)
	dir := l.daemonDir()
	d := startDaemon(l, program, dir, nil)
	d.await(inState(membership.StateJoined))
	l.again()
	d.await(inPlaceOf(1))

	a := newAnswers(t, filepath.Join(dir, "control.sock"))
	entry := `{"channels": "` + l.channel.String() + `", "interface": {"name": "eth*"}, "reattach": {"policy": "same", "same": "subnet"}}`
	const one = "/v1/memberships/{name}"
	for _, ask := range []struct{ operation, path, body string }{
		{"GET /v1/status", "/v1/status", ""},
		{"GET /v1/interfaces", "/v1/interfaces", ""},
		{"GET /v1/memberships", "/v1/memberships", ""},
		{"GET " + one, "/v1/memberships/feed", ""},
		{"GET " + one + "/explain", "/v1/memberships/feed/explain", ""},
		{"POST " + one + "/reannounce", "/v1/memberships/feed/reannounce", ""},
		{"PUT " + one, "/v1/memberships/more", entry},
		{"PUT " + one, "/v1/memberships/more", `{"channels": 7, "interfaces": "eth0"}`},
		{"PUT " + one, "/v1/memberships/feed", entry},
		{"POST " + one + "/approve", "/v1/memberships/more/approve", "{}"},
		{"DELETE " + one, "/v1/memberships/more", ""},
		{"DELETE " + one, "/v1/memberships/more", ""},
		{"DELETE " + one, "/v1/memberships/feed", ""},
		{"POST /v1/interfaces/{name}/drain", "/v1/interfaces/eth0/drain", ""},
		{"GET " + one + "/explain", "/v1/memberships/feed/explain", ""},
		{"POST /v1/interfaces/{name}/undrain", "/v1/interfaces/eth0/undrain", ""},
		{"GET /v1/events", "/v1/events?since=0&follow=false", ""},
		{"GET /v1/events", "/v1/events?since=1000000", ""},
	} {
		a.check(l.ctx, ask.operation, ask.path, ask.body)
	}
	const want = "200 200 200 200 200 200 200 400 409 409 200 404 409 200 200 200 200 404"
	if got := strings.Join(a.statuses, " "); got != want {
		t.Errorf("statuses %s, want %s", got, want)
	}
}

// answers holds what a daemon answers against the document that it serves.
type answers struct {
	t        *testing.T
	client   *http.Client
	compiler *jsonschema.Compiler
	statuses []string
}

func newAnswers(t *testing.T, socket string) *answers {
	t.Helper()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
	a := &answers{t: t, client: &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
	_, text := a.ask(t.Context(), "GET", "/v1/openapi.json", "")
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	ok(t, err)
	a.compiler = jsonschema.NewCompiler()
	a.compiler.DefaultDraft(jsonschema.Draft2020)
	a.compiler.AssertFormat()
	ok(t, a.compiler.AddResource("openapi.json", document))
	return a
}

func (a *answers) ask(ctx context.Context, method, path, body string) (*http.Response, []byte) {
	a.t.Helper()
	request, err := http.NewRequestWithContext(ctx, method, "http://ssmd"+path, strings.NewReader(body))
	ok(a.t, err)
	response, err := a.client.Do(request)
	ok(a.t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	ok(a.t, err)
	return response, text
}

// check validates the answer to one operation of the document.
func (a *answers) check(ctx context.Context, operation, path, body string) {
	a.t.Helper()
	method, documented, _ := strings.Cut(operation, " ")
	response, text := a.ask(ctx, method, path, body)
	status := response.Status[:3]
	a.statuses = append(a.statuses, status)
	place := "openapi.json#"
	for _, step := range []string{"paths", documented, strings.ToLower(method), "responses", status} {
		place += "/" + pointer(step)
	}
	if response.StatusCode >= 400 {
		_, err := a.compiler.Compile(place) // it is a reference to a problem
		ok(a.t, err)
		place = "openapi.json#/components/schemas/Problem"
	} else {
		place += "/content/" + pointer(response.Header.Get("Content-Type")) + "/schema"
	}
	schema, err := a.compiler.Compile(place)
	ok(a.t, err)
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	for decoder.More() {
		var value any
		ok(a.t, decoder.Decode(&value))
		if err := schema.Validate(value); err != nil {
			a.t.Errorf("%s: %s\n%v", operation, text, err)
		}
	}
}

// pointer escapes a step of a JSON pointer in a URL (RFC 6901, section 6).
func pointer(step string) string {
	return url.PathEscape(strings.NewReplacer("~", "~0", "/", "~1").Replace(step))
}
