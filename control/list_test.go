package control

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ssmd-project/ssmd/membership"
)

// TestStreamIsTheList holds that a list that is written in pieces is the list.
func TestStreamIsTheList(t *testing.T) {
	for _, n := range []int{0, 1, 2, 1000} {
		statuses := manyStatuses(n)
		var want, got bytes.Buffer
		if err := encode(&want, statuses); err != nil {
			t.Fatal(err)
		}
		writes := &countedWrites{Writer: &got}
		if err := encode(writes, stream[membership.Status](statuses)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), want.Bytes()) {
			t.Errorf("%d: got %.200s, want %.200s", n, got.String(), want.String())
		}
		if most := 2 + want.Len()/pieceSize; writes.count > most {
			t.Errorf("%d: %d writes, want at most %d", n, writes.count, most)
		}
	}
}

type countedWrites struct {
	io.Writer
	count int
}

func (w *countedWrites) Write(p []byte) (int, error) {
	w.count++
	return w.Writer.Write(p)
}

func manyStatuses(n int) []membership.Status {
	statuses := make([]membership.Status, n)
	since := time.Date(2026, 11, 23, 10, 0, 0, 123456789, time.UTC)
	for i := range statuses {
		statuses[i] = membership.Status{
			Name: fmt.Sprintf("m%d", i), State: membership.StateJoined, Reason: "eth0 (instance 7) matches name=eth0 & <more>",
			Channels: 1, Joined: 1, Since: since, Counters: membership.Counters{Attaches: 1},
			Attachments: []membership.Attachment{{Interface: "eth0", Index: 12, Instance: 7, Joined: 1, Since: since}},
		}
	}
	return statuses
}

// TestDecodeEach holds that a list comes out as it went in, and that nothing else
// does.
func TestDecodeEach(t *testing.T) {
	for _, n := range []int{0, 1, 1000} {
		want := manyStatuses(n)
		var text bytes.Buffer
		if err := encode(&text, stream[membership.Status](want)); err != nil {
			t.Fatal(err)
		}
		got := []membership.Status{}
		if err := decodeEach(&text, &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%d: %v, got %d", n, err, len(got))
		}
	}
	for _, text := range []string{"", "{}", "null", "[", `[{"name":1}]`, "[{}", "[{} {}]"} {
		var got []membership.Status
		if err := decodeEach(strings.NewReader(text), &got); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

// BenchmarkMemberships is the answer for 10,000 memberships.
func BenchmarkMemberships(b *testing.B) {
	statuses := manyStatuses(10_000)
	b.ReportAllocs()
	for b.Loop() {
		if err := encode(io.Discard, stream[membership.Status](statuses)); err != nil {
			b.Fatal(err)
		}
	}
}

// TestRawAnswers holds that an answer is handed on as it is, whatever it says
// beyond what this version knows, and that one that is cut short is an error.
func TestRawAnswers(t *testing.T) {
	const one = `{"name":"a","news":[1,2.50]}`
	socket := socketPath(t)
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/memberships/a", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentJSON)
		fmt.Fprint(w, one)
	})
	mux.HandleFunc("/v1/memberships/b", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") })
	mux.HandleFunc("/v1/memberships", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentJSON)
		w.Header().Set("Content-Length", "100")
		fmt.Fprint(w, "["+one)
	})
	daemon := &http.Server{Handler: mux}
	go func() { _ = daemon.Serve(l) }()
	defer daemon.Close()
	c := NewClient(socket)
	if got, err := c.MembershipJSON(t.Context(), "a"); err != nil || string(got) != one {
		t.Errorf("got %s, %v, want %s", got, err, one)
	}
	if _, err := c.MembershipJSON(t.Context(), "b"); err == nil || !strings.Contains(err.Error(), "which is no answer of ssmd") {
		t.Errorf("got %v", err)
	}
	if _, err := c.Memberships(t.Context()); err == nil || !strings.Contains(err.Error(), "read the answer of "+socket) {
		t.Errorf("half a list: got %v", err)
	}
	answer, err := c.MembershipsJSON(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Close()
	got, err := io.ReadAll(answer)
	if err == nil || !strings.Contains(err.Error(), "read the answer of "+socket) || string(got) != "["+one {
		t.Errorf("got %s, %v, want an error", got, err)
	}
}
