package control

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/ssmd-project/ssmd/membership"
)

// fakeEditor notes what it is asked for and answers as it is told.
type fakeEditor struct {
	did []string
	err error
}

func (e *fakeEditor) Put(_ context.Context, name string, entry []byte, keep Keep) error {
	e.did = append(e.did, fmt.Sprintf("put %s %d %s", name, len(entry), keep))
	return e.err
}

func (e *fakeEditor) Delete(_ context.Context, name string) error {
	e.did = append(e.did, "delete "+name)
	return e.err
}

func TestChanges(t *testing.T) {
	e := &fakeEditor{}
	h := serveWith(t, &fakeManager{statuses: []membership.Status{joined, {Name: ".."}}}, e)
	if s, err := h.client.Put(t.Context(), "feed-a", []byte("abc"), KeepOver); err != nil || s.Name != "feed-a" {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err := h.client.Put(t.Context(), "..", nil, KeepUntilExit); err != nil || s.Name != ".." {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err := h.client.Delete(t.Context(), "feed-a"); err != nil || s.State != membership.StateJoined {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := h.client.Delete(t.Context(), "x"); !errors.Is(err, membership.ErrNotFound) {
		t.Errorf("of what is not there: %v", err)
	}
	want := "put feed-a 3 over exit, put .. 0 until exit, delete feed-a"
	if got := strings.Join(e.did, ", "); got != want {
		t.Errorf("did %s, want %s", got, want)
	}
	for status, err := range map[int]error{
		400: &InvalidError{Err: errors.New("a.yaml:1:2: wrong")},
		409: &FixedError{"feed-a", "is in the file"},
	} {
		e.err = err
		_, got := h.client.Put(t.Context(), "feed-a", nil, KeepOver)
		var problem *Problem
		if !errors.As(got, &problem) || problem.Status != status || problem.Detail != err.Error() {
			t.Errorf("%v, want %d %v", got, status, err)
		}
	}
	e.err = context.DeadlineExceeded // it had no turn in time
	var busy *Problem
	if _, err := h.client.Put(t.Context(), "feed-a", nil, KeepOver); !errors.As(err, &busy) || busy.Type != TypeBusy {
		t.Errorf("%v, want that it is busy", err)
	}
	e.did = nil
	if _, err := h.client.Put(t.Context(), "feed-a", make([]byte, longestEntry+1), KeepOver); err == nil || e.did != nil {
		t.Errorf("too much was taken: %v", err)
	}
	if response, _ := ask(t, h.socket, "PUT", "/v1/memberships/feed-a?persist=maybe"); response.StatusCode != 400 || e.did != nil {
		t.Errorf("persist=maybe: %s", response.Status)
	}
}
