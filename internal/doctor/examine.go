package doctor

// check judges one thing. It has no side effects, and gives a finding at least,
// unless it does not concern the subject.
type check func(Subject, *Facts) []Finding

// checks are all of them, along the way of a datagram and of what the network is
// told. Those before the second are made whatever there is.
var (
	first = []check{checkMembership, checkInterface}
	rest  = []check{
		checkUp, checkCarrier, checkMulticastFlag, checkAddress, checkProtocol,
		checkKernel, checkWider, checkLimits,
		checkVersion, checkBridge, checkQuerier, checkReport,
		checkDatagrams, checkReversePath, checkFirewall,
		checkReceivers, checkDevice, checkMulticastAll, checkFilter, checkStale,
	}
)

// Examine holds a subject against everything that was found.
func Examine(s Subject, f *Facts) []Finding {
	findings := run(first, s, f)
	if f.Link == nil || s.Index != 0 && s.Index != f.Link.Index {
		return findings
	}
	return append(findings, run(rest, s, f)...)
}

func run(checks []check, s Subject, f *Facts) []Finding {
	var findings []Finding
	for _, c := range checks {
		findings = append(findings, c(s, f)...)
	}
	return findings
}

// Worst returns the worst outcome among findings.
func Worst(findings []Finding) Outcome {
	worst := OK
	for _, f := range findings {
		worst = Worse(worst, f.Outcome)
	}
	return worst
}
