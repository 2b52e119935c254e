package membership

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/reattach"
)

// judgedIdle is the state of a member if it has no attachments, and why.
func (k *keeper) judgedIdle(m *member, d decision) (State, string) {
	if m.ended == "" && k.endsNow(m) {
		k.end(m, "policy never: "+m.lost[len(m.lost)-1].String()+" is gone")
	}
	if m.ended != "" {
		return StateEnded, m.ended
	}
	if len(m.settling) > 0 {
		return StateSettling, m.settlingReason(d)
	}
	reason := reasonFor(d.candidates)
	if slices.ContainsFunc(d.candidates, func(c reattach.Candidate) bool { return c.Verdict.Result() == reattach.Held }) {
		return StateHeld, reason
	}
	if k.absent != "" {
		reason = k.absent
	}
	if reason == "" {
		reason = "no interface matches " + m.rule.rules.Selector.String()
	}
	if m.previous != nil {
		return StateDetached, reason
	}
	return StateWaiting, reason
}

// end notes why a member has ended.
func (k *keeper) end(m *member, why string) {
	m.ended = why
	k.noteMemory()
}

// endsNow reports whether nothing is attached and the policy lets nothing take
// the place of what was.
func (k *keeper) endsNow(m *member) bool {
	lives := func(l *ifwatch.Interface) bool { return k.instances[l.ID] != nil }
	return m.rule.rules.Policy.Kind == reattach.PolicyNever &&
		len(m.lost) > 0 && len(m.attachments) == 0 && !slices.ContainsFunc(m.lost, lives)
}

// reasonFor puts the verdicts on instances that were not accepted in words.
func reasonFor(candidates []reattach.Candidate) string {
	var parts []string
	for _, c := range candidates {
		if v := c.Verdict; v.Result() != reattach.Accept {
			parts = append(parts, c.Interface.String()+": "+v.Reason())
		}
	}
	return joinReasons(parts)
}

// longestReason bounds how many interfaces a reason names.
const longestReason = 4

func joinReasons(parts []string) string {
	if more := len(parts) - longestReason; more > 0 {
		parts = append(parts[:longestReason:longestReason], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(parts, "; ")
}
