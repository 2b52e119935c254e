package control

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/membership"
)

func managerWithEth0() *fakeManager {
	eth0 := membership.InterfaceStatus{Interface: ifwatch.Interface{ID: 7, Index: 2, Name: "eth0.1"}}
	return &fakeManager{statuses: []membership.Status{joined}, interfaces: []membership.InterfaceStatus{eth0}}
}

func TestApproveAndDrain(t *testing.T) {
	h := serve(t, managerWithEth0(), nil)
	for _, id := range []ifwatch.ID{0, 7} {
		if status, err := h.client.Approve(t.Context(), "feed-a", id); err != nil || status.Name != "feed-a" {
			t.Errorf("approve %d: %+v, %v", id, status, err)
		}
	}
	if _, err := h.client.Approve(t.Context(), "feed-a", 8); !errors.Is(err, membership.ErrNotApproved) ||
		err.Error() != `membership "feed-a": not approved: instance 8 does not await it` {
		t.Errorf("approve what does not await it: %v", err)
	}
	if _, err := h.client.Approve(t.Context(), "x", 0); !errors.Is(err, membership.ErrNotFound) {
		t.Errorf("approve in what is not there: %v", err)
	}
	if got, err := h.client.Drain(t.Context(), "", "eth0.1"); err != nil || got != (Drained{Interface: "eth0.1", Drained: true}) {
		t.Errorf("drain: %+v, %v", got, err)
	}
	if got, err := h.client.Undrain(t.Context(), "", "eth0.1"); err != nil || got != (Drained{Interface: "eth0.1"}) {
		t.Errorf("undrain: %+v, %v", got, err)
	}
	_, drainErr := h.client.Drain(t.Context(), "", "eth9")
	_, undrainErr := h.client.Undrain(t.Context(), "", "eth9")
	for _, err := range []error{drainErr, undrainErr} {
		if !errors.Is(err, membership.ErrNoInterface) || err.Error() != `interface "eth9": no such interface` {
			t.Errorf("of what is not there: %v", err)
		}
	}
}

func TestReannounce(t *testing.T) {
	m := managerWithEth0()
	h := serve(t, m, nil)
	if status, err := h.client.Reannounce(t.Context(), "feed-a"); err != nil || status.Name != "feed-a" {
		t.Errorf("%+v, %v", status, err)
	}
	if _, err := h.client.Reannounce(t.Context(), "x"); !errors.Is(err, membership.ErrNotFound) {
		t.Errorf("of what is not there: %v", err)
	}
	m.slow = 1
	if _, err := h.client.Reannounce(t.Context(), "feed-a"); !errors.Is(err, membership.ErrPutOff) {
		t.Errorf("while it has to wait: %v", err)
	}
}

// Whoever waits for a drain is not taken for gone when the time for a request
// to arrive is over.
func TestDrainMayTakeLongerThanARequest(t *testing.T) {
	m := managerWithEth0()
	m.slow = 300 * time.Millisecond
	h := serve(t, m, func(l *limits) { l.read = 50 * time.Millisecond })
	if _, err := h.client.Drain(t.Context(), "", "eth0.1"); err != nil {
		t.Error(err)
	}
}

// post sends a body as it is, and returns the answer's status and text.
func post(t *testing.T, socket, path, body string) (int, string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	response, err := client.Post("http://x"+path, contentJSON, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text := make([]byte, 1<<12)
	n, _ := response.Body.Read(text)
	return response.StatusCode, string(text[:n])
}

func TestApprovalBodies(t *testing.T) {
	h := serve(t, managerWithEth0(), nil)
	for body, want := range map[string]int{
		"": 200, `{}`: 200, `{"instance":7}`: 200, `{"instance":8}`: 409,
		`{"instance":"7"}`: 400, `{"instances":7}`: 400, `7`: 400, `{`: 400, `{}{}`: 400, `{"instance":7}]`: 400, strings.Repeat(" ", longestApproval) + "{}": 413,
	} {
		status, text := post(t, h.socket, "/v1/memberships/feed-a/approve", body)
		if status != want || want != 200 && !strings.Contains(text, `"detail":"`) || want == 400 && !strings.Contains(text, "the request cannot be read") {
			t.Errorf("%.40s: %d %s, want %d", body, status, text, want)
		}
	}
	if status, _ := post(t, h.socket, "/v1/interfaces/eth9/drain", ""); status != 404 {
		t.Errorf("drain of nothing: %d", status)
	}
	response, _ := ask(t, h.socket, "GET", "/v1/interfaces/eth0.1/drain")
	if response.StatusCode != 405 || response.Header.Get("Allow") != "POST" {
		t.Errorf("GET of a command: %s, %s", response.Status, response.Header.Get("Allow"))
	}
}
