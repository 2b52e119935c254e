package doctor

import (
	"slices"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/membership"
)

const aboutReport = "report"

var (
	noReport = define(aboutReport, Fault, "no report of %s went out on %s, though the daemon announced it",
		"The network is not asked for it. A firewall, the interface, or the state of its protocol is in the way.")
	sourceless = define(aboutReport, Fault, "the report of %s went out on %s without its source",
		"The network delivers every source of the group, or none where it wants source-specific joins (K26).")
	reportNotAsked = define(aboutReport, Unknown, "no report went out on %s while it was listened to, and none was asked for",
		"Reports go out when something is joined, and as answers to queries.")
	reportUnheard = define(aboutReport, Unknown, "whether reports go out was not looked at: %v",
		"By reports the network is asked for the channels.")
)

// checkReport is about the reports that went out while the interface was
// listened to.
func checkReport(s Subject, f *Facts) []Finding {
	if f.Link.Loopback || s.Membership != "" && !s.Attached {
		return nil
	}
	if f.Heard.Err != nil {
		return []Finding{reportUnheard.with(f.Heard.Err).advise(toHear)}
	}
	var whole, bare, none []membership.Channel
	for _, c := range s.Channels {
		switch f.Heard.reported(c) {
		case yes:
			whole = append(whole, c)
		case partly:
			bare = append(bare, c)
		default:
			none = append(none, c)
		}
	}
	switch {
	case len(bare) > 0:
		return []Finding{sourceless.with(some(bare), f.Link.Name).advise("The check version says why.")}
	case len(none) > 0 && s.Announced:
		return []Finding{noReport.with(some(none), f.Link.Name).advise("Mend what else is found here, and say ssmd doctor --reannounce again.")}
	case len(whole) > 0:
		return good(aboutReport, "the report of %s went out on %s", some(whole), f.Link.Name)
	}
	found := reportNotAsked.with(f.Link.Name)
	if s.Membership != "" {
		return []Finding{found.mend(ssmd("doctor --reannounce", s.Membership))}
	}
	return []Finding{found.advise("For a membership of the daemon --reannounce asks for one.")}
}

// told is what a report told of a channel.
type told string

const (
	yes    told = "yes"
	partly told = "without its source"
	not    told = "nothing"
)

// reported looks for a report that asks for a channel.
func (h Heard) reported(c membership.Channel) told {
	answer := not
	for _, r := range h.Reports {
		switch {
		case r.Group != c.Group || r.Leave:
		case slices.Contains(r.Sources, c.Source):
			return yes
		case r.Version < newest[c.Family()]:
			answer = partly
		}
	}
	return answer
}

// newest is the version that names sources.
var newest = map[ifwatch.Family]int{ifwatch.IPv4: 3, ifwatch.IPv6: 2}
