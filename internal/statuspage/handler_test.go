package statuspage

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ssmd-project/ssmd/membership"
)

func TestExplain(t *testing.T) {
	f, _, server := show(t, nil)
	s := status("..", membership.StateDegraded)
	s.Channels = 700
	f.statuses[".."] = s
	code, body, _ := get(t, server, "/status/explain?name=..", nil)
	var d struct {
		Status          membership.Status
		Channels        []struct{ Joined bool }
		ChannelsLeftOut int `json:"channels_left_out"`
	}
	if err := json.Unmarshal([]byte(body), &d); err != nil || code != 200 {
		t.Fatalf("%d, %v: %.500s", code, err, body)
	}
	if len(d.Channels) != 500 || d.ChannelsLeftOut != 200 || d.Channels[0].Joined || d.Status.Name != ".." {
		t.Errorf("%d channels, %d left out, the first %+v", len(d.Channels), d.ChannelsLeftOut, d.Channels[0])
	}
	if code, body, _ := get(t, server, "/status/explain?name=nope", nil); code != 404 || !strings.Contains(body, "no such membership") && body == "" {
		t.Errorf("%d: %s", code, body)
	}
	if _, body, _ := get(t, server, "/plain", nil); strings.Contains(body, "<script") || !strings.Contains(body, "&lt;script&gt;&#34;..") {
		t.Errorf("the plain table: %s", body)
	}
}

func get(t *testing.T, server *httptest.Server, path string, headers map[string]string) (int, string, http.Header) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), "GET", server.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range headers {
		request.Header.Set(name, value)
	}
	request.Host = headers["Host"]
	response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body), response.Header
}

// Whoever comes by another name, or from another site, is told nothing; and no
// answer lets a browser do more than it has to.
func TestWhoMayRead(t *testing.T) {
	_, _, server := show(t, nil)
	for host, want := range map[string]int{
		"": 200, "localhost:1": 200, "192.0.2.1:9781": 200, "[2001:db8::1]:9781": 200, "Status.Example.:9781": 200,
		"evil.example": 421, "status.example.evil.example": 421, "192.0.2.1.nip.io": 421,
	} {
		code, _, header := get(t, server, "/", map[string]string{"Host": host})
		if code != want {
			t.Errorf("host %q: %d, want %d", host, code, want)
		}
		policy := header.Get("Content-Security-Policy")
		for _, part := range []string{"default-src 'none'", "script-src 'self';", "style-src 'self';", "frame-ancestors 'none'", "trusted-types 'none'"} {
			if !strings.Contains(policy, part) {
				t.Errorf("the policy %q lacks %s", policy, part)
			}
		}
		if header.Get("X-Content-Type-Options") != "nosniff" || header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%v", header)
		}
	}
	for site, want := range map[string]int{"": 404, "same-origin": 404, "none": 404, "cross-site": 403, "same-site": 403} {
		if code, _, _ := get(t, server, "/status/explain?name=a", map[string]string{"Sec-Fetch-Site": site}); code != want {
			t.Errorf("from %q: %d, want %d", site, code, want)
		}
	}
	for path, kind := range map[string]string{"/": "text/html; charset=utf-8", "/page/main.js": "text/javascript; charset=utf-8", "/page/page.css": "text/css; charset=utf-8", "/page/icon.svg": "image/svg+xml"} {
		if code, _, header := get(t, server, path, nil); code != 200 || header.Get("Content-Type") != kind {
			t.Errorf("%s: %d, %s", path, code, header.Get("Content-Type"))
		}
	}
	for _, path := range []string{"/page/", "/page/../doc.go", "/status/", "/page/nope.js"} {
		if code, _, _ := get(t, server, path, nil); code == 200 {
			t.Errorf("%s is there", path)
		}
	}
	if _, body, _ := get(t, server, "/", nil); strings.Contains(body, "<style") || strings.Contains(body, "style=") || strings.Contains(body, "http:") || strings.Contains(body, "onclick") {
		t.Error("the page has what its policy forbids")
	}
}

// Explanations are bounded: whoever finds no turn is told so.
func TestTooMuchIsAsked(t *testing.T) {
	_, b, server := show(t, func(b *Board) { b.pause.answer = 20 * time.Millisecond })
	for range cap(b.asking) {
		if err := b.ask(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{"/plain", "/status/explain?name=a"} {
		if code, body, _ := get(t, server, path, nil); code != 503 || !strings.HasPrefix(body, "too much is asked for") {
			t.Errorf("%s: %d: %s", path, code, body)
		}
	}
	b.asked()
	if code, _, _ := get(t, server, "/plain", nil); code != 200 {
		t.Errorf("with a turn: %d", code)
	}
}
