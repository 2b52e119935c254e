package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// Adopter keeps the memberships of other people's processes alive. Its methods are
// called concurrently.
type Adopter interface {
	// Adopt begins to. A bad request is an InvalidError, processes that cannot
	// be adopted a NotAdoptedError.
	Adopt(ctx context.Context, r AdoptionRequest) (Adoption, error)
	// Adoptions returns all, oldest first.
	Adoptions(ctx context.Context) ([]Adoption, error)
	// StopAdoption lets go, and returns how it was. The error is ErrNoAdoption
	// to errors.Is where there is none of that ID.
	StopAdoption(ctx context.Context, id string) (Adoption, error)
}

// Selection says which processes are meant: exactly one of these is given.
type Selection struct {
	PID  int    `json:"pid,omitempty"`
	Unit string `json:"unit,omitempty"` // of systemd; without a suffix a service
	Name string `json:"name,omitempty"` // of processes, or the base name of their executable
}

// AdoptionRequest is the body of POST /v1/adoptions.
type AdoptionRequest struct {
	Selection
	// Rules are the keys of a membership in the file but name, channels,
	// groups, sources, allow_any_range, netns and attach. Without interface
	// each membership is kept on the interface of the name that it is joined
	// on.
	Rules json.RawMessage `json:"rules,omitempty"`
}

// Adoption is a selection of processes whose memberships are kept alive.
type Adoption struct {
	ID string `json:"id"`
	Selection
	Since       time.Time        `json:"since"`
	Processes   []AdoptedProcess `json:"processes"`   // that are meant now, by number
	Memberships []string         `json:"memberships"` // their names, sorted
	LeftOut     []string         `json:"left_out"`    // what is not kept, and why
}

// AdoptedProcess is one process of an adoption.
type AdoptedProcess struct {
	PID   int    `json:"pid"`
	Name  string `json:"name"`
	Error string `json:"error,omitempty"` // why nothing of it is seen
}

// ErrNoAdoption is wrapped where there is no adoption of an ID.
var ErrNoAdoption = errors.New("no such adoption")

// NotAdoptedError says why processes cannot be adopted.
type NotAdoptedError struct{ Err error }

func (e *NotAdoptedError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *NotAdoptedError) Unwrap() error { return e.Err }

// longestAdoption bounds the body of POST /v1/adoptions, in bytes.
const longestAdoption = 64 << 10

var errNoAdopter = blank(http.StatusNotImplemented, "this server adopts nothing")

func (s *Server) adopt(ctx context.Context, r request) (any, error) {
	if s.options.Adopter == nil {
		return nil, errNoAdopter
	}
	var wanted AdoptionRequest
	if err := readObject(r.body, &wanted); err != nil {
		return nil, fmt.Errorf(`%w: %w, want for example {"pid": 1234}`, errBadRequest, err)
	}
	return s.options.Adopter.Adopt(ctx, wanted)
}

func (s *Server) adoptions(ctx context.Context, _ request) (any, error) {
	if s.options.Adopter == nil {
		return []Adoption{}, nil
	}
	return list(s.options.Adopter.Adoptions(ctx))
}

func (s *Server) stopAdoption(ctx context.Context, r request) (any, error) {
	if s.options.Adopter == nil {
		return nil, errNoAdopter
	}
	return s.options.Adopter.StopAdoption(ctx, r.name)
}

// Adopt has the daemon keep the memberships of processes alive. The error is a
// *Problem that says what is missing where they cannot be adopted.
func (c *Client) Adopt(ctx context.Context, r AdoptionRequest) (Adoption, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return Adoption{}, err
	}
	return call[Adoption](ctx, c, http.MethodPost, "/v1/adoptions", bytes.NewReader(body))
}

// Adoptions returns what is adopted, oldest first.
func (c *Client) Adoptions(ctx context.Context) ([]Adoption, error) {
	return get[[]Adoption](ctx, c, "/v1/adoptions")
}

// StopAdoption has the daemon let go of an adoption, and returns how it was. What
// the processes have joined stays joined. The error is ErrNoAdoption to errors.Is
// where there is none of that ID.
func (c *Client) StopAdoption(ctx context.Context, id string) (Adoption, error) {
	return call[Adoption](ctx, c, http.MethodDelete, "/v1/adoptions/"+url.PathEscape(id), nil)
}
