package doctor

import (
	"fmt"
	"strings"
)

// Outcome is what comes of a check.
type Outcome string

// The outcomes, from the best to the worst.
const (
	OK      Outcome = "ok"      // nothing is wrong with it
	Unknown Outcome = "unknown" // it could not be looked at; the finding says what is missing
	Warning Outcome = "warning" // it may be wrong, or be wrong later
	Fault   Outcome = "fault"   // datagrams cannot arrive, or the network is not asked for them
)

func (o Outcome) rank() int {
	switch o {
	case Fault:
		return 3
	case Warning:
		return 2
	case Unknown:
		return 1
	}
	return 0
}

// Worse returns the worse of two outcomes.
func Worse(a, b Outcome) Outcome {
	if b.rank() > a.rank() {
		return b
	}
	return a
}

// Wrong reports whether something has to be done about it.
func (o Outcome) Wrong() bool { return o.rank() >= Warning.rank() }

// Finding is what one check found. Its JSON is that of ssmd doctor --json.
type Finding struct {
	Check   string   `json:"check"`            // the check's name, which stays the same over versions
	Outcome Outcome  `json:"outcome"`          //
	Found   string   `json:"found"`            // what was found, or what is missing to look
	Why     string   `json:"why,omitempty"`    // why it matters; nothing where it is good
	Mend    []string `json:"mend,omitempty"`   // commands for a shell, one after the other; where one stands alone it mends all of it
	Advice  string   `json:"advice,omitempty"` // what no command of this host can do
}

// Problem is one thing that a check may find wrong, or be unable to look at.
// Found is a format.
type Problem struct {
	Check   string
	Outcome Outcome
	Found   string
	Why     string
}

var problems []Problem

// Problems returns all that can be found: the page on troubleshooting has each.
func Problems() []Problem { return problems }

// define adds a problem to all of them.
func define(check string, outcome Outcome, found, why string) Problem {
	p := Problem{check, outcome, found, why}
	problems = append(problems, p)
	return p
}

// with makes a finding of a problem. It is one line, whatever several errors make of
// themselves.
func (p Problem) with(values ...any) Finding {
	found := strings.ReplaceAll(fmt.Sprintf(p.Found, values...), "\n", "; ")
	return Finding{Check: p.Check, Outcome: p.Outcome, Found: found, Why: p.Why}
}

// mend adds the commands that end it.
func (f Finding) mend(commands ...string) Finding {
	f.Mend = commands
	return f
}

// advise adds what to do where no command does it, or before one does.
func (f Finding) advise(format string, values ...any) Finding {
	f.Advice = fmt.Sprintf(format, values...)
	return f
}

// good is the finding of a check that found nothing wrong.
func good(check, format string, values ...any) []Finding {
	return []Finding{{Check: check, Outcome: OK, Found: fmt.Sprintf(format, values...)}}
}
