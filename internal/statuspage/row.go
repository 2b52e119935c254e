package statuspage

import (
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ssmd-project/ssmd/membership"
)

// row is what the list tells of a membership.
type row struct {
	Name       string           `json:"name"`
	State      membership.State `json:"state"`
	Reason     string           `json:"reason"`
	Channels   int              `json:"channels"`
	Joined     int              `json:"joined"`
	Since      int64            `json:"since"` // milliseconds since 1970, as every time for the page
	Interfaces string           `json:"interfaces"`
	Reattaches uint64           `json:"reattaches"`
	Rates      *Rates           `json:"rates,omitempty"` // where it is monitored
}

// longestReason is where a reason is cut in the list: the membership's own page
// has it whole.
const longestReason = 300

// rowOf tells of a membership, and its rates where there are any.
func (b *Board) rowOf(s membership.Status) row {
	names := make([]string, len(s.Attachments))
	for i, a := range s.Attachments {
		names[i] = a.Interface
		if a.Netns != "" {
			names[i] += " in " + a.Netns
		}
	}
	one := row{
		Name: s.Name, State: s.State, Reason: cut(s.Reason, longestReason), Channels: s.Channels, Joined: s.Joined,
		Since: millis(s.Since), Interfaces: cut(strings.Join(names, ", "), longestReason), Reattaches: s.Counters.Reattaches,
	}
	if b.options.Rates == nil {
		return one
	}
	if rates, monitored := b.options.Rates(s.Name); monitored {
		one.Rates = &rates
	}
	return one
}

func cut(words string, most int) string {
	if len(words) <= most {
		return words
	}
	words = words[:most]
	for len(words) > 0 && !utf8.ValidString(words[len(words)-1:]) {
		words = words[:len(words)-1]
	}
	return words + "..."
}

func millis(t time.Time) int64 { return t.UnixMilli() }
