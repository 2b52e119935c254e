package control

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/ssmd-project/ssmd/membership"
)

// Editor changes the memberships of a daemon that runs. Its methods are called
// concurrently. A change that returns an error has changed nothing.
type Editor interface {
	// Put adds a membership, or replaces the one of that name that was
	// added so. It returns once all that can be joined now is, or ctx ends,
	// and nil then too, where the change was taken. The entry is what stands
	// in the file for one membership, in YAML or JSON. A bad one is an
	// InvalidError, a name that the file has a FixedError.
	Put(ctx context.Context, name string, entry []byte, keep Keep) error
	// Delete removes a membership that was added. The error is a FixedError
	// where it was not, and membership.ErrNotFound where there is none.
	Delete(ctx context.Context, name string) error
}

// Keep says for how long a membership is added.
type Keep string

// How long a membership that was added is kept.
const (
	KeepUntilExit Keep = "until exit" // until the daemon ends
	KeepOver      Keep = "over exit"  // over restarts of the daemon too
)

// InvalidError says what is wrong with an entry.
type InvalidError struct {
	Err   error
	Flaws []Flaw // the same, key by key, where that is known
}

func (e *InvalidError) Error() string { return e.Err.Error() }
func (e *InvalidError) Unwrap() error { return e.Err }

// FixedError says that a membership cannot be changed at run time, and why.
type FixedError struct{ Name, Why string }

func (e *FixedError) Error() string { return fmt.Sprintf("membership %q %s", e.Name, e.Why) }

// longestEntry bounds the body of a PUT, in bytes.
const longestEntry = 1 << 20

var errNoEditor = blank(http.StatusNotImplemented, "this server changes nothing")

func (s *Server) put(ctx context.Context, r request) (any, error) {
	if s.options.Editor == nil {
		return nil, errNoEditor
	}
	persist, err := r.truth("persist", false)
	if err != nil {
		return nil, err
	}
	keep := KeepUntilExit
	if persist {
		keep = KeepOver
	}
	err = s.change(ctx, func(ctx context.Context) error { return s.options.Editor.Put(ctx, r.name, r.body, keep) })
	if err != nil {
		return nil, err
	}
	return s.statusOf(ctx, r.name)
}

// change makes a change in some of the time for an answer, which leaves the rest for
// what is told of it. Where the change was taken by then it is made by itself.
func (s *Server) change(ctx context.Context, change func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.limits.answer*4/5)
	defer cancel()
	err := change(ctx)
	switch {
	case errors.Is(err, membership.ErrPutOff):
		return nil
	case errors.Is(err, context.DeadlineExceeded): // it had no turn
		return s.late()
	}
	return err
}

func (s *Server) delete(ctx context.Context, r request) (any, error) {
	if s.options.Editor == nil {
		return nil, errNoEditor
	}
	name := r.name
	last, err := s.statusOf(ctx, name)
	if err != nil {
		return nil, err
	}
	return last, s.change(ctx, func(ctx context.Context) error { return s.options.Editor.Delete(ctx, name) })
}

// Put adds a membership to the daemon, or replaces the one that was added
// under its name, and returns its status. The entry is what stands in the file
// for one membership, in YAML or JSON.
func (c *Client) Put(ctx context.Context, name string, entry []byte, keep Keep) (Status, error) {
	path := membershipPath(name)
	if keep == KeepOver {
		path += "?persist=true"
	}
	return call[Status](ctx, c, http.MethodPut, path, bytes.NewReader(entry))
}

// Delete removes a membership that was added, and returns its last status. The
// error is membership.ErrNotFound to errors.Is where there is none of that
// name.
func (c *Client) Delete(ctx context.Context, name string) (Status, error) {
	return call[Status](ctx, c, http.MethodDelete, membershipPath(name), nil)
}
