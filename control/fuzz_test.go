package control

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/ssmd-project/ssmd/config"
	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/membership"
)

// readingEditor reads entries as the daemon does, and keeps what it was given.
type readingEditor struct {
	t     *testing.T
	entry []byte
	m     membership.Membership
	err   error
}

func (e *readingEditor) Put(_ context.Context, name string, entry []byte, _ Keep) error {
	e.entry = entry
	one, err := config.ParseEntry("f", name, entry)
	e.m, e.err = one.Membership, err
	if e.err != nil {
		return &InvalidError{Err: e.err, Flaws: []Flaw{{Message: "wrong"}}}
	}
	return nil
}

func (e *readingEditor) Delete(context.Context, string) error {
	e.t.Error("a PUT removed something")
	return nil
}

// serveFuzz answers one request without a socket, as root's.
func serveFuzz(t *testing.T, o ServerOptions, method, target, body string) *httptest.ResponseRecorder {
	t.Helper()
	path, query, _ := strings.Cut(target, "?")
	request, err := http.NewRequest(method, "http://ssmd"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.URL.RawQuery = query // also what no client could send
	recorder := httptest.NewRecorder()
	NewServer(o).handler().ServeHTTP(recorder, request.WithContext(withPeer(t.Context(), peer{uid: 0})))
	return recorder
}

// problemIn returns the problem in an answer, nil where it is good. Everything
// else is an error.
func problemIn(t *testing.T, r *httptest.ResponseRecorder) *Problem {
	t.Helper()
	if r.Code == http.StatusOK {
		return nil
	}
	var p Problem
	if err := json.Unmarshal(r.Body.Bytes(), &p); err != nil || p.Status != r.Code || p.Title == "" || p.Type == "" || r.Header().Get("Content-Type") != contentProblem {
		t.Fatalf("%d %s: %v, want a problem", r.Code, r.Body, err)
	}
	if p.Status >= http.StatusInternalServerError {
		t.Errorf("whoever asks can cause %+v", p)
	}
	return &p
}

// FuzzPutBody has any entry reach the reading of files through the handler: it
// is a valid membership, or a problem, and arrives as it was sent.
func FuzzPutBody(f *testing.F) {
	for _, entry := range []string{
		"", "{}", `{"channels": "10.1.0.1@232.1.1.1", "interface": "eth0"}`, "channels: 10.1.0.1@232.1.1.1\ninterface: eth0",
		"name: feed-a\ngroups: 232.1.1.0/30\nsources: [10.1.0.1]\ninterface: {kind: veth}\nreattach: {policy: same, same: mac, limit: {count: 5, per: 1m}}",
		`{"name": "feed-a", "channels": ["2001:db8::1@ff3e::8000:1"], "allow_any_range": true, "interface": {"name": ["eth*", "!eth9"], "vlan_id": 10}, "attach": "all", "ambiguous": "newest", "netns": "blue", "require": [], "on_change": "leave"}`,
		"channels: 10.1.0.1@232.1.1.1\ninterface: eth0\nreattach: {settle: 1ms, within: 10m, when: 'candidate.mtu >= previous.mtu'}\nreannounce: {carrier: false, every: 5m}",
		"a: &a [*a]", "- x", "\xff", `{"channels": ["10.1.0.1@239.1.1.1"], "interface": "eth0", "reannounce": {"every": "1ms"}}`,
	} {
		f.Add(entry)
	}
	f.Fuzz(func(t *testing.T, entry string) {
		e := &readingEditor{t: t}
		o := ServerOptions{Manager: &fakeManager{statuses: []membership.Status{joined}}, Editor: e}
		p := problemIn(t, serveFuzz(t, o, "PUT", "/v1/memberships/feed-a", entry))
		if len(entry) > longestEntry {
			if p == nil || p.Status != http.StatusRequestEntityTooLarge {
				t.Errorf("%d bytes: %+v", len(entry), p)
			}
			return
		}
		if string(e.entry) != entry {
			t.Errorf("sent %q, arrived %q", entry, e.entry)
		}
		if (p == nil) != (e.err == nil) {
			t.Errorf("%q: %v and %+v", entry, e.err, p)
		}
		if e.err == nil {
			if err := e.m.Validate(); err != nil {
				t.Errorf("%q was taken, but is not valid: %v", entry, err)
			}
		}
	})
}

// approving notes what was approved.
type approving struct {
	*fakeManager
	ids []ifwatch.ID
}

func (a *approving) Approve(_ context.Context, _ string, id ifwatch.ID) error {
	a.ids = append(a.ids, id)
	return nil
}

// FuzzApproval has any body be read: as exactly one approval, or as a problem.
func FuzzApproval(f *testing.F) {
	for _, body := range []string{"", "{}", `{"instance":7}`, `{"instance":-1}`, `{"instance":7}{}`, `{"instance":18446744073709551616}`, "7", "null", "\x00"} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		m := &approving{fakeManager: &fakeManager{statuses: []membership.Status{joined}}}
		p := problemIn(t, serveFuzz(t, ServerOptions{Manager: m}, "POST", "/v1/memberships/feed-a/approve", body))
		if (p == nil) != (len(m.ids) == 1) || len(m.ids) > 1 {
			t.Errorf("%q approved %d, answered %+v", body, m.ids, p)
		}
		if p == nil && body != "" && !json.Valid([]byte(body)) {
			t.Errorf("%q was taken", body)
		}
	})
}

// FuzzEventsQuery has any query be read: a good one means the same when it is
// written again.
func FuzzEventsQuery(f *testing.F) {
	for _, query := range []string{"", "since=0", "since=7&follow=false", "since=2026-11-23T10:00:00.5%2B02:00", "follow=maybe", "since=-1", "since=1&since=2", "%zz", "a;b"} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		target := url.URL{Path: "/v1/events", RawQuery: query}
		var asked *membership.Since
		subscribed := errors.New("no need to go on")
		o := ServerOptions{Manager: &fakeManager{}, Subscribe: func(since *membership.Since) (Subscription, error) {
			asked = since
			return nil, blank(http.StatusTeapot, subscribed.Error())
		}}
		p := problemIn(t, serveFuzz(t, o, "GET", target.String(), ""))
		switch {
		case p == nil:
			t.Errorf("%q: good", query)
		case p.Status != http.StatusTeapot && p.Status != http.StatusBadRequest:
			t.Errorf("%q: %+v", query, p)
		case asked != nil:
			again, err := readSince(sinceText(*asked))
			if err != nil || again.Seq != asked.Seq || !again.Time.Equal(asked.Time) {
				t.Errorf("%q: %+v, and again %+v, %v", query, asked, again, err)
			}
		}
	})
}
