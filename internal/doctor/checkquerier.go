package doctor

import (
	"time"

	"github.com/ssmd-project/ssmd/ifwatch"
)

const aboutQuerier = "querier"

var (
	silentQuerier = define(aboutQuerier, Warning, "nobody asks by %s on %s: no general query came in within %s",
		"A switch that snoops, or a router, forgets a receiver that nobody asks within 260 s: the stream stops two to five minutes after it was joined.")
	notAwaited = define(aboutQuerier, Unknown, "no general query of %s came in on %s within %s",
		"A querier asks every 125 s. Where none does, a switch that snoops forgets the receiver: the stream stops two to five minutes after it was joined.")
	unheardQuerier = define(aboutQuerier, Unknown, "whether there is a querier was not looked at: %v",
		"Where none asks, a switch that snoops forgets the receiver: the stream stops two to five minutes after it was joined.")
)

// queryInterval is RFC 3376, section 8.2, and RFC 3810, section 9.2.
const queryInterval = 125 * time.Second

// checkQuerier is about whether somebody asks.
func checkQuerier(s Subject, f *Facts) []Finding {
	if f.Link.Loopback {
		return nil
	}
	if f.Heard.Err != nil {
		return []Finding{unheardQuerier.with(f.Heard.Err).advise(toHear)}
	}
	var findings []Finding
	for _, family := range s.families() {
		findings = append(findings, f.querier(s, family))
	}
	return findings
}

func (f *Facts) querier(s Subject, family ifwatch.Family) Finding {
	protocol := map[ifwatch.Family]string{ifwatch.IPv4: "IGMP", ifwatch.IPv6: "MLD"}[family]
	for _, q := range f.Heard.Queries {
		if q.Family == family {
			return good(aboutQuerier, "%s asked, by %sv%d", q.From, protocol, q.Version)[0]
		}
	}
	waited := f.Heard.For.Round(100 * time.Millisecond)
	if waited >= queryInterval {
		return silentQuerier.with(protocol, f.Link.Name, waited).advise("Enable a querier on the switch, or the router.")
	}
	return notAwaited.with(protocol, f.Link.Name, waited).mend(s.doctor("--wait 130s", s.of(family)[0]))
}
