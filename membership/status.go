package membership

import (
	"net/netip"
	"time"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/reattach"
)

// State is where a membership stands.
//
//	          verdict accept         kernel took all channels
//	waiting ----------------> settling* --------------------> joined <--> degraded
//	                              ^                              |
//	                              | verdict accept               | removal, protocol death,
//	                              |                              | drain, no longer matches
//	                              +----------- detached <--------+
//	                              |                |
//	                              +---- held <-----+---> ended (policy never, no time
//	                                                     left, socket of no use)
//
// *) Without a time to settle, and a pace, it is joined at once. At a pace, and
// where the kernel takes more than a moment for all of it, it is settling, and
// attached, until all of it is joined. From settling a verdict that
// is no longer accept leads back. From waiting too several accepted interfaces
// or a drained one lead to held, and from each state a caller's socket that is
// of no use to ended. A membership is judged again
// whenever an interface changes; only ended lasts until the wish is changed.
type State string

// The states.
const (
	StateWaiting  State = "waiting"  // never attached, and no instance is accepted now
	StateSettling State = "settling" // an instance is accepted, and joined if that holds for the time to settle; or is being joined, at the manager's pace or the kernel's
	StateJoined   State = "joined"   // the kernel holds every channel
	StateDegraded State = "degraded" // attached, but some channels are not joined
	StateDetached State = "detached" // its instance is gone, and no other is accepted now
	StateHeld     State = "held"     // accepted, but something is missing: a decision among several, an approval, an undrain, time within the limit
	StateEnded    State = "ended"    // nothing takes the lost instance's place any more, by the policy or the time, or the caller's socket is of no use
)

// States returns all states.
func States() []State {
	return []State{StateWaiting, StateSettling, StateJoined, StateDegraded, StateDetached, StateHeld, StateEnded}
}

// Status is a membership as it stands, in the form of the control API.
type Status struct {
	Name                string       `json:"name"`
	State               State        `json:"state"`
	Reason              string       `json:"reason"`
	Channels            int          `json:"channels"`
	Joined              int          `json:"joined"` // channels joined on at least one attachment
	Since               time.Time    `json:"since"`  // of the state
	Attachments         []Attachment `json:"attachments"`
	Previous            *Previous    `json:"previous"` // the instance lost last, null before
	Counters            Counters     `json:"counters"`
	LastReattachSeconds *float64     `json:"last_reattach_seconds"` // null before the first

	// Err is why channels are not joined that should be, or why the
	// membership has ended, where the kernel or a caller's socket is behind
	// that; nil where nothing of the kind is. It wraps the kernel's errno, as
	// unix.EMFILE, ErrSocketClosed or ErrSocketUnusable. Of several refusals
	// it is the first that still stands.
	Err error `json:"-"`
}

// Attachment is one membership on one interface instance.
type Attachment struct {
	Interface string     `json:"interface"`
	Index     int        `json:"ifindex"`
	Instance  ifwatch.ID `json:"instance"`
	Netns     string     `json:"netns"` // empty: the manager's own
	Joined    int        `json:"joined"`
	Failed    int        `json:"failed"`
	Since     time.Time  `json:"since"`
}

// Previous is what a membership remembers of the instance that it lost last.
type Previous struct {
	Instance ifwatch.ID     `json:"instance"`
	Name     string         `json:"name"`
	MAC      string         `json:"mac"`
	Subnet   []netip.Prefix `json:"subnet"`
}

// Counters count since the membership was added.
type Counters struct {
	Attaches    uint64 `json:"attaches"`
	Detaches    uint64 `json:"detaches"`
	Reattaches  uint64 `json:"reattaches"` // attaches that took a lost instance's place
	Reannounces uint64 `json:"reannounces"`
	Repairs     uint64 `json:"repairs"`
	Errors      uint64 `json:"errors"` // channels that the kernel refused to join
}

// Explanation holds every interface against every rule of one membership.
type Explanation struct {
	Status     Status                 `json:"status"`
	Channels   []ChannelStatus        `json:"channels"`
	Interfaces []InterfaceExplanation `json:"interfaces"`
}

// ChannelStatus is one channel of a membership on one attachment.
type ChannelStatus struct {
	Channel   Channel    `json:"channel"`
	Interface string     `json:"interface"` // empty where the membership is not attached
	Instance  ifwatch.ID `json:"instance"`
	Joined    bool       `json:"joined"`
	Error     string     `json:"error,omitempty"` // why it is not
	Err       error      `json:"-"`               // the same, for errors.Is
}

// InterfaceExplanation is the verdict for one interface, with every check.
type InterfaceExplanation struct {
	Interface string           `json:"interface"`
	Index     int              `json:"ifindex"`
	Instance  ifwatch.ID       `json:"instance"`
	Attached  bool             `json:"attached"`
	Verdict   reattach.Verdict `json:"verdict"`
}

// InterfaceStatus is an interface instance with what the manager does with it.
type InterfaceStatus struct {
	ifwatch.Interface
	Netns   string `json:"netns"`   // empty: the manager's own
	Drained bool   `json:"drained"` // left, and left alone, until undrained or gone
}
