package config

import (
	"errors"
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/ssmd-project/ssmd/reattach"
)

func limitKeys() keys { return keys{known: keyNames(limitKeyList())} }

// reattachRest reads what of reattach is no policy, key by key over what is
// inherited.
func (r *reader) reattachRest(f fields, at *place, w *wish) {
	rules := &w.Rules
	if v, ok := f["settle"]; ok {
		rules.Settle, _ = r.duration(v.value, at.at("settle"))
	}
	if v, ok := f["within"]; ok {
		rules.Within, _ = r.duration(v.value, at.at("within"))
	}
	if v, ok := f["limit"]; ok {
		rules.Limit = r.limit(v.value, at.at("limit"), rules.Limit)
	}
	if v, ok := f["when"]; ok {
		rules.When = r.when(v.value, at.at("when"))
	}
	// What is inherited may be at fault as well: the error is said where
	// it can be mended.
	if v, ok := f["settle"]; rules.Within > 0 && rules.Settle >= rules.Within {
		if !ok {
			v = f["within"]
		}
		if v.value != nil {
			r.fail(deref(v.value), at.at("settle"), "%s, want less than within, %s: nothing would settle in time", rules.Settle, rules.Within)
			rules.Settle = 0 // said once
		}
	}
}

func (r *reader) limit(n *yaml.Node, at *place, limit reattach.Limit) reattach.Limit {
	f, ok := r.mapping(n, at, limitKeys(), "a mapping, for example {count: 5, per: 1m}")
	if !ok {
		return limit
	}
	good := true
	if v, ok := f["count"]; ok {
		limit.Count, good = r.count(v.value, at.at("count"))
	} else if limit.Count == 0 {
		r.fail(deref(n), at.at("count"), "missing, want for example 5, or 0 for no limit")
		good = false
	}
	if v, ok := f["per"]; ok {
		var read bool
		limit.Per, read = r.duration(v.value, at.at("per"))
		if read && limit.Per == 0 && limit.Count > 0 {
			r.fail(deref(v.value), at.at("per"), "0, want more, for example 1m")
			read = false
		}
		good = good && read
	} else if limit.Count > 0 && limit.Per == 0 {
		r.fail(deref(n), at.at("per"), "missing, want for example 1m")
		good = false
	}
	if !good || limit.Count == 0 {
		return reattach.Limit{}
	}
	return limit
}

// count reads how many reattachments are allowed.
func (r *reader) count(n *yaml.Node, at *place) (int, bool) {
	n = deref(n)
	number, err := strconv.Atoi(n.Value)
	if n.Kind != yaml.ScalarNode || n.Tag != "!!int" || err != nil || strconv.Itoa(number) != n.Value || number < 0 || number > reattach.MaxLimit {
		r.fail(n, at, "%s, want a number from 1 to %d, or 0 for no limit", describe(n), reattach.MaxLimit)
		return 0, false
	}
	return number, true
}

// duration reads a time with its unit. Zero needs none.
func (r *reader) duration(n *yaml.Node, at *place) (time.Duration, bool) {
	const want = "a time with its unit, for example 200ms, 10s or 1h30m"
	text, ok := r.source(n, at, want)
	if !ok {
		return 0, false
	}
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		r.fail(deref(n), at, "%s is no time, want %s", quote(text), want)
	case d < 0:
		r.fail(deref(n), at, "%s is negative, want 0 or more", quote(text))
	default:
		return d, true
	}
	return 0, false
}

// compiled is what became of an expression: memberships often share one.
type compiled struct {
	when *reattach.When
	err  error
}

// when reads an expression. An empty one takes away what is inherited.
func (r *reader) when(n *yaml.Node, at *place) *reattach.When {
	text, ok := r.text(n, at, "an expression, for example candidate.mtu >= previous.mtu")
	if !ok || text == "" {
		return nil
	}
	one, known := r.whens[text]
	if !known {
		one.when, one.err = reattach.ParseWhen(text)
		r.whens[text] = one
	}
	if one.err != nil {
		r.failWhen(deref(n), at, one.err)
	}
	return one.when
}

// failWhen says where in the file an expression is wrong, where that can be
// told: in quotes and over lines, characters are not where they seem.
func (r *reader) failWhen(n *yaml.Node, at *place, err error) {
	here := *n
	var where *reattach.WhenError
	if errors.As(err, &where) && where.Column > 0 && n.Style == 0 {
		here.Column += where.Column - 1
	}
	r.fail(&here, at, "%s", err)
}
