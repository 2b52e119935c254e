package membership

import (
	"time"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// EventType says what happened.
type EventType string

// The types of events.
const (
	EventAttached    EventType = "attached"    // a first attachment; the joins were made, or what was refused is said
	EventDetached    EventType = "detached"    // an attachment ended; what only it wanted was left
	EventReattached  EventType = "reattached"  // an attachment that took a lost instance's place
	EventState       EventType = "state"       // the membership's state changed, or the reason for it
	EventError       EventType = "error"       // the kernel refused something
	EventResynced    EventType = "resynced"    // events of interfaces were lost and the interfaces compared anew
	EventReloaded    EventType = "reloaded"    // a new set of memberships was applied
	EventReannounced EventType = "reannounced" // the network was told of a membership anew
	EventRepaired    EventType = "repaired"    // what the kernel had lost was joined again
	EventMissed      EventType = "missed"      // Missed events are not to be had any more: this reader was too slow, or came too late
)

// EventTypes returns all types but EventMissed, which is about a reader and not
// about what happened.
func EventTypes() []EventType {
	return []EventType{EventAttached, EventDetached, EventReattached, EventState, EventError, EventResynced, EventReloaded, EventReannounced, EventRepaired}
}

// Cause says what led to an event.
type Cause string

// The causes.
const (
	CauseAppeared    Cause = "appeared"     // an interface instance appeared or changed
	CauseRemoval     Cause = "removal"      // the interface instance is gone
	CauseProtocol    Cause = "protocol"     // the protocol died on the instance
	CauseNamespace   Cause = "namespace"    // the network namespace is gone
	CauseMismatch    Cause = "mismatch"     // the instance no longer matches, with on_change leave
	CauseRequest     Cause = "request"      // the wish was added, changed or removed
	CauseShutdown    Cause = "shutdown"     // the manager ends
	CauseKernel      Cause = "kernel"       // an answer of the kernel
	CauseUp          Cause = "up"           // the interface was set up again
	CauseCarrier     Cause = "carrier"      // its carrier came back
	CauseNotifyPeers Cause = "notify_peers" // the kernel said that its peers are to be told
	CauseAddress     Cause = "address"      // reports go out from another address
	CauseEvery       Cause = "every"        // its time had come
	CauseAudit       Cause = "audit"        // a comparison with the groups that the kernel lists
	CauseSocket      Cause = "socket"       // the caller's socket is closed or of no use
	CauseDrain       Cause = "drain"        // the instance was drained
	CauseTime        Cause = "time"         // time has passed: settle, within or limit
)

// Event is one thing that happened, in the form of the control API.
type Event struct {
	Seq        uint64     `json:"seq,omitempty"` // its number, from 1 on, without a gap; EventMissed has none
	Time       time.Time  `json:"time"`
	Type       EventType  `json:"type"`
	Membership string     `json:"membership,omitempty"`
	Interface  string     `json:"interface,omitempty"`
	Instance   ifwatch.ID `json:"instance,omitempty"`
	Netns      string     `json:"netns,omitempty"` // empty: the manager's own
	State      State      `json:"state,omitempty"` // of EventState: the new one
	Cause      Cause      `json:"cause,omitempty"`
	Reason     string     `json:"reason,omitempty"`
	Missed     uint64     `json:"missed,omitempty"` // of EventMissed; at most so many where a time was asked for

	// What the control API does not tell.
	Was   State `json:"-"` // of EventState: the one before, which may be the same with another reason; empty: the membership is new
	Index int   `json:"-"` // of Interface
	Err   error `json:"-"` // of EventError, and of an EventState or EventDetached that a refusal led to; for errors.Is, as Status.Err
}
