package firewall

import (
	"slices"
	"strings"
)

// Certainty is how sure it is that a packet is dropped.
type Certainty string

// The certainties. What may be dropped depends on what is not known of the
// packet, or on what is not read of a rule.
const (
	Certain Certainty = "certain"
	Perhaps Certainty = "perhaps"
)

// Drop is a place where a packet is dropped.
type Drop struct {
	Certainty Certainty
	Place     string // as "nft inet filter input, rule handle 7"
	Mend      string // the command that lets this packet through there, and no other
}

// Rules are those of one network namespace.
type Rules struct {
	tables []table
	legacy []legacyTable

	// Err says why some were not read. What was is judged nevertheless.
	Err error
}

// Drops returns where a packet is dropped, once for each chain in which it is.
func (r Rules) Drops(p Packet) []Drop {
	drops, untracked := r.run(p)
	if untracked != "" {
		p.untracked = untracked
		drops, _ = r.run(p)
	}
	slices.SortFunc(drops, func(a, b Drop) int { return strings.Compare(a.Place, b.Place) })
	return drops
}

// run has all tables judge a packet. What one says of connection tracking others
// go by, so a packet that was kept from it is run again.
func (r Rules) run(p Packet) (drops []Drop, untracked answer) {
	for _, t := range r.tables {
		d, u := t.drops(p)
		drops, untracked = append(drops, d...), either(untracked, u)
	}
	for _, t := range r.legacy {
		d, u := t.drops(p)
		drops, untracked = append(drops, d...), either(untracked, u)
	}
	return drops, untracked
}

// Empty reports whether there is no rule at all.
func (r Rules) Empty() bool { return len(r.tables) == 0 && len(r.legacy) == 0 }

// answer is what comes of a comparison.
type answer string

const (
	yes     answer = "yes"
	no      answer = "no"
	perhaps answer = "perhaps"
)

func answerOf(b bool) answer {
	if b {
		return yes
	}
	return no
}

// not turns an answer round.
func (a answer) not() answer {
	switch a {
	case yes:
		return no
	case no:
		return yes
	}
	return perhaps
}

// and is no where either is, and yes where both are.
func (a answer) and(b answer) answer {
	switch {
	case a == no || b == no:
		return no
	case a == yes && b == yes:
		return yes
	}
	return perhaps
}

// either is the surer of two answers, of which an empty one is none.
func either(a, b answer) answer {
	if a == "" || b == yes {
		return b
	}
	return a
}

// walk is one way of a packet through a base chain and those below it.
type walk struct {
	doubtful bool // something may have let the packet through before
	rules    int  // that were tried
	drops    []Drop

	untracked answer // empty: no rule keeps it from connection tracking
}

// untrack notes that a rule keeps the packet from connection tracking.
func (w *walk) untrack(matched answer) {
	if w.doubtful && matched == yes {
		matched = perhaps
	}
	if matched != no {
		w.untracked = either(w.untracked, matched)
	}
}

// drop notes a place; the first that is certain is the last.
func (w *walk) drop(matched answer, place, mend string) {
	certainty := Certain
	if w.doubtful || matched != yes {
		certainty = Perhaps
	}
	if certainty == Perhaps && len(w.drops) > 0 {
		return // one is enough
	}
	w.drops = append(w.drops, Drop{certainty, place, mend})
}

// fate is what a chain does with a packet.
type fate string

const (
	goesOn   fate = "goes on" // at the rule after the one that led to the chain
	accepted fate = "accepted"
	dropped  fate = "dropped"
)

// deepest is how far chains may lead to others; the kernel allows 16. Chains that
// lead to each other many times over could take for ever.
const (
	deepest   = 32
	mostRules = 1 << 20
)

// tired counts a rule, and reports whether it is one too many.
func (w *walk) tired() bool {
	w.rules++
	w.doubtful = w.doubtful || w.rules > mostRules
	return w.rules > mostRules
}
