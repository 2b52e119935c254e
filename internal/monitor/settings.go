package monitor

import (
	"slices"
	"time"

	"github.com/ssmd-project/ssmd/membership"
)

// DefaultStalledAfter is for how long nothing comes from a stream that is stalled,
// where nothing else is set.
const DefaultStalledAfter = 2 * time.Second

// Action is something to be done when a stream has stalled.
type Action string

// The actions.
const (
	// Reannounce tells the network of the membership anew.
	Reannounce Action = "reannounce"
)

// Actions returns all actions.
func Actions() []Action { return []Action{Reannounce} }

// Settings say how a membership's streams are monitored.
type Settings struct {
	Port         uint16        // the UDP port that the sources send to; zero: nothing is monitored
	StalledAfter time.Duration // zero: DefaultStalledAfter
	RTP          bool          // what comes is RTP
	ClockRate    uint32        // of the RTP timestamps, in Hz; zero: by the payload type
	OnStall      []Action
}

// Normalize returns the settings with their defaults spelled out.
func (s Settings) Normalize() Settings {
	if s.StalledAfter == 0 {
		s.StalledAfter = DefaultStalledAfter
	}
	return s
}

// Equal reports whether two say the same.
func (s Settings) Equal(o Settings) bool {
	a, b := s.Normalize(), o.Normalize()
	return a.Port == b.Port && a.StalledAfter == b.StalledAfter && a.RTP == b.RTP && a.ClockRate == b.ClockRate &&
		slices.Equal(a.OnStall, b.OnStall)
}

// Target is a membership whose streams are monitored.
type Target struct {
	Settings
	Channels []membership.Channel
}
