package control

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/membership"
	"github.com/ssmd-project/ssmd/reattach"
)

// explaining is a fake that has something in every field.
type explaining struct{ *fakeManager }

func fullManager() explaining {
	seconds, now := 0.25, time.Unix(1000, 1).UTC()
	full := joined
	full.Attachments = []membership.Attachment{{Interface: "eth0.1", Index: 2, Instance: 7, Joined: 2, Failed: 1, Since: now}}
	full.Previous = &membership.Previous{Instance: 3, Name: "eth0.1", Subnet: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/24")}}
	full.Counters = membership.Counters{Attaches: 2, Detaches: 1, Reattaches: 1, Errors: 1}
	full.LastReattachSeconds = &seconds
	address := ifwatch.Address{Prefix: netip.MustParsePrefix("10.1.0.2/24")}
	eth0 := ifwatch.Interface{ID: 7, Index: 2, Name: "eth0.1", AltNames: []string{"uplink"}, VLANID: -1, Addresses: []ifwatch.Address{address}}
	return explaining{&fakeManager{
		statuses:   []membership.Status{full, joined},
		interfaces: []membership.InterfaceStatus{{Interface: eth0, Netns: "blue"}, {Interface: eth0}},
	}}
}

func (e explaining) Explain(ctx context.Context, name string) (membership.Explanation, error) {
	status, err := e.StatusOf(ctx, name)
	channel := membership.Channel{Source: netip.MustParseAddr("10.1.0.1"), Group: netip.MustParseAddr("232.1.1.1")}
	verdict := reattach.Verdict{Replaces: 3, Checks: []reattach.Check{{Rule: "name", Wanted: "eth0", Found: "eth0.1", Result: reattach.Reject}}}
	return membership.Explanation{
		Status:     status,
		Channels:   []membership.ChannelStatus{{Channel: channel, Interface: "eth0.1", Instance: 7, Error: "no buffer space available"}, {Channel: channel, Joined: true}},
		Interfaces: []membership.InterfaceExplanation{{Interface: "eth0.1", Index: 2, Instance: 7, Attached: true, Verdict: verdict}},
	}, err
}

// failing answers everything with an error, but for what comes before a change.
type failing struct {
	*fakeManager
	with error
}

func (f failing) Reannounce(context.Context, string) error    { return f.with }
func (f failing) Drain(context.Context, string, string) error { return f.with }
func (f failing) Interfaces(context.Context) ([]membership.InterfaceStatus, error) {
	return nil, f.with
}

// answered is one request whose answer is held against the document.
type answered struct {
	operation string // method and path of the document
	path      string // and query
	body      string
	want      int
}

func (a answered) check(t *testing.T, socket string, d document, s schemas) {
	t.Helper()
	method, documented, _ := strings.Cut(a.operation, " ")
	request := method + " " + a.path + " HTTP/1.0\r\nContent-Length: " + strconv.Itoa(len(a.body)) + "\r\n\r\n" + a.body
	status, text := say(t, socket, request)
	if status != a.want {
		t.Errorf("%s %s: %d %s, want %d", method, a.path, status, text, a.want)
		return
	}
	r, ok := d.operations(t)[a.operation].Responses[strconv.Itoa(status)]
	if !ok {
		t.Errorf("%s: the document does not know %d", a.operation, status)
		return
	}
	place := []string{"paths", documented, strings.ToLower(method), "responses", strconv.Itoa(status)}
	if r.Ref != "" {
		place, r = []string{"components", "responses", r.target()}, d.Components.Responses[r.target()]
	}
	for media := range r.Content {
		compiled := s.at(t, append(place, "content", media, "schema")...)
		for line := range strings.Lines(text) {
			matches(t, compiled, line)
			if media != contentLines && line != text && media != contentJSON {
				t.Errorf("%s: more than one line", a.operation)
			}
		}
	}
}

// TestAnswersMatchTheDocument holds real answers, good and bad ones, of every
// route against the document.
func TestAnswersMatchTheDocument(t *testing.T) {
	const one, approve, reannounce = "/v1/memberships/{name}", "POST /v1/memberships/{name}/approve", "POST /v1/memberships/{name}/reannounce"
	const drain, undrain = "POST /v1/interfaces/{name}/drain", "POST /v1/interfaces/{name}/undrain"
	good := []answered{
		{"GET /v1/memberships", "/v1/memberships", "", 200},
		{"GET " + one, "/v1/memberships/feed-a", "", 200},
		{"PUT " + one, "/v1/memberships/feed-a?persist=true", "{}", 200},
		{"DELETE " + one, "/v1/memberships/feed-a", "", 200},
		{"GET " + one + "/explain", "/v1/memberships/feed-a/explain", "", 200},
		{approve, "/v1/memberships/feed-a/approve", `{"instance": 7}`, 200},
		{reannounce, "/v1/memberships/feed-a/reannounce", "", 200},
		{"GET /v1/interfaces", "/v1/interfaces", "", 200},
		{drain, "/v1/interfaces/eth0.1/drain?netns=", "", 200},
		{undrain, "/v1/interfaces/eth0.1/undrain", "", 200},
		{"GET /v1/adoptions", "/v1/adoptions", "", 200},
		{"POST /v1/adoptions", "/v1/adoptions", `{"pid": 7, "rules": {"interface": "eth0"}}`, 200},
		{"DELETE /v1/adoptions/{id}", "/v1/adoptions/1", "", 200},
		{"GET /v1/status", "/v1/status", "", 200},
		{"POST /v1/reload", "/v1/reload", "", 200},
		{"GET /v1/events", "/v1/events?since=0&follow=false", "", 200},
	}
	refused := []answered{
		{"GET /v1/memberships", "/v1/memberships?x=1", "", 400},
		{"GET " + one, "/v1/memberships/x", "", 404},
		{"GET " + one, "/v1/memberships/x", "x", 413},
		{"DELETE " + one, "/v1/memberships/x", "", 404},
		{"GET " + one + "/explain", "/v1/memberships/x/explain", "", 404},
		{approve, "/v1/memberships/feed-a/approve", `{"instance": 8}`, 409},
		{approve, "/v1/memberships/feed-a/approve", `{"instance": -8}`, 400},
		{drain, "/v1/interfaces/x/drain", "", 404},
		{"POST /v1/adoptions", "/v1/adoptions", `{"pit": 7}`, 400},
		{"DELETE /v1/adoptions/{id}", "/v1/adoptions/2", "", 404},
		{"GET /v1/events", "/v1/events?since=999", "", 404},
		{"GET /v1/openapi.json", "/v1/openapi.json?x", "", 400},
		{"POST /v1/takeover", "/v1/takeover", "", 426},
	}
	d, s := readDocument(t), newSchemas(t)
	reloader := &fakeReloader{reloaded: Reloaded{File: "a.yaml", Added: []string{"x"}}}
	noSuccessor := func(context.Context, *net.UnixConn) bool {
		t.Error("a successor that nobody is")
		return false
	}
	h := serveAll(t, ServerOptions{Manager: fullManager(), Monitor: fullMonitor(), Editor: &fakeEditor{}, Reloader: reloader, Adopter: &fakeAdopter{}, Yield: noSuccessor}, nil)
	seen := map[string]bool{"GET /v1/openapi.json": true, "POST /v1/takeover": true} // below, and TestTakeOver
	for _, a := range append(good, refused...) {
		a.check(t, h.socket, d, s)
		seen[a.operation] = seen[a.operation] || a.want == 200
	}
	for operation := range d.operations(t) {
		if !seen[operation] {
			t.Errorf("%s: no good answer was seen", operation)
		}
	}
	if status, text := say(t, h.socket, "GET /v1/openapi.json HTTP/1.0\r\n\r\n"); status != 200 || text != string(description) {
		t.Errorf("the document is not the one that is served: %d", status)
	}
}

// TestProblemsMatchTheDocument does so for what the fakes can say of a change.
func TestProblemsMatchTheDocument(t *testing.T) {
	const put, remove = "PUT /v1/memberships/{name}", "DELETE /v1/memberships/{name}"
	d, s := readDocument(t), newSchemas(t)
	flaws := []Flaw{{Path: "reattach.same[0]", Message: "wrong", Line: 1, Column: 2}, {Message: "as a whole"}}
	for _, test := range []struct {
		editor  error
		manager error
		ask     answered
	}{
		{&InvalidError{Err: errors.New("wrong"), Flaws: flaws}, nil, answered{put, "/v1/memberships/feed-a", "{}", 400}},
		{&FixedError{"feed-a", "is in the file"}, nil, answered{put, "/v1/memberships/feed-a", "{}", 409}},
		{&FixedError{"feed-a", "is in the file"}, nil, answered{remove, "/v1/memberships/feed-a", "", 409}},
		{errors.New("disk full"), nil, answered{put, "/v1/memberships/feed-a", "{}", 500}},
		{membership.ErrStopped, nil, answered{put, "/v1/memberships/feed-a", "{}", 503}},
		{nil, membership.ErrPutOff, answered{"POST /v1/memberships/{name}/reannounce", "/v1/memberships/feed-a/reannounce", "", 409}},
		{nil, errors.New("netlink broke"), answered{"GET /v1/interfaces", "/v1/interfaces", "", 500}},
		{nil, membership.ErrStopped, answered{"POST /v1/interfaces/{name}/drain", "/v1/interfaces/x/drain", "", 503}},
	} {
		h := serveWith(t, failing{managerWithEth0(), test.manager}, &fakeEditor{err: test.editor})
		test.ask.check(t, h.socket, d, s)
	}
	h := serve(t, managerWithEth0(), nil)
	answered{put, "/v1/memberships/feed-a", "{}", 501}.check(t, h.socket, d, s)
	answered{"POST /v1/reload", "/v1/reload", "", 501}.check(t, h.socket, d, s)
	answered{"POST /v1/adoptions", "/v1/adoptions", "{}", 501}.check(t, h.socket, d, s)
	answered{"DELETE /v1/adoptions/{id}", "/v1/adoptions/1", "", 501}.check(t, h.socket, d, s)
	answered{"POST /v1/takeover", "/v1/takeover", "", 501}.check(t, h.socket, d, s)
	wrong := &fakeReloader{err: &ConfigError{Errors: []Flaw{{File: "a.yaml", Line: 1, Column: 2, Path: "log.level", Message: "wrong"}}}}
	for _, r := range []*fakeReloader{wrong, {err: &NoReloadError{Why: "there is no file"}}} {
		h = serveAll(t, ServerOptions{Manager: managerWithEth0(), Reloader: r}, nil)
		answered{"POST /v1/reload", "/v1/reload", "", 409}.check(t, h.socket, d, s)
	}
	h = serveAll(t, ServerOptions{Manager: managerWithEth0(), Adopter: &fakeAdopter{err: &NotAdoptedError{errors.New("want CAP_SYS_PTRACE")}}}, nil)
	answered{"POST /v1/adoptions", "/v1/adoptions", "{}", 409}.check(t, h.socket, d, s)
	h = serveAll(t, ServerOptions{Manager: managerWithEth0()}, func(l *limits) { l.streams.all = 0 })
	answered{"GET /v1/events", "/v1/events", "", 503}.check(t, h.socket, d, s)
}

// TestEventsMatchTheDocument holds that every kind of event does.
func TestEventsMatchTheDocument(t *testing.T) {
	compiled := newSchemas(t).at(t, "components", "schemas", "Event")
	missed := membership.Event{Time: time.Unix(1, 1), Type: membership.EventMissed, Missed: 3, Reason: "the reader was too slow"}
	full := event(1)
	full.Seq, full.Interface, full.Instance, full.Netns, full.Cause = 1, "eth0", 7, "blue", membership.CauseRemoval
	for _, e := range []membership.Event{missed, full, event(2)} {
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		matches(t, compiled, string(text))
	}
}
