package doctor

import (
	"slices"

	"github.com/ssmd-project/ssmd/membership"
)

// Given is a channel on an interface, without a membership.
type Given struct {
	Channel   membership.Channel
	Interface string
}

// SubjectsOf returns a subject for each interface, in the order of their first
// channels.
func SubjectsOf(given []Given) []Subject {
	var subjects []Subject
	for _, g := range given {
		at := slices.IndexFunc(subjects, func(s Subject) bool { return s.Interface == g.Interface })
		if at < 0 {
			at = len(subjects)
			subjects = append(subjects, Subject{Interface: g.Interface})
		}
		if !slices.Contains(subjects[at].Channels, g.Channel) {
			subjects[at].Channels = append(subjects[at].Channels, g.Channel)
		}
	}
	return subjects
}
