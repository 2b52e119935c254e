package control

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Reloader reads the configuration of a daemon that runs anew. Its methods are
// called concurrently.
type Reloader interface {
	// Reload applies the configuration as it is now, or changes nothing and
	// returns an error: a ConfigError where it is wrong, a NoReloadError
	// where there is none that can be read again.
	Reload(ctx context.Context) (Reloaded, error)
	// LastReload returns how the last reading went.
	LastReload() ReloadStatus
}

// Reloaded is the answer to POST /v1/reload: what differs from before, sorted.
type Reloaded struct {
	File        string   `json:"file"`
	Memberships int      `json:"memberships"` // how many the configuration has
	Added       []string `json:"added"`
	Changed     []string `json:"changed"`
	Removed     []string `json:"removed"`
	TakenOver   []string `json:"taken_over"` // those among the added that had been added at run time
	Settings    []string `json:"settings"`   // settings of the daemon that are in effect now, as "log.level"
	Restart     []string `json:"restart"`    // those that take effect after a restart, as long as they differ
}

// ReloadStatus is how the configuration was read last, be it at the start.
type ReloadStatus struct {
	Successful  bool      `json:"successful"`
	Time        time.Time `json:"time"`
	LastSuccess time.Time `json:"last_success"`
	Error       string    `json:"error"`   // the first of them, empty where it went well
	Watched     bool      `json:"watched"` // a changed file is read by itself
}

// ConfigError is all that is wrong with a configuration.
type ConfigError struct{ Errors []Flaw }

// Flaw is one thing that is wrong with a configuration. What is unknown is
// zero.
type Flaw struct {
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Path    string `json:"path,omitempty"`
	Message string `json:"message"`
}

// Error returns how much is wrong, and the first of it.
func (e *ConfigError) Error() string {
	switch len(e.Errors) {
	case 0:
		return "nothing was changed"
	case 1:
		return "nothing was changed: " + e.Errors[0].Error()
	}
	return fmt.Sprintf("nothing was changed: the configuration has %d errors, first %s", len(e.Errors), e.Errors[0].Error())
}

// Error returns "file:line:column: path: message", without what is unknown.
func (f Flaw) Error() string {
	place := f.File
	for _, n := range []int{f.Line, f.Column} {
		if n > 0 {
			place += fmt.Sprintf(":%d", n)
		}
	}
	var parts []string
	for _, part := range []string{place, f.Path, f.Message} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ": ")
}

// NoReloadError says why there is nothing that can be read anew.
type NoReloadError struct{ Why string }

func (e *NoReloadError) Error() string { return "nothing to reload: " + e.Why }

var errNoReloader = blank(http.StatusNotImplemented, "this server reloads nothing")

func (s *Server) reload(ctx context.Context, _ request) (any, error) {
	if s.options.Reloader == nil {
		return nil, errNoReloader
	}
	var reloaded Reloaded
	err := s.change(ctx, func(ctx context.Context) (err error) {
		reloaded, err = s.options.Reloader.Reload(ctx)
		return err
	})
	for _, names := range []*[]string{&reloaded.Added, &reloaded.Changed, &reloaded.Removed, &reloaded.TakenOver, &reloaded.Settings, &reloaded.Restart} {
		*names, _ = list(*names, nil)
	}
	return reloaded, err
}

// lastReload returns nil where there is nothing to tell.
func (s *Server) lastReload() *ReloadStatus {
	if s.options.Reloader == nil {
		return nil
	}
	last := s.options.Reloader.LastReload()
	return &last
}

// Reload has the daemon read its configuration anew, and returns what changed.
// Where the configuration is wrong, nothing did, and the error is a *Problem with
// all Errors.
func (c *Client) Reload(ctx context.Context) (Reloaded, error) {
	// It takes as long as all that is new takes to be joined.
	patient := newClient(c.socket, longestAnswer)
	return call[Reloaded](ctx, patient, http.MethodPost, "/v1/reload", nil)
}
