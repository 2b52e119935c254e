package doctor

import (
	"net/netip"
	"slices"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/membership"
)

const (
	aboutKernel = "kernel_membership"
	aboutWider  = "any_source"
)

var (
	lostByKernel = define(aboutKernel, Fault, "the kernel has not joined %s on %s, though the daemon has",
		"Another process closed or left a socket of a former life of the interface, and took the membership with it (K6).")
	nobodyJoined = define(aboutKernel, Fault, "nobody on this host has joined %s on %s",
		"The network is not asked for it, so it does not come.")
	otherSources = define(aboutKernel, Fault, "%s has users on %s, and none of them wants %s",
		"The kernel drops what comes from other sources than those that are asked for.")
	listsUnread = define(aboutKernel, Unknown, "the kernel's lists of groups could not be read: %v",
		"They say what is joined.")
	filtersHidden = define(aboutKernel, Unknown, "%s has users on %s, and the kernel does not list for which sources",
		"Its list of filters leaves out interfaces (K20).")
	anySource = define(aboutWider, Warning, "%s has users on %s that want any source: %d",
		"With one of those the host asks the network for every source of the group, and gets what it does not need.")
)

// channels in which some state was found, by the problem.
type joins struct {
	absent, hidden, others []membership.Channel
	joined                 int
}

// checkKernel is about what the kernel has joined, whoever asked for it.
func checkKernel(s Subject, f *Facts) []Finding {
	if s.Membership != "" && !s.Attached {
		return nil // the membership's state says it
	}
	var findings []Finding
	for _, family := range s.families() {
		lists := f.Lists[family]
		if lists.Err != nil {
			findings = append(findings, listsUnread.with(lists.Err))
			continue
		}
		findings = append(findings, s.judge(s.sort(family, lists, f.Link), f.Link)...)
	}
	return findings
}

// sort sorts channels by what the lists have of them. While an interface is down
// no sources of it are listed.
func (s Subject) sort(family ifwatch.Family, lists Lists, l *Link) joins {
	var j joins
	bySource := lists.bySource()
	for _, c := range s.of(family) {
		users := lists.Groups.Users[ifwatch.GroupKey{Index: l.Index, Group: c.Group}]
		switch {
		case users == 0:
			j.absent = append(j.absent, c)
		case lists.Included[c] > 0, users > bySource[c.Group] && lists.Whole:
			j.joined++
		case !lists.Whole || !l.Up:
			j.hidden = append(j.hidden, c)
		default:
			j.others = append(j.others, c)
		}
	}
	return j
}

// bySource returns how many sockets want some source of a group. One that wants
// several counts as often, so it may be less.
func (l Lists) bySource() map[netip.Addr]int {
	n := make(map[netip.Addr]int)
	for c, included := range l.Included {
		n[c.Group] += included
	}
	return n
}

func (s Subject) judge(j joins, l *Link) []Finding {
	var findings []Finding
	if len(j.absent) > 0 && s.Membership != "" {
		findings = append(findings, lostByKernel.with(some(j.absent), l.Name).mend(ssmd("reannounce", s.Membership)).
			advise("The daemon finds it out by itself within the time of audit."))
	} else if len(j.absent) > 0 {
		findings = append(findings, s.ask(nobodyJoined.with(some(j.absent), l.Name), l.Name, j.absent))
	}
	if len(j.others) > 0 {
		findings = append(findings, s.ask(otherSources.with(j.others[0].Group, l.Name, j.others[0].Source), l.Name, j.others))
	}
	if len(j.hidden) > 0 {
		findings = append(findings, filtersHidden.with(j.hidden[0].Group, l.Name).
			advise("The list is whole where a channel can be joined on the loopback interface, and the interface is up: the checks limits and up say what is in the way."))
	}
	if len(findings) == 0 {
		return good(aboutKernel, "the kernel has joined %d of %d channels on %s", j.joined, j.joined, l.Name)
	}
	return findings
}

// mostJoins is how many channels commands name; there may be thousands.
const mostJoins = 16

// ask adds how channels are asked for on an interface.
func (s Subject) ask(f Finding, name string, channels []membership.Channel) Finding {
	switch {
	case s.Membership != "":
		return f.mend(ssmd("reannounce", s.Membership))
	case s.Entry == "":
		return f.mend(s.join(name, channels)...)
	case !s.Daemon:
		return f.mend("ssmd run -c " + quote(s.File))
	case s.FileRuns:
		return f.mend("ssmd reload")
	}
	return f.advise("The daemon that runs reads another file: put the membership there, or end that daemon.")
}

// join returns the commands that join channels on an interface.
func (s Subject) join(name string, channels []membership.Channel) []string {
	const wide = " --allow-any-range"
	var each []string
	flags, joins := "", ""
	for _, c := range channels[:min(len(channels), mostJoins)] {
		what := quote(c.String() + "%" + name)
		one := "ssmd join"
		if membership.ValidateGroup(c.Group, membership.SourceSpecificOnly) != nil {
			one, flags = one+wide, wide
		}
		if s.Netns != "" {
			one += " --netns " + quote(s.Netns)
		}
		each = append(each, one+" "+what)
		joins += " --join " + what
	}
	if s.Daemon {
		return each
	}
	return []string{"ssmd run" + flags + joins}
}

// checkWider is about other memberships of the groups that want every source.
func checkWider(s Subject, f *Facts) []Finding {
	var findings []Finding
	looked := false
	for _, family := range s.families() {
		lists := f.Lists[family]
		if lists.Err != nil || !lists.Whole || !f.Link.Up {
			continue // checkKernel says so
		}
		looked = true
		bySource := lists.bySource()
		for _, group := range s.groups(family) {
			users := lists.Groups.Users[ifwatch.GroupKey{Index: f.Link.Index, Group: group}]
			if more := max(users-bySource[group], f.excluding(group)); more > 0 {
				findings = append(findings, anySource.with(group, f.Link.Name, more).
					advise("Have that program join with its source. It is one of those that are bound to the group's port, or one that only joins."))
			}
		}
	}
	if len(findings) == 0 && looked {
		return good(aboutWider, "no user of the groups wants any source")
	}
	return findings
}

// excluding returns how many sockets are known to want a group on the interface from
// any source, or from all but some. Where a socket wants several sources, their
// number does not tell it.
func (f *Facts) excluding(group netip.Addr) int {
	n := 0
	for _, k := range f.Sockets {
		if slices.ContainsFunc(k.Filters[group], func(own Filter) bool { return own.Exclude && own.Index == f.Link.Index }) {
			n++
		}
	}
	return n
}
