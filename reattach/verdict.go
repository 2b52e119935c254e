package reattach

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// Result is what a check or a verdict comes to. Lower is stricter.
type Result uint8

// The results.
const (
	Reject Result = iota // not this instance, unless it changes
	Wait                 // it lacks something that may come
	Held                 // nothing is missing but a decision
	Accept               // join
)

var resultNames = [...]string{"reject", "wait", "held", "accept"}

// String returns "reject", "wait", "held" or "accept".
func (r Result) String() string {
	if int(r) < len(resultNames) {
		return resultNames[r]
	}
	return fmt.Sprintf("Result(%d)", uint8(r))
}

// MarshalText writes the result's name.
func (r Result) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads the result's name.
func (r *Result) UnmarshalText(text []byte) error {
	for i, name := range resultNames {
		if name == string(text) {
			*r = Result(i)
			return nil
		}
	}
	return fmt.Errorf("unknown result %q", text)
}

// Check is one rule held against one instance.
type Check struct {
	Rule   string `json:"rule"`   // an attribute, "same mac", "policy", "multicast", "protocol IPv4", "require up", "choice"
	Wanted string `json:"wanted"` // what the rule asks for
	Found  string `json:"found"`  // what the instance has
	Result Result `json:"result"`
}

// OfProtocol reports whether the check is whether a protocol is alive.
func (c Check) OfProtocol() bool {
	return c.Rule == protocolRules[ifwatch.IPv4] || c.Rule == protocolRules[ifwatch.IPv6]
}

// String returns the check as it stands in reasons.
func (c Check) String() string {
	if c.Result == Accept {
		return fmt.Sprintf("%s=%s", c.Rule, c.Found)
	}
	return fmt.Sprintf("%s: wanted %s, found %s", c.Rule, c.Wanted, c.Found)
}

// identifies reports whether the check tells one interface from another, as
// against asking for a condition.
func (c Check) identifies() bool {
	rule := strings.TrimPrefix(c.Rule, samePrefix)
	return slices.Contains(attributes[:], Attribute(rule))
}

// Verdict is the outcome for one membership and one instance. It is never
// without a check.
type Verdict struct {
	// Checks holds every rule that spoke, in the order of the rules.
	Checks []Check
	// Replaces is the lost instance whose place an accepted candidate
	// takes; zero where there is none.
	Replaces ifwatch.ID
}

func (v *Verdict) add(c Check) { v.Checks = append(v.Checks, c) }

// Result is the strictest result of the checks. Without any check it is
// Reject: nothing is accepted for no reason.
func (v Verdict) Result() Result {
	if len(v.Checks) == 0 {
		return Reject
	}
	return strictest(v.Checks)
}

func strictest(checks []Check) Result {
	result := Accept
	for i := range checks {
		result = min(result, checks[i].Result)
	}
	return result
}

// Reason returns, in words, the checks that decided: of an accepted verdict
// those by which the instance was told from others, or all where there are
// none, of any other verdict those that led to its result.
func (v Verdict) Reason() string {
	result := v.Result()
	if len(v.Checks) == 0 {
		return "nothing was checked"
	}
	var deciding, identifying []string
	for _, c := range v.Checks {
		if c.Result != result {
			continue
		}
		deciding = append(deciding, c.String())
		if c.identifies() {
			identifying = append(identifying, c.String())
		}
	}
	if result == Accept && len(identifying) > 0 {
		return "matches " + strings.Join(identifying, " ")
	}
	return strings.Join(deciding, "; ")
}

// MarshalJSON writes the result, the reason and the checks.
func (v Verdict) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Result   Result     `json:"result"`
		Reason   string     `json:"reason"`
		Replaces ifwatch.ID `json:"replaces,omitempty"`
		Checks   []Check    `json:"checks"`
	}{v.Result(), v.Reason(), v.Replaces, v.Checks})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (v *Verdict) UnmarshalJSON(data []byte) error {
	var raw struct {
		Replaces ifwatch.ID `json:"replaces"`
		Checks   []Check    `json:"checks"`
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return err
	}
	v.Checks, v.Replaces = raw.Checks, raw.Replaces
	return nil
}
