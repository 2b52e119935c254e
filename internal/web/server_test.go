package web

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// standIn is what a server tells of.
type standIn struct {
	alive func(context.Context) error
	ready error
}

func good() standIn { return standIn{alive: func(context.Context) error { return nil }} }

// serve runs a server on an address of the loopback until the test ends, and
// returns where.
func serve(t *testing.T, s standIn, change func(*limits)) string {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
	l, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := NewServer(Options{
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "metrics") }),
		Alive:   s.alive,
		Ready:   func() error { return s.ready },
		Logger:  slog.New(slog.DiscardHandler),
	})
	if change != nil {
		change(&server.limits)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return l.Addr().String()
}

// ask asks for a path of a host; an empty host means that of the address.
func ask(t *testing.T, address, method, path, host string) (*http.Response, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, "http://"+address+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = host
	response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
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

func TestPaths(t *testing.T) {
	address := serve(t, good(), nil)
	for path, want := range map[string]string{"/": "<h1>ssmd</h1>", "/metrics": "metrics", "/healthz": "ok\n", "/readyz": "ok\n"} {
		response, body := ask(t, address, "GET", path, "")
		if response.StatusCode != 200 || !strings.Contains(body, want) || response.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %s, %v: %s", path, response.Status, response.Header, body)
		}
		if response, body := ask(t, address, "HEAD", path, ""); response.StatusCode != 200 || body != "" {
			t.Errorf("HEAD %s: %s: %q", path, response.Status, body)
		}
		for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"} {
			if response, _ := ask(t, address, method, path, ""); response.StatusCode != 405 || response.Header.Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: %s, %v", method, path, response.Status, response.Header)
			}
		}
	}
	for _, path := range []string{"/debug/pprof/", "/v1/status", "/metrics/", "/x"} {
		if response, _ := ask(t, address, "GET", path, ""); response.StatusCode != 404 {
			t.Errorf("%s: %s, want 404", path, response.Status)
		}
	}
}

// The status page is where it is asked for, and beside it the rest stays.
func TestPage(t *testing.T) {
	l, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := NewServer(Options{
		Metrics: http.NotFoundHandler(), Alive: good().alive, Ready: func() error { return nil }, Logger: slog.New(slog.DiscardHandler),
		Page: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Security-Policy", "of the page")
			fmt.Fprint(w, "page "+r.URL.Path)
		}),
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, l) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	for path, want := range map[string]string{"/": "page /", "/plain": "page /plain", "/page/main.js": "page /page/main.js", "/status/stream": "page /status/stream", "/healthz": "ok\n"} {
		response, body := ask(t, l.Addr().String(), "GET", path, "")
		if response.StatusCode != 200 || body != want || strings.HasPrefix(want, "page") != (response.Header.Get("Content-Security-Policy") == "of the page") {
			t.Errorf("%s: %s, %v: %s", path, response.Status, response.Header, body)
		}
		if response, _ := ask(t, l.Addr().String(), "GET", path, "evil.example"); response.StatusCode != 421 {
			t.Errorf("%s of a foreign host: %s", path, response.Status)
		}
		if response, _ := ask(t, l.Addr().String(), "POST", path, ""); response.StatusCode != 405 {
			t.Errorf("POST %s: %s", path, response.Status)
		}
	}
	if response, _ := ask(t, l.Addr().String(), "GET", "/x", ""); response.StatusCode != 404 {
		t.Errorf("/x: %s", response.Status)
	}
}

func TestNotWell(t *testing.T) {
	address := serve(t, standIn{
		alive: func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		},
		ready: errors.New("not yet"),
	}, func(l *limits) { l.alive = 10 * time.Millisecond })
	for path, want := range map[string]string{"/healthz": "no answer from the manager within 10ms\n", "/readyz": "not yet\n"} {
		if response, body := ask(t, address, "GET", path, ""); response.StatusCode != 503 || body != want {
			t.Errorf("%s: %s: %q, want 503 and %q", path, response.Status, body, want)
		}
	}
	stopped := serve(t, standIn{alive: func(context.Context) error { return errors.New("stopped") }}, nil)
	if response, body := ask(t, stopped, "GET", "/healthz", ""); response.StatusCode != 503 || body != "stopped\n" {
		t.Errorf("%s: %q", response.Status, body)
	}
}

func TestForeignHosts(t *testing.T) {
	address := serve(t, good(), nil)
	for host, want := range map[string]int{
		"localhost": 200, "LocalHost.:9781": 200, "a.localhost:1": 200, "127.0.0.1": 200, "127.9.9.9:1": 200, "[::1]": 200, "[::1]:9781": 200, "[::ffff:127.0.0.1]:1": 200,
		"evil.example": 421, "evil.example:9781": 421, "localhost.evil.example": 421, "xlocalhost": 421, "10.1.0.1": 421, "[2001:db8::1]:1": 421, "0.0.0.0": 421, ".": 421, "127.0.0.1.nip.io": 421,
	} {
		if response, body := ask(t, address, "GET", "/metrics", host); response.StatusCode != want {
			t.Errorf("%q: %s: %q, want %d", host, response.Status, body, want)
		}
	}
	// Without a name, as HTTP/1.0 has it, and with one in the request line.
	for request, want := range map[string]string{
		"GET /metrics HTTP/1.0\r\n\r\n":                                                              "421",
		"GET http://evil.example/metrics HTTP/1.1\r\nHost: localhost\r\n\r\n":                        "421",
		"GET /metrics HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n":                     "400",
		"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n":                      "200",
		"POST /metrics HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 0\r\n\r\n":                  "421",
		"GET /metrics HTTP/1.1\r\nX: " + strings.Repeat("x", 64<<10) + "\r\nHost: localhost\r\n\r\n": "431",
	} {
		connection, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(connection, request) // what is too long is not read to its end
		line, err := bufio.NewReader(connection).ReadString('\n')
		if words := strings.Fields(line); err != nil || len(words) < 2 || words[1] != want {
			t.Errorf("%.60q: %q, %v, want %s", request, line, err, want)
		}
		_ = connection.Close()
	}
}

// A configured name is ours, and on an address that others reach nobody's Host
// is looked at.
func TestHostOfListener(t *testing.T) {
	if !isOurs("scrape.example", "Scrape.Example.") || isOurs("", "") || isOurs("other.example", "scrape.example") {
		t.Error("the configured name is not what counts")
	}
	for address, want := range map[string]bool{"127.0.0.1:0": true, "127.0.0.2:0": true, "localhost:0": true, ":0": false, "0.0.0.0:0": false} {
		l, err := Listen(t.Context(), address)
		if err != nil {
			t.Fatal(err)
		}
		if got := l.isLoopback(); got != want {
			t.Errorf("%s: loopback %t, want %t", address, got, want)
		}
		_ = l.Close()
	}
}

func TestListenErrors(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	address := taken.Addr().String()
	_, err = Listen(t.Context(), address)
	want := "http.listen " + address + ": address already in use: another program listens there: stop it, or choose another port"
	if !errors.Is(err, syscall.EADDRINUSE) || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	if _, err := Listen(t.Context(), "192.0.2.1:9781"); !errors.Is(err, syscall.EADDRNOTAVAIL) || !strings.HasSuffix(err.Error(), "no interface has this address") {
		t.Errorf("an address that nobody has: %v", err)
	}
	if _, err := Listen(t.Context(), "localhost"); err == nil {
		t.Error("no port, and no error")
	}
}

// A client that says nothing is let go, and as many as can be wait for room
// without holding others up for good.
func TestSilentClients(t *testing.T) {
	address := serve(t, good(), func(l *limits) { l.read, l.connections = 50*time.Millisecond, 2 })
	for range 4 {
		silent, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
	}
	if response, _ := ask(t, address, "GET", "/readyz", ""); response.StatusCode != 200 {
		t.Errorf("%s", response.Status)
	}
}
