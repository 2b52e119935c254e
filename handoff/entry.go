package handoff

import (
	"os"

	"github.com/ssmd-project/ssmd/membership"
)

// Entry is what is wished for, as a membership stands in the daemon's
// configuration file: docs/configuration.md has the keys and what they mean. A
// zero field is left out, and the daemon's default holds, but none of the
// defaults in its file.
type Entry struct {
	// Name is unused by any other membership of the daemon. Empty: the
	// daemon gives one, of the program's name and process.
	Name string `json:"name,omitempty"`

	Channels      []membership.Channel `json:"channels,omitempty"`
	Groups        []string             `json:"groups,omitempty"` // addresses, prefixes or ranges, each with every source
	Sources       []string             `json:"sources,omitempty"`
	AllowAnyRange bool                 `json:"allow_any_range,omitempty"`

	// Interface is a name, or a map from attributes to patterns.
	Interface  any      `json:"interface"`
	Ambiguous  string   `json:"ambiguous,omitempty"`
	Require    []string `json:"require,omitzero"` // empty, and not nil: nothing
	Reattach   any      `json:"reattach,omitempty"`
	OnChange   string   `json:"on_change,omitempty"`
	Reannounce any      `json:"reannounce,omitempty"`
}

// Options say where the daemon is. The zero value works.
type Options struct {
	// Socket is the path of the daemon's socket. Empty: what the variable
	// SSMD_HANDOFF_SOCKET says, else DefaultSocket.
	Socket string

	// Wait has HandOver wait for a daemon that is not there yet.
	Wait bool
}

func (o Options) path() string {
	if o.Socket != "" {
		return o.Socket
	}
	if path := os.Getenv(Variable); path != "" {
		return path
	}
	return DefaultSocket
}
