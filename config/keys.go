package config

import (
	"maps"
	"slices"
	"sync"

	"github.com/ssmd-project/ssmd/internal/monitor"
	"github.com/ssmd-project/ssmd/membership"
	"github.com/ssmd-project/ssmd/reattach"
)

// Key is a key of the file, for whoever tells people of it. The check, the
// schema and the manual page are made of the same keys.
type Key struct {
	Name    string // as it stands in the file
	Doc     string // what it says, in plain sentences
	Values  string // which values it takes, in words
	Default string // what holds without it, as it would stand in the file; empty where nothing does
	Below   []Key  // the keys of the mapping that it takes, if it takes one

	// Flag, without dashes, and Variable say the same outside of the file.
	// Empty where it is none of the daemon's own settings.
	Flag, Variable string

	form form
}

// Keys returns all keys of the file, in the order of the documentation. They
// are shared: nobody changes them.
func Keys() []Key { return fileKeys() }

// fileKeys and the lists below are made once, as each reading asks for them.
var fileKeys = sync.OnceValue(func() []Key {
	var all []Key
	for _, s := range settings() {
		if s.section == "" {
			all = append(all, s.asKey())
			continue
		}
		if last := len(all) - 1; last < 0 || all[last].Name != s.section {
			all = append(all, Key{Name: s.section, Doc: sectionDocs[s.section]})
		}
		section := &all[len(all)-1]
		section.Below = append(section.Below, s.asKey())
	}
	for i := range all {
		if all[i].Below != nil {
			all[i] = mappingKey(all[i])
		}
	}
	return append(all,
		newKey("audit", "30s", orNothing(durationForm()), "How often to compare what is joined with what the kernel lists, and to join again what is missing; 0: only where something hints at it. At least 1s."),
		newKey("include", "", orNothing(listForm(form{"", object{"type": "string", "minLength": 1}}, "a file, a directory or a pattern, or a list of them", 0)),
			"More files with memberships, and defaults of their own. A directory stands for what ends in .yaml in it. Relative to the directory of this file."),
		hooksKey(),
		mappingKey(Key{Name: "defaults", Doc: "What every membership of this file inherits, unless it says otherwise.", Below: sharedKeyList()}),
		membershipsKey(),
	)
})

var sectionDocs = map[string]string{
	"log":     "What the daemon logs to standard error, and how.",
	"control": "Where the control API listens, and who may use it.",
	"handoff": "Where applications hand over their sockets, to have them kept joined, and who may.",
	"http":    "Where metrics and health are told, and the status page is shown.",
	"pace":    "How fast to join, where something on the network does not bear all joins at once.",
}

func newKey(name, def string, f form, doc string) Key {
	return Key{Name: name, Doc: doc, Values: f.words, Default: def, form: f}
}

// mappingKey completes a key that takes a mapping, or nothing.
func mappingKey(k Key) Key {
	k.form = orNothing(mappingForm(k.Below))
	k.Values = k.form.words
	return k
}

func membershipsKey() Key {
	k := Key{Name: "memberships", Doc: "The memberships: which channels, on which interface, and what may replace that when it is gone.", Below: slices.Concat(ownKeyList(), sharedKeyList())}
	k.form = orNothing(form{"a list of mappings", object{"type": "array", "items": membershipSchema(k.Below)}})
	k.Values = k.form.words
	return k
}

// membershipSchema is what holds of one membership, but that it may inherit
// its interface.
func membershipSchema(keys []Key) object {
	schema := mappingForm(keys).schema
	schema["required"] = []any{"name"}
	schema["anyOf"] = []any{object{"required": []any{"channels"}}, object{"required": []any{"groups"}}}
	schema["dependencies"] = object{"groups": []any{"sources"}, "sources": []any{"groups"}}
	return schema
}

// ownKeyList has the keys that a membership does not inherit.
var ownKeyList = sync.OnceValue(func() []Key {
	channel := eitherForm("SOURCE@GROUP", channelIPv4, channelIPv6)
	group := eitherForm("an address", groupsIPv4, groupsIPv6)
	source := eitherForm("an address", ipv4, ipv6)
	return []Key{
		newKey("name", "", patternForm(`letters, digits, ".", "_" and "-"`, namePattern), "Names the membership in commands, events and logs. Unique, and not dots alone."),
		newKey("channels", "", listForm(channel, "SOURCE@GROUP, or a list", 1), "The channels, as 10.1.0.1@232.1.1.1, of either family."),
		newKey("groups", "", listForm(group, "an address, a prefix or a range, or a list", 1), "Groups, each with every source, as 232.1.1.1, 232.1.2.0/28 or 232.1.3.1-232.1.3.9."),
		newKey("sources", "", listForm(source, "an address, or a list", 1), "The sources of the groups."),
	}
})

// sharedKeyList has the keys that may stand under defaults too.
var sharedKeyList = sync.OnceValue(func() []Key {
	limit := mappingKeyWith(limitKeyList(), Key{Name: "limit", Default: "{count: 0}", Doc: "At most so many reattachments in any span of time; one more is held."})
	return []Key{
		newKey("allow_any_range", "false", truthForm(), "Take multicast groups outside 232.0.0.0/8 and ff3x::/32 too."),
		interfaceKey(),
		newKey("attach", "one", choiceForm(attaches...), "On how many of the accepted interfaces to join."),
		newKey("ambiguous", "hold", choiceForm(ambiguities...), "With attach one, what to do where several interfaces are accepted and the membership is on none."),
		newKey("netns", `""`, patternForm("a name or an absolute path", `^(/.*|[^/]*)$`), "The network namespace; empty: the daemon's own."),
		newKey("require", "[up]", choicesForm(0, requirements...), "What an interface needs before anything is joined on it."),
		mappingKey(Key{Name: "reattach", Doc: "Which new interface may take the place of one that is gone.", Below: []Key{
			newKey("policy", "match", choiceForm(policies...), "What is accepted. match: what interface and require accept; same: of that, what is the same in every attribute listed; approve: what somebody approved; never: nothing."),
			newKey("same", "", choicesForm(1, reattach.Attributes()...), "With policy same, the attributes that must equal those of the lost interface."),
			newKey("settle", "0s", durationForm(), "How long an interface must be accepted without a break before it is joined."),
			newKey("within", "0s", durationForm(), "How long after a loss the membership may be joined again; 0s: no limit."),
			limit,
			newKey("when", `""`, textForm("an expression"), "What must be true besides, of the new interface (candidate) and the lost one (previous), as candidate.mtu >= previous.mtu."),
		}}),
		newKey("on_change", "keep", choiceForm(onChanges...), "What to do when an interface that is joined stops matching."),
		mappingKey(Key{Name: "reannounce", Doc: "When to tell the network of the channels anew.", Below: reannounceKeyList()}),
		mappingKey(Key{Name: "monitor", Doc: "How to watch what comes in on the channels.", Below: monitorKeyList()}),
		newKey("on_stall", "[]", choicesForm(0, monitor.Actions()...), "What to do when a monitored stream has stalled. reannounce: tell the network of the channels anew."),
	}
})

// mappingKeyWith completes a key whose mapping may not be left empty.
func mappingKeyWith(below []Key, k Key) Key {
	k.Below, k.form = below, mappingForm(below)
	k.Values = k.form.words
	return k
}

var limitKeyList = sync.OnceValue(func() []Key {
	count := form{"a number, or 0 for no limit", object{"type": "integer", "minimum": 0, "maximum": reattach.MaxLimit}}
	return []Key{
		newKey("count", "0", count, "How many reattachments."),
		newKey("per", "", durationForm(), "The span of time."),
	}
})

var reannounceKeyList = sync.OnceValue(func() []Key {
	var all []Key
	for _, t := range membership.Triggers() {
		all = append(all, newKey(string(t), "true", truthForm(), triggerDocs[t]))
	}
	return append(all, newKey("every", "0s", durationForm(), "So much time has passed; at least 1s, 0s for never."))
})

var triggerDocs = map[membership.Trigger]string{
	membership.OnCarrier:     "The carrier came back, or the interface was set up again.",
	membership.OnNotifyPeers: "The kernel says that the peers are to be told, as after a migration or a bond's failover.",
	membership.OnAddress:     "The first address came, or one went and others are left.",
}

// keyNames are the names of keys.
func keyNames(all []Key) []string {
	result := make([]string, len(all))
	for i, k := range all {
		result[i] = k.Name
	}
	return result
}

// below returns the keys of the mapping that a key takes.
func below(all []Key, name string) []Key {
	for _, k := range all {
		if k.Name == name {
			return k.Below
		}
	}
	return nil
}

// schema is that of the key's value.
func (k Key) schema() object {
	schema := maps.Clone(k.form.schema)
	schema["description"] = k.Doc
	if value, ok := k.defaultValue(); ok {
		schema["default"] = value
	}
	return schema
}
