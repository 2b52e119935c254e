package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// fakeAdopter has one adoption, "1", and answers as it is told.
type fakeAdopter struct {
	asked []AdoptionRequest
	err   error
}

var theAdoption = Adoption{ID: "1", Selection: Selection{Unit: "tv"}, Since: time.Unix(1000, 0).UTC(),
	Processes: []AdoptedProcess{{PID: 7, Name: "tv"}}, Memberships: []string{"tv-7-3"}, LeftOut: []string{}}

func (a *fakeAdopter) Adopt(_ context.Context, r AdoptionRequest) (Adoption, error) {
	a.asked = append(a.asked, r)
	return theAdoption, a.err
}

func (a *fakeAdopter) Adoptions(context.Context) ([]Adoption, error) {
	return []Adoption{theAdoption}, a.err
}

func (a *fakeAdopter) StopAdoption(_ context.Context, id string) (Adoption, error) {
	if id != "1" {
		return Adoption{}, fmt.Errorf("adoption %q: %w", id, ErrNoAdoption)
	}
	return theAdoption, a.err
}

func TestAdoptions(t *testing.T) {
	a := &fakeAdopter{}
	h := serveAll(t, ServerOptions{Manager: &fakeManager{}, Adopter: a}, nil)
	wanted := AdoptionRequest{Selection: Selection{Unit: "tv"}, Rules: json.RawMessage(`{"interface":"eth0"}`)}
	one, err := h.client.Adopt(t.Context(), wanted)
	if err != nil || one.ID != "1" || len(a.asked) != 1 || a.asked[0].Unit != "tv" || string(a.asked[0].Rules) != `{"interface":"eth0"}` {
		t.Errorf("%+v, %v, asked %+v", one, err, a.asked)
	}
	if all, err := h.client.Adoptions(t.Context()); err != nil || len(all) != 1 || !slices.Equal(all[0].Memberships, []string{"tv-7-3"}) {
		t.Errorf("%+v, %v", all, err)
	}
	if one, err := h.client.StopAdoption(t.Context(), "1"); err != nil || one.Unit != "tv" {
		t.Errorf("%+v, %v", one, err)
	}
	if _, err := h.client.StopAdoption(t.Context(), "../2"); !errors.Is(err, ErrNoAdoption) {
		t.Errorf("of what is not there: %v", err)
	}
	for status, refusal := range map[int]error{
		http.StatusBadRequest: &InvalidError{Err: errors.New("name: wrong")},
		http.StatusConflict:   &NotAdoptedError{errors.New("process 7: want CAP_SYS_PTRACE")},
	} {
		a.err = refusal
		_, err := h.client.Adopt(t.Context(), wanted)
		if problem, ok := errors.AsType[*Problem](err); !ok || problem.Status != status || problem.Detail != refusal.Error() {
			t.Errorf("%v, want %d %v", err, status, refusal)
		}
	}
}

// What is not understood is refused before anybody is asked.
func TestAdoptionRequestsAreStrict(t *testing.T) {
	a := &fakeAdopter{}
	h := serveAll(t, ServerOptions{Manager: &fakeManager{}, Adopter: a}, nil)
	for _, body := range []string{"", "{", `{"pdi": 1}`, `{"pid": "x"}`, `{"pid": 1} {}`, "[]"} {
		status, answer := say(t, h.socket, fmt.Sprintf("POST /v1/adoptions HTTP/1.0\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
		if status != http.StatusBadRequest || !strings.Contains(answer, "want for example") {
			t.Errorf("%q: %d %s", body, status, answer)
		}
	}
	if len(a.asked) > 0 {
		t.Errorf("asked for %+v", a.asked)
	}
}

func TestNoAdopter(t *testing.T) {
	h := serveAll(t, ServerOptions{Manager: &fakeManager{}}, nil)
	if all, err := h.client.Adoptions(t.Context()); err != nil || len(all) > 0 {
		t.Errorf("%+v, %v", all, err)
	}
	for _, err := range []error{second(h.client.Adopt(t.Context(), AdoptionRequest{})), second(h.client.StopAdoption(t.Context(), "1"))} {
		if problem, ok := errors.AsType[*Problem](err); !ok || problem.Status != http.StatusNotImplemented {
			t.Errorf("%v, want that nothing is adopted", err)
		}
	}
}

func second(_ Adoption, err error) error { return err }
