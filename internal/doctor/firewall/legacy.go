package firewall

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/internal/text"
)

// legacyTable is one of the older iptables, as iptables-save prints it.
type legacyTable struct {
	family  ifwatch.Family
	program string // that changes it
	name    string
	chains  map[string]*legacyChain
}

type legacyChain struct {
	policy string // empty: no base chain
	rules  []legacyRule
}

type legacyRule struct {
	tests    []test
	target   string // empty: it only counts
	jumps    jump
	untracks bool // the packet is kept from connection tracking
}

// jump is how a rule leads to another chain.
type jump string

const (
	andBack jump = "-j"
	forGood jump = "-g"
)

// test is one condition of a rule.
type test struct {
	negated bool
	option  string // the long name
	value   string
}

// The chains that see what is for the host itself, or comes from it.
var legacyHooks = map[Direction][]string{In: {"PREROUTING", "INPUT"}, Out: {"OUTPUT", "POSTROUTING"}}

func (t legacyTable) drops(p Packet) (drops []Drop, untracked answer) {
	if t.family != p.family() {
		return nil, ""
	}
	for _, name := range legacyHooks[p.Direction] {
		c := t.chains[name]
		if c == nil || c.policy == "" {
			continue
		}
		w := &walk{}
		if t.run(name, p, w, 0) == goesOn && c.policy == "DROP" {
			w.drop(yes, fmt.Sprintf("%s -t %s, chain %s, policy DROP", t.program, t.name, name), t.mend("-I "+text.ShellWord(name), p))
		}
		drops = append(drops, w.worst()...)
		untracked = either(untracked, w.untracked)
	}
	return drops, untracked
}

func (t legacyTable) run(name string, p Packet, w *walk, depth int) fate {
	c := t.chains[name]
	if c == nil || depth > deepest {
		w.doubtful = true
		return goesOn
	}
	for n, r := range c.rules {
		if w.tired() {
			return goesOn
		}
		matched := r.matches(p)
		if matched == no {
			continue
		}
		if f, over := t.obey(name, n+1, r, matched, p, w, depth); over {
			return f
		}
	}
	return goesOn
}

func (t legacyTable) obey(name string, number int, r legacyRule, matched answer, p Packet, w *walk, depth int) (f fate, over bool) {
	switch r.target {
	case "DROP", "REJECT":
		w.drop(matched, fmt.Sprintf("%s -t %s, chain %s, rule %d", t.program, t.name, name, number), t.mend(fmt.Sprintf("-I %s %d", text.ShellWord(name), number), p))
		return dropped, matched == yes
	case "ACCEPT", "QUEUE", "NFQUEUE":
		f = accepted
	case "RETURN":
		f = goesOn
	default:
		if r.untracks {
			w.untrack(matched)
		}
		if t.chains[r.target] == nil {
			return goesOn, false // LOG, MARK and the like
		}
		before := w.doubtful
		w.doubtful = before || matched != yes
		f = t.run(r.target, p, w, depth+1)
		if matched == yes {
			return f, f != goesOn || r.jumps == forGood
		}
		w.doubtful = before || f == accepted || r.jumps == forGood
		return goesOn, false
	}
	if matched == yes {
		return f, true
	}
	w.doubtful = true
	return goesOn, false
}

// mend is the command that lets a packet through, and nothing else.
func (t legacyTable) mend(where string, p Packet) string {
	words := []string{t.program, "-t", t.name, where}
	if p.Direction == In {
		words = append(words, "-i", text.ShellWord(p.Interface))
	} else {
		words = append(words, "-o", text.ShellWord(p.Interface))
	}
	if p.Source.IsValid() {
		words = append(words, "-s", p.Source.String())
	}
	switch protocol := protocolNames[p.Protocol]; {
	case protocol == "udp" && p.Port != 0:
		words = append(words, "-d", p.Destination.String(), "-p udp --dport", fmt.Sprint(p.Port))
	case protocol == "udp":
		words = append(words, "-d", p.Destination.String(), "-p udp")
	case protocol == "ipv6-icmp":
		words = append(words, "-p ipv6-icmp --icmpv6-type", fmt.Sprint(p.Type))
	default:
		words = append(words, "-p", protocol)
	}
	return strings.Join(append(words, "-j ACCEPT"), " ")
}

func (r legacyRule) matches(p Packet) answer {
	matched := yes
	for _, t := range r.tests {
		a := t.holds(p)
		if t.negated {
			a = a.not()
		}
		matched = matched.and(a)
	}
	return matched
}

// parseLegacy reads what iptables-save prints.
func parseLegacy(text string, f ifwatch.Family, program string) []legacyTable {
	var tables []legacyTable
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "*"):
			tables = append(tables, legacyTable{f, program, line[1:], make(map[string]*legacyChain)})
		case len(tables) == 0:
		case strings.HasPrefix(line, ":"):
			if words := strings.Fields(line[1:]); len(words) >= 2 {
				policy := words[1]
				if policy == "-" {
					policy = ""
				}
				tables[len(tables)-1].chains[words[0]] = &legacyChain{policy: policy}
			}
		case strings.HasPrefix(line, "-A "):
			words := splitWords(line)
			if c := tables[len(tables)-1].chains[words[1]]; c != nil {
				c.rules = append(c.rules, parseLegacyRule(words[2:]))
			}
		}
	}
	return slices.DeleteFunc(tables, func(t legacyTable) bool { return t.passesAll() })
}

// passesAll reports whether a table has no rule, and lets everything through.
func (t legacyTable) passesAll() bool {
	for _, c := range t.chains {
		if len(c.rules) > 0 || c.policy == "DROP" {
			return false
		}
	}
	return true
}

// splitWords takes a line apart, but not what is in double quotes.
func splitWords(line string) []string {
	var words []string
	var word strings.Builder
	quoted, escaped := false, false
	for _, r := range line {
		switch {
		case escaped:
			word.WriteRune(r)
			escaped = false
		case quoted && r == '\\':
			escaped = true
		case r == '"' && (quoted || word.Len() == 0): // in a name of an interface it is none
			quoted = !quoted
		case r == ' ' && !quoted:
			words = append(words, word.String())
			word.Reset()
		default:
			word.WriteRune(r)
		}
	}
	return append(words, word.String())
}

// parseLegacyRule reads the words behind the chain. What stands alone, without
// a value, takes the next option for none.
func parseLegacyRule(words []string) legacyRule {
	var r legacyRule
	negated := false
	for n := 0; n < len(words); n++ {
		option := words[n]
		if option == "!" {
			negated = true
			continue
		}
		value := ""
		names := option == "-i" || option == "-o" // whatever begins with a dash or not
		if n+1 < len(words) && (names || !strings.HasPrefix(words[n+1], "-") && words[n+1] != "!") {
			n++
			value = words[n]
		}
		switch option {
		case "-j", "-g":
			r.target, r.jumps = value, jump(option)
			r.untracks = value == "NOTRACK" || value == "CT" && slices.Contains(words[n:], "--notrack")
			return r // what follows are options of the target
		case "-m":
			if value == rpfilter {
				r.tests = append(r.tests, test{option: rpfilter})
			}
		case "--validmark", "--accept-local", "--comment":
		case "--loose", "--invert":
			r.refine(option)
		default:
			r.tests = append(r.tests, test{negated, option, value})
		}
		negated = false
	}
	return r
}

// refine adds an option that another condition without a value is to be read with.
func (r *legacyRule) refine(option string) {
	last := len(r.tests) - 1
	switch {
	case last < 0 || r.tests[last].option != rpfilter:
		r.tests = append(r.tests, test{option: option})
	case option == "--invert":
		r.tests[last].negated = true
	default:
		r.tests[last].option = option // is not known
	}
}
