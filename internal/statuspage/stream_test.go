package statuspage

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/membership"
)

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

// One look that fails, as where a namespace ends meanwhile, ends nothing.
func TestLookFails(t *testing.T) {
	f, _, server := show(t, nil)
	f.mu.Lock()
	f.failing = membership.ErrStopped
	f.mu.Unlock()
	l := listen(t, server, "")
	eventually(t, func() error {
		if f.asked.Load() < 3 {
			return fmt.Errorf("asked %d times", f.asked.Load())
		}
		return nil
	})
	f.mu.Lock()
	f.failing = nil
	f.mu.Unlock()
	f.set(status("a", membership.StateJoined))
	l.until(func(m message) bool { return m.has(`"name":"a"`) })
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
