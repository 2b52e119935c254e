package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/ssmd-project/ssmd/membership"
)

// Client talks to a daemon. Its methods are safe for concurrent use, and each
// is a connection of its own, so that there is nothing to close. Their errors
// are *DialError where the daemon could not be reached, *Problem where it
// refused, and ErrNoAnswer to errors.Is where it does not answer within 10
// seconds.
type Client struct {
	socket   string
	patience time.Duration // for an answer to begin
	http     *http.Client
}

const (
	// defaultPatience is more than the server takes for any answer.
	defaultPatience = 10 * time.Second
	// longestAnswer is the time for a whole answer, but for events: more
	// than the server takes to write one.
	longestAnswer = time.Minute
)

// NewClient returns a client of the daemon whose control socket is at a path.
// It does not connect.
func NewClient(socket string) *Client { return newClient(socket, defaultPatience) }

func newClient(socket string, patience time.Duration) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		connection, err := dialSocket(ctx, socket)
		if err != nil {
			return nil, &DialError{Socket: socket, Err: err}
		}
		return connection, nil
	}
	transport := &http.Transport{DialContext: dial, DisableKeepAlives: true, DisableCompression: true, ResponseHeaderTimeout: patience}
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{socket: socket, patience: patience, http: &http.Client{Transport: transport, CheckRedirect: stay}}
}

// Memberships returns the status of every membership, sorted by name.
func (c *Client) Memberships(ctx context.Context) ([]Status, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, longestAnswer, c.noAnswer(longestAnswer))
	defer cancel()
	response, err := c.request(ctx, http.MethodGet, "/v1/memberships", nil)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	all := []Status{}
	if err := decodeEach(response.Body, &all); err != nil {
		return nil, c.unread(ctx, err)
	}
	return all, nil
}

// Membership returns the status of one membership. The error is
// membership.ErrNotFound to errors.Is where there is none of that name.
func (c *Client) Membership(ctx context.Context, name string) (Status, error) {
	return get[Status](ctx, c, membershipPath(name))
}

// MembershipsJSON returns the answer that Memberships decodes, as the daemon
// sends it. It is to be closed. Reading it fails where the answer is cut short.
func (c *Client) MembershipsJSON(ctx context.Context) (io.ReadCloser, error) {
	return c.open(ctx, "/v1/memberships")
}

// MembershipJSON returns the answer that Membership decodes, as the daemon sends
// it. The error is as there.
func (c *Client) MembershipJSON(ctx context.Context, name string) ([]byte, error) {
	answer, err := c.open(ctx, membershipPath(name))
	if err != nil {
		return nil, err
	}
	defer answer.Close()
	return io.ReadAll(answer)
}

// Explain returns every interface held against every rule of a membership.
// The error is membership.ErrNotFound to errors.Is where there is none of that
// name.
func (c *Client) Explain(ctx context.Context, name string) (Explanation, error) {
	return get[Explanation](ctx, c, membershipPath(name)+"/explain")
}

// Interfaces returns the interface instances as the daemon sees them.
func (c *Client) Interfaces(ctx context.Context) ([]membership.InterfaceStatus, error) {
	return get[[]membership.InterfaceStatus](ctx, c, "/v1/interfaces")
}

// Daemon returns what the daemon says of itself.
func (c *Client) Daemon(ctx context.Context) (Daemon, error) {
	return get[Daemon](ctx, c, "/v1/status")
}

// membershipPath escapes dots too: "." and ".." are names of memberships, and
// would be steps in a path.
func membershipPath(name string) string {
	return "/v1/memberships/" + strings.ReplaceAll(url.PathEscape(name), ".", "%2E")
}

func get[T any](ctx context.Context, c *Client, path string) (T, error) {
	return call[T](ctx, c, http.MethodGet, path, nil)
}

// call sends a request and reads the object in the answer.
func call[T any](ctx context.Context, c *Client, method, path string, body io.Reader) (T, error) {
	var object T
	ctx, cancel := context.WithTimeoutCause(ctx, longestAnswer, c.noAnswer(longestAnswer))
	defer cancel()
	response, err := c.request(ctx, method, path, body)
	if err != nil {
		return object, err
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&object); err != nil {
		return object, c.unread(ctx, err)
	}
	return object, nil
}

// unread says that an answer could not be read.
func (c *Client) unread(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return fmt.Errorf("read the answer of %s: %w", c.socket, err)
}

// open sends a request and returns the answer to be read.
func (c *Client) open(ctx context.Context, path string) (io.ReadCloser, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, longestAnswer, c.noAnswer(longestAnswer))
	response, err := c.request(ctx, http.MethodGet, path, nil)
	if err != nil {
		cancel()
		return nil, err
	}
	if mediaTypeOf(response) != contentJSON {
		cancel()
		return nil, errors.Join(c.strange(response), response.Body.Close())
	}
	return &answer{body: response.Body, client: c, ctx: ctx, cancel: cancel}, nil
}

// answer is what a daemon answers, while it is read.
type answer struct {
	body   io.ReadCloser
	client *Client
	ctx    context.Context
	cancel context.CancelFunc
}

// Read reads of the answer; its errors are those of the client.
func (a *answer) Read(p []byte) (int, error) {
	n, err := a.body.Read(p)
	if err != nil && err != io.EOF {
		err = a.client.unread(a.ctx, err)
	}
	return n, err
}

// Close ends the answer.
func (a *answer) Close() error {
	a.cancel()
	return a.body.Close()
}

// request returns an answer that is good; its body is to be closed.
func (c *Client) request(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
	// The host is a formality: dial knows only the socket.
	request, err := http.NewRequestWithContext(ctx, method, "http://ssmd"+path, body)
	if err != nil {
		return nil, err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	if response.StatusCode == http.StatusOK {
		return response, nil
	}
	defer response.Body.Close()
	return nil, c.refused(response)
}

// unreachable drops what net/http puts around an error: URLs that nobody gave.
func (c *Client) unreachable(ctx context.Context, err error) error {
	dial, isDial := errors.AsType[*DialError](err)
	wrapped, isURL := errors.AsType[*url.Error](err)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case isURL && wrapped.Timeout(), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, syscall.EAGAIN): // nobody accepts
		return c.noAnswer(c.patience)
	case isDial:
		return dial
	case isURL:
		err = wrapped.Err
	}
	return fmt.Errorf("ask the daemon at %s: %w", c.socket, err)
}

func (c *Client) noAnswer(within time.Duration) error {
	return &noAnswerError{socket: c.socket, within: within}
}

// refused reads the problem in an answer, and is as patient for the whole of it as
// for its beginning.
func (c *Client) refused(response *http.Response) error {
	const longest = 1 << 20 // bytes; all that may be wrong with a configuration
	problem := new(Problem)
	late := time.AfterFunc(c.patience, func() { _ = response.Body.Close() })
	err := json.NewDecoder(io.LimitReader(response.Body, longest)).Decode(problem)
	if !late.Stop() {
		return c.noAnswer(c.patience)
	}
	if mediaTypeOf(response) != contentProblem || err != nil {
		return c.strange(response)
	}
	return problem
}

func mediaTypeOf(response *http.Response) string {
	mediaType, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	return mediaType
}

func (c *Client) strange(response *http.Response) error {
	return fmt.Errorf("%s answered %s, which is no answer of ssmd: does another program listen there?", c.socket, response.Status)
}
