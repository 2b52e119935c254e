package statuspage

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/membership"
)

// fake is a manager that says what a test gives it to say.
type fake struct {
	mu       sync.Mutex
	statuses map[string]membership.Status
	lives    []membership.InterfaceLife
	asked    atomic.Int64 // for everything
	events   chan membership.Event
}

func (f *fake) Status(context.Context) (all []membership.Status, _ error) {
	f.asked.Add(1)
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.statuses {
		all = append(all, s)
	}
	return all, nil
}

func (f *fake) StatusOf(_ context.Context, name string) (membership.Status, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s, found := f.statuses[name]
	if !found {
		return s, membership.ErrNotFound
	}
	return s, nil
}

func (f *fake) Explain(ctx context.Context, name string) (membership.Explanation, error) {
	s, err := f.StatusOf(ctx, name)
	x := membership.Explanation{Status: s}
	for i := range s.Channels {
		x.Channels = append(x.Channels, membership.ChannelStatus{Joined: i != 600})
	}
	return x, err
}

func (f *fake) Lives(context.Context) ([]membership.InterfaceLife, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lives, nil
}

func (f *fake) set(s membership.Status) {
	f.mu.Lock()
	f.statuses[s.Name] = s
	f.mu.Unlock()
	f.events <- membership.Event{Time: time.Now(), Type: membership.EventState, Membership: s.Name, State: s.State}
}

func (f *fake) remove(name string) {
	f.mu.Lock()
	delete(f.statuses, name)
	f.mu.Unlock()
	f.events <- membership.Event{Time: time.Now(), Type: membership.EventDetached, Membership: name}
}

// subscription gives the events of a fake, to one reader.
type subscription struct {
	events   <-chan membership.Event
	finished bool
}

func (s *subscription) Next(ctx context.Context) (membership.Event, error) {
	if s.finished {
		return membership.Event{}, io.EOF
	}
	select {
	case e, open := <-s.events:
		if !open {
			return e, io.EOF
		}
		return e, nil
	case <-ctx.Done():
		return membership.Event{}, ctx.Err()
	}
}
func (s *subscription) Finish() { s.finished = true }
func (s *subscription) Close()  {}

// show serves the board of a fake until the test ends.
func show(t *testing.T, change func(*Board)) (*fake, *Board, *httptest.Server) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	f := &fake{statuses: map[string]membership.Status{}, events: make(chan membership.Event, 64)}
	b := New(Options{
		Manager: f, Past: func() (Subscription, error) { return &subscription{events: f.events}, nil },
		Version: "1.2.3", Started: noon, Host: "status.example", Logger: slog.New(slog.DiscardHandler),
	})
	b.pause = pause{events: time.Millisecond, longest: 50 * time.Millisecond, rest: 20 * time.Millisecond, answer: time.Second}
	if change != nil {
		change(b)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	server := httptest.NewServer(b.Handler())
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
		server.Close()
		goleak.VerifyNone(t, before)
	})
	return f, b, server
}

// message is one of the stream.
type message struct {
	id      string
	Version string              `json:"version"`
	Reset   bool                `json:"reset"`
	More    bool                `json:"more"`
	Set     [][]json.RawMessage `json:"set"`
	Gone    [][]string          `json:"gone"`
}

func (m message) has(words string) bool {
	for _, s := range m.Set {
		if strings.Contains(string(s[1]), words) {
			return true
		}
	}
	return false
}

// listener reads a stream.
type listener struct {
	t    *testing.T
	body io.ReadCloser
	scan *bufio.Scanner
}

func listen(t *testing.T, server *httptest.Server, from string) *listener {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	request, err := http.NewRequestWithContext(ctx, "GET", server.URL+"/status/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Last-Event-ID", from)
	response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	if response.StatusCode != 200 || response.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%s, %v", response.Status, response.Header)
	}
	scan := bufio.NewScanner(response.Body)
	scan.Buffer(nil, 1<<20)
	return &listener{t, response.Body, scan}
}

// next returns the next message that says anything; false at the end.
func (l *listener) next() (m message, more bool) {
	l.t.Helper()
	for l.scan.Scan() {
		line := l.scan.Text()
		if id, found := strings.CutPrefix(line, "id: "); found {
			m.id = id
		}
		if data, found := strings.CutPrefix(line, "data: "); found {
			if err := json.Unmarshal([]byte(data), &m); err != nil {
				l.t.Fatalf("%s: %v", data, err)
			}
		}
		if line == "" && m.id != "" {
			return m, true
		}
	}
	return m, false
}

// until reads messages up to one that passes.
func (l *listener) until(pass func(message) bool) message {
	l.t.Helper()
	for {
		m, more := l.next()
		if !more {
			l.t.Fatalf("the stream ended: %v", l.scan.Err())
		}
		if pass(m) {
			return m
		}
	}
}

func status(name string, state membership.State) membership.Status {
	return membership.Status{Name: name, State: state, Reason: `<script>"` + name, Since: noon}
}

// A reader is told what is, then what changes, and where it comes back what
// changed meanwhile.
func TestStream(t *testing.T) {
	f, b, server := show(t, func(b *Board) { b.limits.entries = 1; b.pause.rest = time.Minute })
	f.set(status("a", membership.StateJoined))
	f.set(status("b", membership.StateJoined))
	l := listen(t, server, "")
	first, _ := l.next()
	if first.Version != "1.2.3" || !first.Reset || len(first.Set) != 1 || !first.More {
		t.Errorf("the first message: %+v", first)
	}
	last := l.until(func(m message) bool { return !m.More })
	f.set(status("a", membership.StateDetached))
	last = l.until(func(m message) bool { return m.has(`"state":"detached"`) && m.has(`"name":"a"`) })
	_ = l.body.Close()
	f.remove("b")
	eventually(t, func() error {
		b.mu.Lock()
		defer b.mu.Unlock()
		if !b.table.entries[key{kindRow, "b"}].isGone() {
			return fmt.Errorf("b is there")
		}
		return nil
	})
	again := listen(t, server, last.id)
	m := again.until(func(m message) bool {
		if m.Reset || m.has(`"name":"a"`) && m.has("channels") {
			t.Errorf("told again: %+v", m)
		}
		return len(m.Gone) > 0
	})
	if m.Gone[0][0] != "row" || m.Gone[0][1] != "b" {
		t.Errorf("gone: %v, want row b", m.Gone)
	}
	if m, _ := listen(t, server, "another-7").next(); !m.Reset {
		t.Errorf("a reader from another run goes on: %+v", m)
	}
}

func eventually(t *testing.T, f func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := testnet.Eventually(ctx, f); err != nil {
		t.Fatal(err)
	}
}

// The manager is asked while somebody reads, once for all of them, and not
// afterwards.
func TestNobodyReads(t *testing.T) {
	f, b, server := show(t, nil)
	if n := f.asked.Load(); n != 0 {
		t.Errorf("asked %d times before anybody read", n)
	}
	for range 2 {
		l := listen(t, server, "")
		l.until(func(m message) bool { return m.Version != "" })
		_ = l.body.Close()
		eventually(t, func() error {
			b.mu.Lock()
			defer b.mu.Unlock()
			if b.table != nil {
				return fmt.Errorf("the table is kept")
			}
			return nil
		})
	}
}

// There is room for so many readers, and one that reads nothing is let go.
func TestSlowReaders(t *testing.T) {
	f, b, server := show(t, func(b *Board) {
		b.streams = make(chan struct{}, 1)
		b.limits.write = 50 * time.Millisecond
	})
	f.mu.Lock()
	for n := range 30_000 { // more than the kernel keeps
		name := fmt.Sprint(n)
		s := status(name, membership.StateJoined)
		s.Reason = strings.Repeat(name, 50)
		f.statuses[name] = s
	}
	f.mu.Unlock()
	connection, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	_ = connection.(*net.TCPConn).SetReadBuffer(4096)
	fmt.Fprint(connection, "GET /status/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
	eventually(t, func() error {
		if len(b.streams) == 0 {
			return fmt.Errorf("nobody reads yet")
		}
		return nil
	})
	began := time.Now()
	response, err := http.Get(server.URL + "/status/stream")
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != 503 || response.Header.Get("Retry-After") == "" {
		t.Errorf("one too many: %s, %v", response.Status, response.Header)
	}
	eventually(t, func() error {
		if len(b.streams) > 0 {
			return fmt.Errorf("the slow reader is there after %s", time.Since(began))
		}
		return nil
	})
}

// What is monitored has its rates in the list, anew where they change, and
// nothing else has any.
func TestRates(t *testing.T) {
	var rate atomic.Int64
	f, _, server := show(t, func(b *Board) {
		b.options.Rates = func(name string) (Rates, bool) {
			return Rates{Datagrams: float64(rate.Load()), Stalled: 1}, name == "a"
		}
	})
	f.set(status("a", membership.StateJoined))
	f.set(status("b", membership.StateJoined))
	l := listen(t, server, "")
	l.until(func(m message) bool {
		for _, s := range m.Set {
			if one := string(s[1]); strings.Contains(one, `"name":"b"`) && strings.Contains(one, `"rates"`) {
				t.Errorf("rates of what is not monitored: %s", one)
			}
		}
		return m.has(`"rates":{"datagrams":0,"bytes":0,"stalled":1}`)
	})
	rate.Store(7)
	l.until(func(m message) bool { return m.has(`"rates":{"datagrams":7,"bytes":0,"stalled":1}`) })
}

// The readers' end is the manager's.
func TestManagerEnds(t *testing.T) {
	f, _, server := show(t, nil)
	l := listen(t, server, "")
	l.until(func(m message) bool { return m.Version != "" })
	close(f.events)
	for {
		if _, more := l.next(); !more {
			break
		}
	}
	if err := l.scan.Err(); err != nil {
		t.Errorf("cut off: %v", err)
	}
	if code, body, _ := get(t, server, "/status/stream", nil); code != 503 || body != "the daemon is ending\n" {
		t.Errorf("a reader after the end: %d: %s", code, body)
	}
}

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
