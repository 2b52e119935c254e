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
)

// errBadRequest is wrapped by the errors of requests that cannot be read.
var errBadRequest = errors.New("the request cannot be read")

// longestApproval bounds the body of an approval, in bytes.
const longestApproval = 4 << 10

func (s *Server) approve(ctx context.Context, r request) (any, error) {
	approval, err := readApproval(r.body)
	if err != nil {
		return nil, err
	}
	err = s.change(ctx, func(ctx context.Context) error { return s.options.Manager.Approve(ctx, r.name, approval.Instance) })
	if err != nil {
		return nil, err
	}
	return s.statusOf(ctx, r.name)
}

func (s *Server) reannounce(ctx context.Context, r request) (any, error) {
	if err := s.options.Manager.Reannounce(ctx, r.name); err != nil {
		return nil, err
	}
	return s.statusOf(ctx, r.name)
}

func (s *Server) drain(ctx context.Context, r request) (any, error) {
	netns := r.query.Get("netns")
	return Drained{Interface: r.name, Netns: netns, Drained: true}, s.options.Manager.Drain(ctx, netns, r.name)
}

func (s *Server) undrain(ctx context.Context, r request) (any, error) {
	netns := r.query.Get("netns")
	err := s.change(ctx, func(ctx context.Context) error { return s.options.Manager.Undrain(ctx, netns, r.name) })
	return Drained{Interface: r.name, Netns: netns}, err
}

// readObject reads one object with known keys, and nothing behind it.
func readObject(body []byte, to any) error {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(to); err != nil {
		return err
	}
	if _, more := decoder.Token(); !errors.Is(more, io.EOF) {
		return errors.New("there is more than one value")
	}
	return nil
}

// readApproval reads an approval, or nothing.
func readApproval(body []byte) (Approval, error) {
	var a Approval
	if len(body) == 0 {
		return a, nil
	}
	if err := readObject(body, &a); err != nil {
		return Approval{}, fmt.Errorf(`%w: %w, want {"instance": 7} or nothing`, errBadRequest, err)
	}
	return a, nil
}

// Approve lets an instance take the place of a lost one in a membership of the
// policy approve, and returns how the membership stands then. Zero stands for
// the only instance that awaits it. The error is membership.ErrNotFound to
// errors.Is where there is no membership of that name, and
// membership.ErrNotApproved where nothing, or something else, awaits it.
func (c *Client) Approve(ctx context.Context, name string, id ifwatch.ID) (Status, error) {
	body, err := json.Marshal(Approval{Instance: id})
	if err != nil {
		return Status{}, err
	}
	return call[Status](ctx, c, http.MethodPost, membershipPath(name)+"/approve", bytes.NewReader(body))
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
func (c *Client) Reannounce(ctx context.Context, name string) (Status, error) {
	return call[Status](ctx, c, http.MethodPost, membershipPath(name)+"/reannounce", nil)
}
