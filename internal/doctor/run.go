package doctor

import (
	"cmp"
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ssmd-project/ssmd/membership"
)

// Options say how Run looks.
type Options struct {
	Wait      time.Duration // listen to each interface so long; zero: not at all
	DaemonPID int           // zero: no daemon
	Socket    string        // the daemon's control socket, for commands to name; empty: where they find it anyway
	Here      Place         // the caller's network namespace; nil: the process's

	// Announce has the daemon tell the network of a membership anew, while its
	// interface is listened to. Nil: nobody does.
	Announce func(ctx context.Context, name string) error
}

// Report is what Run found. Its JSON is that of ssmd doctor --json.
type Report struct {
	Outcome  Outcome       `json:"outcome"` // the worst of all
	Subjects []Examination `json:"subjects"`
}

// Examination is what was found of one subject.
type Examination struct {
	Membership string               `json:"membership"` // of the daemon, or of a file; empty: the channels were given
	Channels   []membership.Channel `json:"channels"`
	Interface  string               `json:"interface"` // empty: none comes near
	Index      int                  `json:"ifindex"`   // zero: there is none
	Netns      string               `json:"netns"`     // empty: the daemon's own, or the caller's
	Outcome    Outcome              `json:"outcome"`
	Findings   []Finding            `json:"findings"`
}

const aboutNamespace = "namespace"

var (
	noNamespace = define(aboutNamespace, Unknown, "the network namespace could not be looked into: %v",
		"The interface, its settings and its rules are in there.")
	notAnnounced = define(aboutReport, Unknown, "the daemon did not announce it anew: %v",
		"So no report could be expected.")
)

// mostAtOnce is how many interfaces are listened to at a time.
const mostAtOnce = 64

// site is where subjects are: facts are gathered once for each.
type site struct {
	netns, name string
	daemon      bool // the namespace is one as the daemon calls it, and not the caller's
}

func (s Subject) site() site { return site{s.Netns, s.Interface, s.Membership != ""} }

// Run examines subjects, those on one interface by the same facts. It blocks for
// little more than the time to listen. The subjects are in their order. Its error
// is that of ctx.
func Run(ctx context.Context, subjects []Subject, o Options) (Report, error) {
	if o.Here == nil {
		o.Here = ownPlace
	}
	bySite := make(map[site][]int)
	for n, s := range subjects {
		bySite[s.site()] = append(bySite[s.site()], n)
	}
	report := Report{Outcome: OK, Subjects: make([]Examination, len(subjects))}
	var group errgroup.Group
	group.SetLimit(mostAtOnce)
	for at, members := range bySite {
		group.Go(func() error {
			here := make([]Subject, len(members))
			for n, m := range members {
				here[n] = subjects[m]
			}
			for n, e := range examineAt(ctx, at, here, o) {
				report.Subjects[members[n]] = e
			}
			return nil
		})
	}
	_ = group.Wait() // none fails
	for _, e := range report.Subjects {
		report.Outcome = Worse(report.Outcome, e.Outcome)
	}
	if ctx.Err() != nil {
		return report, context.Cause(ctx)
	}
	return report, nil
}

func examineAt(ctx context.Context, at site, subjects []Subject, o Options) []Examination {
	w := Wanted{Interface: at.name, Wait: o.Wait, DaemonPID: o.DaemonPID}
	for _, s := range subjects {
		w.Channels = append(w.Channels, s.Channels...)
	}
	more := make([][]Finding, len(subjects))
	if o.Announce != nil {
		w.Listening = func() {
			for n, s := range subjects {
				if s.Membership == "" || !s.Attached {
					continue
				}
				if err := o.Announce(ctx, s.Membership); err != nil {
					more[n] = []Finding{notAnnounced.with(err)}
					continue
				}
				subjects[n].Announced = true
			}
		}
	}
	in := 0
	if at.daemon {
		in = o.DaemonPID
	}
	place, path, err := FindPlace(at.netns, in, o.Here)
	var facts Facts
	if err == nil {
		facts, err = Gather(ctx, place, w)
	}
	examinations := make([]Examination, len(subjects))
	for n, s := range subjects {
		var findings []Finding
		if err != nil {
			findings = append(run(first[:1], s, &facts), noNamespace.with(err).advise("Run ssmd doctor as root."))
		} else {
			findings = append(Examine(s, &facts), more[n]...)
		}
		enterFirst(path, findings)
		askAt(o.Socket, findings)
		examinations[n] = newExamination(s, &facts, findings)
	}
	return examinations
}

func newExamination(s Subject, f *Facts, findings []Finding) Examination {
	e := Examination{Membership: cmp.Or(s.Membership, s.Entry), Channels: s.Channels, Interface: s.Interface, Netns: s.Netns, Outcome: Worst(findings), Findings: findings}
	if e.Index = s.Index; e.Index == 0 && f.Link != nil {
		e.Index = f.Link.Index
	}
	return e
}
