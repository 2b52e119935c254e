package control

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ssmd-project/ssmd/membership"
)

// say sends a request as it is, and returns the answer.
func say(t *testing.T, socket, request string) (status int, body string) {
	t.Helper()
	c := mustDial(t, socket)
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	go func() { _, _ = io.WriteString(c, request) }() // it may not be read to its end
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

func TestBodiesAreBounded(t *testing.T) {
	e := &fakeEditor{}
	h := serveAll(t, ServerOptions{Manager: &fakeManager{statuses: []membership.Status{joined}}, Editor: e}, func(l *limits) { l.read = 200 * time.Millisecond })
	const long = longestEntry + 1
	tests := map[string]struct {
		request string
		status  int
		want    string
	}{
		"longest":        {fmt.Sprintf("PUT /v1/memberships/feed-a HTTP/1.0\r\nContent-Length: %d\r\n\r\n%s", longestEntry, strings.Repeat("x", longestEntry)), 200, "feed-a"},
		"too long":       {fmt.Sprintf("PUT /v1/memberships/feed-a HTTP/1.0\r\nContent-Length: %d\r\n\r\n%s", long, strings.Repeat("x", long)), 413, "the request is too long, want at most 1048576 bytes"},
		"said only":      {"PUT /v1/memberships/feed-a HTTP/1.0\r\nContent-Length: 9000000000\r\n\r\n", 413, "at most 1048576 bytes"},
		"of no length":   {fmt.Sprintf("PUT /v1/memberships/feed-a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", long, strings.Repeat("x", long)), 413, "at most 1048576 bytes"},
		"slow":           {"PUT /v1/memberships/feed-a HTTP/1.0\r\nContent-Length: 9\r\n\r\n{", 408, "the request did not arrive in time"},
		"broken":         {"PUT /v1/memberships/feed-a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", 400, "the request cannot be read: "},
		"with a reading": {"GET /v1/status HTTP/1.0\r\nContent-Length: 1\r\n\r\nx", 413, "the request has a body, want none"},
		"with a drain":   {"POST /v1/interfaces/a/drain HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 413, "the request has a body, want none"},
		"long approval":  {fmt.Sprintf("POST /v1/memberships/feed-a/approve HTTP/1.0\r\nContent-Length: %d\r\n\r\n%s", longestApproval+1, strings.Repeat(" ", longestApproval+1)), 413, "at most 4096 bytes"},
		"with a leave":   {"DELETE /v1/memberships/feed-a HTTP/1.0\r\nContent-Length: 1\r\n\r\nx", 413, "want none"},
	}
	for name, test := range tests {
		status, body := say(t, h.socket, test.request)
		if status != test.status || !strings.Contains(body, test.want) {
			t.Errorf("%s: %d %s, want %d with %q in it", name, status, body, test.status, test.want)
		}
	}
	if want := fmt.Sprintf("put feed-a %d until exit", longestEntry); len(e.did) != 1 || e.did[0] != want {
		t.Errorf("did %v, want only %s", e.did, want)
	}
}

// The client gets the answer to what the server does not read to its end.
func TestClientHearsThatItIsTooLong(t *testing.T) {
	h := serveWith(t, &fakeManager{}, &fakeEditor{})
	_, err := h.client.Put(t.Context(), "x", make([]byte, 8*longestEntry), KeepUntilExit)
	if problem, ok := err.(*Problem); !ok || problem.Status != 413 {
		t.Errorf("got %v, want a problem", err)
	}
}

func TestParametersAreKnown(t *testing.T) {
	h := serveWith(t, managerWithEth0(), &fakeEditor{})
	for path, want := range map[string]string{
		"PUT /v1/memberships/feed-a?persit=true":               `\"persit\" is no parameter, want persist`,
		"PUT /v1/memberships/feed-a?persist=maybe":             `persist: \"maybe\", want true or false`,
		"PUT /v1/memberships/feed-a?persist=true&persist=true": "persist: given twice, want it once",
		"GET /v1/memberships?state=joined":                     `\"state\" is no parameter, want none`,
		"GET /v1/events?sinse=1":                               `\"sinse\" is no parameter, want since or follow`,
		"GET /v1/events?follow=2":                              `follow: \"2\", want true or false`,
		"GET /v1/events?since=yesterday":                       `since: \"yesterday\", want the number of an event, or a time as 2026-11-23T10:00:00Z`,
		"GET /v1/events?since=-1":                              "since: ",
		"GET /v1/events?since=18446744073709551616":            "since: ",
		"GET /v1/events?since=0001-01-01T00:00:00Z":            "since: ",
		"POST /v1/interfaces/eth0.1/drain?netns=%zz":           "the request cannot be read: its query: ",
		"POST /v1/interfaces/eth0.1/drain?a;b":                 "its query: ",
	} {
		method, path, _ := strings.Cut(path, " ")
		response, body := ask(t, h.socket, method, path)
		if response.StatusCode != 400 || !strings.Contains(body, want) {
			t.Errorf("%s: %s %s, want %q in it", path, response.Status, body, want)
		}
	}
}
