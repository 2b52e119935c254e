package monitor

import (
	"time"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/membership"
)

// Status is how the streams of one membership come in, in the form of the control
// API.
type Status struct {
	Port    uint16   `json:"port"`
	Stalled int      `json:"stalled"` // how many of the streams
	Streams []Stream `json:"streams"` // by channel, then by instance
}

// Stream is one channel, on one attachment.
type Stream struct {
	Channel   membership.Channel `json:"channel"`
	Interface string             `json:"interface"` // empty where the membership is not attached
	Instance  ifwatch.ID         `json:"instance"`
	Stalled   bool               `json:"stalled"`
	Since     time.Time          `json:"since"`           // of stalled, or of what it is instead
	Error     string             `json:"error,omitempty"` // why nothing can be counted

	// Over the last whole second.
	DatagramsPerSecond float64 `json:"datagrams_per_second"`
	BytesPerSecond     float64 `json:"bytes_per_second"` // of payload
	LongestGapSeconds  float64 `json:"longest_gap_seconds"`

	// Since it is monitored.
	Datagrams uint64 `json:"datagrams"`
	Bytes     uint64 `json:"bytes"`
	Stalls    uint64 `json:"stalls"`
	Unread    uint64 `json:"unread"` // that came and the monitor was too slow for, of all streams of the group and port

	RTP *RTP `json:"rtp,omitempty"`
}

// RTP is what the stream says of itself. All but the jitter counts since it is
// monitored.
type RTP struct {
	Expected      uint64   `json:"expected"`
	Received      uint64   `json:"received"`
	Lost          int64    `json:"lost"` // less than zero where there are more duplicates than losses
	Reordered     uint64   `json:"reordered"`
	Duplicates    uint64   `json:"duplicates"`
	Invalid       uint64   `json:"invalid"`
	Restarts      uint64   `json:"restarts"`
	JitterSeconds *float64 `json:"jitter_seconds"` // null where the clock rate is not known
}

// The types of events.
const (
	EventStalled membership.EventType = "stalled" // nothing has come from a channel for a while
	EventResumed membership.EventType = "resumed" // something comes again
)

// EventTypes returns the types of events.
func EventTypes() []membership.EventType {
	return []membership.EventType{EventStalled, EventResumed}
}

// CauseStream is the cause of the events: what a stream does.
const CauseStream membership.Cause = "stream"
