package main

import (
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
)

// entryFlag is a flag for a key of a membership. What it is given becomes an
// entry as it stands in the file: whether it is right the daemon says, in the
// words of the file.
type entryFlag struct {
	path  string // of the key in the file, as reattach.policy
	name  string // of the flag
	usage string
	add   func(*pflag.FlagSet, entryFlag) (value func() any)
}

// entryFlags returns a flag for every key that a membership may have.
func entryFlags() []entryFlag {
	return []entryFlag{
		{"name", "name", "`name` of the membership (default: made of the channel and the interface)", word},
		{"channels", "channels", "further `channels`, as 10.1.0.1@232.1.1.1", words},
		{"groups", "groups", "`groups`, prefixes or ranges; with --sources", words},
		{"sources", "sources", "`sources`, each with every group", words},
		{"allow_any_range", "allow-any-range", "take groups that are not source-specific too", truth},
		{"interface", "interface", "which interface: a name, or an `attribute=pattern` as kind=veth; may be given again", selectors},
		{"attach", "attach", "attach to `one` or all accepted interfaces", word},
		{"ambiguous", "ambiguous", "where several are accepted: `hold`, oldest or newest", word},
		{"netns", "netns", "network `namespace`, by name or path", word},
		{"require", "require", "what an interface must have: `up`, carrier, address", words},
		{"reattach.policy", "policy", "which interface may take a lost one's place: `match`, same, approve or never", word},
		{"reattach.same", "same", "`attributes` that must be the same, with --policy same", words},
		{"reattach.settle", "settle", "how long an interface must be accepted before a join, a `time` as 200ms", word},
		{"reattach.within", "within", "for how long a lost interface may be replaced, a `time`; 0 for no limit", word},
		{"reattach.limit", "limit", "at most so many reattachments in a time, `count/time` as 5/1m; 0 for no limit", limit},
		{"reattach.when", "when", "an `expression` that must hold for a reattachment", word},
		{"on_change", "on-change", "`keep` or leave an interface that no longer matches", word},
		{"reannounce", "reannounce", "when to tell the network anew, `key=value` as carrier=false,every=5m", switches},
		{"monitor", "monitor", "how to watch the streams, `key=value` as port=5001,stalled_after=2s,rtp=true", streams},
		{"on_stall", "on-stall", "what to do when a stream has stalled: `reannounce`", words},
	}
}

// ruleFlags returns those of them that say where and when something is joined,
// and not what.
func ruleFlags() []entryFlag {
	what := []string{"name", "channels", "groups", "sources", "allow_any_range", "netns", "attach"}
	return slices.DeleteFunc(entryFlags(), func(f entryFlag) bool { return slices.Contains(what, f.path) })
}

// addEntryFlags adds flags, and returns what makes an entry of those that were
// given.
func addEntryFlags(flags *pflag.FlagSet, all []entryFlag) (entry func() map[string]any) {
	values := make([]func() any, len(all))
	for i, f := range all {
		values[i] = f.add(flags, f)
	}
	return func() map[string]any {
		entry := make(map[string]any)
		for i, f := range all {
			if flags.Changed(f.name) {
				put(entry, f.path, values[i]())
			}
		}
		return entry
	}
}

// put sets a key below another, as in reattach.policy.
func put(entry map[string]any, path string, value any) {
	section, key, below := strings.Cut(path, ".")
	if !below {
		entry[path] = value
		return
	}
	if entry[section] == nil {
		entry[section] = make(map[string]any)
	}
	put(entry[section].(map[string]any), key, value)
}

func word(flags *pflag.FlagSet, f entryFlag) func() any {
	text := flags.String(f.name, "", f.usage)
	return func() any { return *text }
}

func words(flags *pflag.FlagSet, f entryFlag) func() any {
	list := flags.StringSlice(f.name, nil, f.usage)
	return func() any { return *list }
}

func truth(flags *pflag.FlagSet, f entryFlag) func() any {
	value := flags.Bool(f.name, false, f.usage)
	return func() any { return *value }
}

// selectors takes attributes with their patterns, which may be repeated, and
// plain names.
func selectors(flags *pflag.FlagSet, f entryFlag) func() any {
	list := flags.StringArray(f.name, nil, f.usage)
	return func() any { return selectorOf(*list) }
}

func selectorOf(texts []string) map[string][]string {
	attributes := make(map[string][]string)
	for _, text := range texts {
		attribute, pattern, ok := strings.Cut(text, "=")
		if !ok {
			attribute, pattern = "name", text
		}
		attributes[attribute] = append(attributes[attribute], pattern)
	}
	return attributes
}

// switches takes keys with their values, which are true, false or words.
func switches(flags *pflag.FlagSet, f entryFlag) func() any {
	list := flags.StringSlice(f.name, nil, f.usage)
	return func() any { return switchesOf(*list) }
}

func switchesOf(texts []string) map[string]any {
	values := make(map[string]any)
	for _, text := range texts {
		key, value, _ := strings.Cut(text, "=")
		values[key] = value
		if value == "true" || value == "false" {
			values[key] = value == "true"
		}
	}
	return values
}

// streams takes what switches does, and numbers.
func streams(flags *pflag.FlagSet, f entryFlag) func() any {
	list := flags.StringSlice(f.name, nil, f.usage)
	return func() any {
		values := switchesOf(*list)
		for key, value := range values {
			text, _ := value.(string)
			if number, err := strconv.ParseUint(text, 10, 32); err == nil {
				values[key] = number
			}
		}
		return values
	}
}

// limit takes COUNT/TIME.
func limit(flags *pflag.FlagSet, f entryFlag) func() any {
	text := flags.String(f.name, "", f.usage)
	return func() any {
		count, per, both := strings.Cut(*text, "/")
		value := map[string]any{"count": count}
		if number, err := strconv.Atoi(count); err == nil {
			value["count"] = number
		}
		if both {
			value["per"] = per
		}
		return value
	}
}

// given returns the first of these flags that was given and is none of the
// names, empty where there is none.
func given(flags *pflag.FlagSet, except ...string) string {
	for _, f := range entryFlags() {
		if flags.Changed(f.name) && !slices.Contains(except, f.name) {
			return f.name
		}
	}
	return ""
}
