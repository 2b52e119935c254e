package doctor

import (
	"strings"

	"github.com/ssmd-project/ssmd/membership"
)

const aboutMembership = "membership"

var (
	notJoined = define(aboutMembership, Fault, "the daemon has not joined it: %s: %s",
		"Nobody asks the network for these channels, so none of them comes.")
	refused = define(aboutMembership, Fault, "the kernel refused the daemon %d of %d channels: %s",
		"What is not joined does not come. The daemon tries again every 30 s at least.")
	noneFits = define(aboutMembership, Fault, "no interface comes near the rules of %s",
		"ssmd joins nothing until there is one.")
	joining = define(aboutMembership, Warning, "the daemon is about to join it: %s",
		"Until then not all of it comes.")
)

// checkMembership is about what the daemon says.
func checkMembership(s Subject, _ *Facts) []Finding {
	switch {
	case s.Entry != "" && s.Interface == "":
		return []Finding{noneFits.with(s.Entry).mend("ip -d address show").advise("Make an interface that its rules accept, or change these.")}
	case s.Membership == "":
		return nil
	case len(s.Refused) > 0:
		return []Finding{refused.with(len(s.Refused), len(s.Channels), s.Refused[0]).mend(ssmd("explain", s.Membership))}
	case s.State == membership.StateJoined, s.State == membership.StateDegraded && s.Attached:
		return good(aboutMembership, "%s: %s", s.State, s.Reason)
	case s.State == membership.StateSettling:
		return []Finding{joining.with(s.Reason).mend(ssmd("wait", s.Membership))}
	}
	return []Finding{s.mendState(notJoined.with(s.State, s.Reason))}
}

// mendState adds what brings a membership out of its state.
func (s Subject) mendState(f Finding) Finding {
	switch {
	case s.State != membership.StateHeld:
		return f.mend(ssmd("explain", s.Membership)).advise("Where the interface below is at fault, mend that: the daemon joins by itself then.")
	case strings.Contains(s.Reason, "drain:") && s.Interface != "":
		command := "undrain"
		if s.Netns != "" {
			command += " --netns " + quote(s.Netns)
		}
		return f.mend(ssmd(command, s.Interface))
	case strings.Contains(s.Reason, "approval:"):
		return f.mend(ssmd("approve", s.Membership))
	}
	return f.mend(ssmd("explain", s.Membership))
}
