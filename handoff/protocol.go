package handoff

import (
	"time"

	"github.com/ssmd-project/ssmd/control"
	"github.com/ssmd-project/ssmd/membership"
)

// Where the daemon listens is told to clients as its control socket is.
const (
	DefaultSocket = "/run/ssmd/handoff.sock" // by convention: the daemon listens where it is told to
	Variable      = "SSMD_HANDOFF_SOCKET"    // names another path, for the daemon and for clients
)

// MaxMessage bounds every message, in bytes, in both directions.
const MaxMessage = 64 << 10

// The types of messages from the daemon, besides those of a membership's
// events. Each message is one JSON object with a member "type".
const (
	TypeAnswer  = "answer"  // to a request that was taken
	TypeRefused = "refused" // to any other
	TypeEnded   = "ended"   // the last message: the daemon keeps the membership no more
)

// Causes of TypeEnded.
const (
	CauseRemoved  membership.Cause = "request"                // by the configuration, or by somebody over the control socket
	CauseShutdown                  = membership.CauseShutdown // the daemon ends: what is joined stays joined, and the next daemon takes the socket again
)

// Answer says how the membership stands. The events that follow are all since
// the request, those that led to this among them.
type Answer struct {
	Type       string            `json:"type"` // TypeAnswer
	Membership membership.Status `json:"membership"`
}

// Refused says what is wrong with a request. After the first one the connection
// is closed; after any other everything is as before.
type Refused struct {
	Type    string           `json:"type"` // TypeRefused
	Problem *control.Problem `json:"problem"`
}

// The types of problems of this protocol alone, besides those of the control API.
const (
	ProblemNameInUse  = "tag:ssmd-project.github.io,2026:name-in-use"
	ProblemDescriptor = "tag:ssmd-project.github.io,2026:unsuitable-descriptor"
)

// Ended returns the last message, which has the form of an event.
func Ended(name string, cause membership.Cause, reason string) membership.Event {
	return membership.Event{Time: time.Now(), Type: TypeEnded, Membership: name, Cause: cause, Reason: reason}
}
