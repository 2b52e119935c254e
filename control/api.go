package control

import (
	"context"
	"time"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/membership"
)

// Manager is what the server asks of a membership.Manager. Its methods are
// called concurrently.
type Manager interface {
	Status(ctx context.Context) ([]membership.Status, error)
	StatusOf(ctx context.Context, name string) (membership.Status, error)
	Explain(ctx context.Context, name string) (membership.Explanation, error)
	Reannounce(ctx context.Context, name string) error
	Interfaces(ctx context.Context) ([]membership.InterfaceStatus, error)
	Approve(ctx context.Context, name string, id ifwatch.ID) error
	Drain(ctx context.Context, netns, interfaceName string) error
	Undrain(ctx context.Context, netns, interfaceName string) error
}

// Subscription is what the server needs of a membership.Subscription: Next
// returns io.EOF after the last event, or the last before Finish, and never
// makes the manager wait.
type Subscription interface {
	Next(ctx context.Context) (membership.Event, error)
	Finish()
	Close()
}

// Info is what the daemon knows of itself.
type Info struct {
	Version    string    `json:"version"`
	PID        int       `json:"pid"`
	Started    time.Time `json:"started"`
	ConfigFile string    `json:"config_file"` // empty: it runs without a file
}

// Daemon is the answer to GET /v1/status.
type Daemon struct {
	Info
	Memberships map[membership.State]int `json:"memberships"` // how many are in each state; every state is there
	Channels    Channels                 `json:"channels"`
	LastReload  *ReloadStatus            `json:"last_reload,omitempty"`
}

// Channels counts channels over all memberships. One that several memberships
// want counts once for each of them.
type Channels struct {
	Wanted int `json:"wanted"`
	Joined int `json:"joined"`
}

// summarize counts the memberships of a daemon.
func summarize(info Info, statuses []membership.Status) Daemon {
	d := Daemon{Info: info, Memberships: map[membership.State]int{}}
	for _, state := range membership.States() {
		d.Memberships[state] = 0
	}
	for _, s := range statuses {
		d.Memberships[s.State]++
		d.Channels.Wanted += s.Channels
		d.Channels.Joined += s.Joined
	}
	return d
}

// contentJSON and the like are the media types of answers.
const (
	contentJSON    = "application/json"
	contentLines   = "application/x-ndjson"
	contentProblem = "application/problem+json" // RFC 9457, section 6.1
)

// Approval is the body of POST /v1/memberships/NAME/approve, which may be left
// out.
type Approval struct {
	Instance ifwatch.ID `json:"instance"` // zero: the only one that awaits it
}

// Drained is the answer to POST /v1/interfaces/IF/drain and undrain.
type Drained struct {
	Interface string `json:"interface"`
	Netns     string `json:"netns"` // empty: the daemon's own
	Drained   bool   `json:"drained"`
}
