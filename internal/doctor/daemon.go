package doctor

import (
	"context"
	"fmt"
	"slices"

	"github.com/ssmd-project/ssmd/control"
	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/membership"
	"github.com/ssmd-project/ssmd/reattach"
)

// Daemon is what Subjects asks; control.Client answers.
type Daemon interface {
	Memberships(ctx context.Context) ([]control.Status, error)
	Explain(ctx context.Context, name string) (control.Explanation, error)
	Interfaces(ctx context.Context) ([]membership.InterfaceStatus, error)
}

// Subjects returns what the daemon's memberships are about, of those names, or
// of all where there are none: a subject for each interface that one is on, or,
// where it is on none, for each that could still become one.
func Subjects(ctx context.Context, d Daemon, names []string) ([]Subject, error) {
	if len(names) == 0 {
		statuses, err := d.Memberships(ctx)
		if err != nil {
			return nil, err
		}
		for _, s := range statuses {
			names = append(names, s.Name)
		}
	}
	interfaces, err := d.Interfaces(ctx)
	if err != nil {
		return nil, err
	}
	netns := make(map[ifwatch.ID]string, len(interfaces))
	for _, i := range interfaces {
		netns[i.ID] = i.Netns
	}
	var subjects []Subject
	for _, name := range names {
		e, err := d.Explain(ctx, name)
		if err != nil {
			return nil, err
		}
		subjects = append(subjects, subjectsOf(e, netns)...)
	}
	return subjects, nil
}

// comesNear reports whether an interface is one for a membership, or could become
// it. A protocol that is dead there is no reason against it, but what is to be
// found.
func comesNear(v reattach.Verdict) bool {
	return !slices.ContainsFunc(v.Checks, func(c reattach.Check) bool { return c.Result == reattach.Reject && !c.OfProtocol() })
}

// subjectsOf turns an explanation into subjects.
func subjectsOf(e control.Explanation, netns map[ifwatch.ID]string) []Subject {
	base := Subject{Membership: e.Status.Name, State: e.Status.State, Reason: e.Status.Reason, Daemon: true}
	if m := e.Status.Monitor; m != nil {
		base.Port = m.Port
	}
	var subjects []Subject
	for _, a := range e.Status.Attachments {
		s := base
		s.Interface, s.Index, s.Netns, s.Attached = a.Interface, a.Index, a.Netns, true
		for _, c := range e.Channels {
			if c.Instance != a.Instance {
				continue
			}
			s.Channels = append(s.Channels, c.Channel)
			if c.Error != "" {
				s.Refused = append(s.Refused, fmt.Sprintf("%s: %s", c.Channel, c.Error))
			}
		}
		subjects = append(subjects, s)
	}
	if len(subjects) > 0 {
		return subjects
	}
	for _, c := range e.Channels {
		base.Channels = append(base.Channels, c.Channel)
	}
	for _, i := range e.Interfaces {
		if !comesNear(i.Verdict) {
			continue
		}
		s := base
		s.Interface, s.Index, s.Netns = i.Interface, i.Index, netns[i.Instance]
		subjects = append(subjects, s)
	}
	if len(subjects) == 0 {
		return []Subject{base}
	}
	return subjects
}
