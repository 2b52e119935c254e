package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/membership"
)

var joined = membership.Status{
	Name: "feed-a", State: membership.StateJoined, Reason: "eth0 <ok>", Channels: 3, Joined: 2,
	Since: time.Unix(1000, 5000).UTC(), Attachments: []membership.Attachment{},
}

// ask sends one request as text, and returns the answer.
func ask(t *testing.T, socket, method, path string) (*http.Response, string) {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}
	request, err := http.NewRequestWithContext(t.Context(), method, "http://x"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

func TestAnswers(t *testing.T) {
	h := serve(t, &fakeManager{
		statuses:   []membership.Status{joined, {Name: "..", State: membership.StateWaiting, Channels: 1}},
		interfaces: []membership.InterfaceStatus{{Interface: ifwatch.Interface{ID: 1, Index: 1, Name: "lo"}}},
	}, nil)
	status := `{"name":"feed-a","state":"joined","reason":"eth0 <ok>","channels":3,"joined":2,"since":"1970-01-01T00:16:40.000005Z","attachments":[],"previous":null,` +
		`"counters":{"attaches":0,"detaches":0,"reattaches":0,"reannounces":0,"repairs":0,"errors":0},"last_reattach_seconds":null}`
	tests := map[string]string{
		"/v1/memberships/feed-a":         status,
		"/v1/memberships/feed-a/explain": `{"status":` + status + `,"channels":null,"interfaces":null}`,
		"/v1/status": `{"version":"v1.2.3","pid":42,"started":"1970-01-01T00:16:40Z","config_file":"a.yaml",` +
			`"memberships":{"degraded":0,"detached":0,"ended":0,"held":0,"joined":1,"settling":0,"waiting":1},"channels":{"wanted":4,"joined":2}}`,
	}
	for path, want := range tests {
		response, body := ask(t, h.socket, "GET", path)
		if response.StatusCode != 200 || response.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %s %s", path, response.Status, response.Header.Get("Content-Type"))
		}
		if diff := cmp.Diff(want+"\n", body); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
	for _, path := range []string{"/v1/memberships", "/v1/interfaces"} {
		if _, body := ask(t, h.socket, "GET", path); !strings.HasPrefix(body, "[{") {
			t.Errorf("%s: %s, want a list", path, body)
		}
	}
}

func TestEmptyListsAreLists(t *testing.T) {
	h := serve(t, &fakeManager{}, nil)
	for _, path := range []string{"/v1/memberships", "/v1/interfaces"} {
		if _, body := ask(t, h.socket, "GET", path); body != "[]\n" {
			t.Errorf("%s: %q, want []", path, body)
		}
	}
}

func problem(kind, title string, status int, detail string) Problem {
	return Problem{Type: kind, Title: title, Status: status, Detail: detail}
}

func TestProblems(t *testing.T) {
	tests := map[string]struct {
		manager      fakeManager
		method, path string
		want         Problem
	}{
		"path":      {fakeManager{}, "GET", "/v2/x", problem(TypeBlank, "Not Found", 404, "nothing at /v2/x")},
		"unclean":   {fakeManager{}, "GET", "/v1/a/../../x", problem(TypeBlank, "Not Found", 404, "nothing at /v1/a/../../x")},
		"slashes":   {fakeManager{}, "GET", "/v1//status", problem(TypeBlank, "Not Found", 404, "nothing at /v1//status")},
		"dots":      {fakeManager{}, "GET", "/v1/./status", problem(TypeBlank, "Not Found", 404, "nothing at /v1/./status")},
		"method":    {fakeManager{}, "POST", "/v1/status", problem(TypeBlank, "Method Not Allowed", 405, "POST /v1/status: want one of GET, HEAD")},
		"name":      {fakeManager{}, "GET", "/v1/memberships/x", problem(TypeNoMembership, "No such membership", 404, `membership "x": no such membership`)},
		"explain":   {fakeManager{}, "GET", "/v1/memberships/x/explain", problem(TypeNoMembership, "No such membership", 404, `membership "x": no such membership`)},
		"stopped":   {fakeManager{err: membership.ErrStopped}, "GET", "/v1/memberships", problem(TypeStopped, "The daemon is ending", 503, "the daemon is ending")},
		"slow":      {fakeManager{hang: true}, "GET", "/v1/status", problem(TypeBusy, "Busy", 503, "the manager is busy: no answer within 20ms")},
		"no editor": {fakeManager{}, "PUT", "/v1/memberships/x", problem(TypeBlank, "Not Implemented", 501, "this server changes nothing")},
		"internal":  {fakeManager{err: errors.New("netlink broke")}, "GET", "/v1/interfaces", problem(TypeBlank, "Internal Server Error", 500, "netlink broke")},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			h := serve(t, &test.manager, func(l *limits) { l.answer = 20 * time.Millisecond })
			response, body := ask(t, h.socket, test.method, test.path)
			if response.StatusCode != test.want.Status || response.Header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("%s %s", response.Status, response.Header.Get("Content-Type"))
			}
			if allow := response.Header.Get("Allow"); (allow != "") != (response.StatusCode == 405) {
				t.Errorf("Allow %q with %s", allow, response.Status)
			}
			var got Problem
			if err := json.Unmarshal([]byte(body), &got); err != nil {
				t.Fatalf("%q: %v", body, err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestServeEndsWithOpenConnections(t *testing.T) {
	h := serve(t, &fakeManager{hang: true}, nil)
	mustDial(t, h.socket) // says nothing
	half := mustDial(t, h.socket)
	if _, err := io.WriteString(half, "GET /v1/status HTTP/1.1\r\n"); err != nil {
		t.Fatal(err)
	}
	hanging := mustDial(t, h.socket)
	if _, err := io.WriteString(hanging, "GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	stream, err := h.client.Events(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	h.stop()
	if _, err := stream.Next(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the stream was cut off with %v, want ErrUnexpectedEOF", err)
	}
	if _, err := h.client.Daemon(t.Context()); !errors.Is(err, ErrNoDaemon) {
		t.Errorf("after the end: %v, want ErrNoDaemon", err)
	}
}

func TestServerIsBounded(t *testing.T) {
	h := serve(t, &fakeManager{}, func(l *limits) { l.read, l.connections.all = 50*time.Millisecond, 2 })
	t.Run("slow request", func(t *testing.T) {
		c := mustDial(t, h.socket)
		if _, err := io.WriteString(c, "GET /v1/st"); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.ReadAll(c); err != nil {
			t.Errorf("the server did not hang up: %v", err)
		}
	})
	t.Run("large header", func(t *testing.T) {
		c := mustDial(t, serve(t, &fakeManager{}, nil).socket) // no time limit that a busy machine reaches
		go func() {
			_, _ = io.WriteString(c, "GET /v1/status HTTP/1.1\r\nHost: x\r\nX: "+strings.Repeat("x", defaultLimits.header)+"\r\n\r\n")
		}()
		line, _ := bufio.NewReader(c).ReadString('\n')
		if !strings.Contains(line, "431") {
			t.Errorf("got %q, want 431", line)
		}
		_ = c.Close()
	})
	t.Run("connections", func(t *testing.T) {
		// Two that say nothing hold a third up only until they are cut off.
		mustDial(t, h.socket)
		mustDial(t, h.socket)
		if _, err := h.client.Daemon(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestServeTellsWhenItsListenerBreaks(t *testing.T) {
	l, err := Listen(socketPath(t), 0o600, "")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	if err := NewServer(ServerOptions{Manager: &fakeManager{}}).Serve(t.Context(), l); err == nil {
		t.Error("Serve on a closed listener returned nil")
	}
}
