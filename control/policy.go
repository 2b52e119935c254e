package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/membership"
)

// errBadRequest is wrapped by the errors of requests that cannot be read.
var errBadRequest = errors.New("the request cannot be read")

// longestApproval bounds the body of an approval, in bytes.
const longestApproval = 4 << 10

// handlePolicy adds what decides about a membership besides its file.
func (s *Server) handlePolicy(mux *http.ServeMux) {
	m := s.options.Manager
	mux.Handle("POST /v1/memberships/{name}/approve", s.answer(func(ctx context.Context, r *http.Request) (any, error) {
		approval, err := readApproval(r.Body)
		if err != nil {
			return nil, err
		}
		name := r.PathValue("name")
		if err := m.Approve(ctx, name, approval.Instance); err != nil {
			return nil, err
		}
		return m.StatusOf(ctx, name)
	}))
	mux.Handle("POST /v1/memberships/{name}/reannounce", s.answer(func(ctx context.Context, r *http.Request) (any, error) {
		name := r.PathValue("name")
		if err := m.Reannounce(ctx, name); err != nil {
			return nil, err
		}
		return m.StatusOf(ctx, name)
	}))
	mux.Handle("POST /v1/interfaces/{interface}/drain", s.answer(func(ctx context.Context, r *http.Request) (any, error) {
		name := r.PathValue("interface")
		netns := r.URL.Query().Get("netns")
		return Drained{Interface: name, Netns: netns, Drained: true}, m.Drain(ctx, netns, name)
	}))
	mux.Handle("POST /v1/interfaces/{interface}/undrain", s.answer(func(ctx context.Context, r *http.Request) (any, error) {
		name := r.PathValue("interface")
		netns := r.URL.Query().Get("netns")
		return Drained{Interface: name, Netns: netns}, m.Undrain(ctx, netns, name)
	}))
}

func readApproval(body io.Reader) (Approval, error) {
	var a Approval
	text, err := io.ReadAll(io.LimitReader(body, longestApproval+1))
	switch {
	case err != nil:
		return a, fmt.Errorf("%w: %w", errBadRequest, err)
	case len(text) == 0:
		return a, nil
	}
	if len(text) > longestApproval {
		return a, fmt.Errorf(`%w: it is long, want {"instance": 7} or nothing`, errBadRequest)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&a); err != nil {
		return a, fmt.Errorf(`%w: %w, want {"instance": 7} or nothing`, errBadRequest, err)
	}
	return a, nil
}

// Approve lets an instance take the place of a lost one in a membership of the
// policy approve, and returns how the membership stands then. Zero stands for
// the only instance that awaits it. The error is membership.ErrNotFound to
// errors.Is where there is no membership of that name, and
// membership.ErrNotApproved where nothing, or something else, awaits it.
func (c *Client) Approve(ctx context.Context, name string, id ifwatch.ID) (membership.Status, error) {
	body, err := json.Marshal(Approval{Instance: id})
	if err != nil {
		return membership.Status{}, err
	}
	return call[membership.Status](ctx, c, http.MethodPost, membershipPath(name)+"/approve", bytes.NewReader(body))
}

// Drain has every membership leave an interface, and returns when the reports
// of that are out. The error is membership.ErrNoInterface to errors.Is where
// there is none of that name.
func (c *Client) Drain(ctx context.Context, netns, interfaceName string) (Drained, error) {
	return call[Drained](ctx, c, http.MethodPost, interfacePath(interfaceName)+"/drain"+inNamespace(netns), nil)
}

// Undrain ends what Drain began. For the error see Drain.
func (c *Client) Undrain(ctx context.Context, netns, interfaceName string) (Drained, error) {
	return call[Drained](ctx, c, http.MethodPost, interfacePath(interfaceName)+"/undrain"+inNamespace(netns), nil)
}

func inNamespace(netns string) string {
	if netns == "" {
		return ""
	}
	return "?netns=" + url.QueryEscape(netns)
}

func interfacePath(name string) string {
	return "/v1/interfaces/" + strings.ReplaceAll(url.PathEscape(name), ".", "%2E")
}

// Reannounce tells the network of a membership anew, and returns how it stands.
// The error is membership.ErrNotFound to errors.Is where there is none of that
// name, and membership.ErrPutOff where it follows once an interface has its
// carrier.
func (c *Client) Reannounce(ctx context.Context, name string) (membership.Status, error) {
	return call[membership.Status](ctx, c, http.MethodPost, membershipPath(name)+"/reannounce", nil)
}
