package config

import (
	"path"
	"path/filepath"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/ssmd-project/ssmd/internal/monitor"
	"github.com/ssmd-project/ssmd/membership"
)

// Hook is a command that runs when something happens to a membership.
type Hook struct {
	// Command is an absolute path and its arguments. No shell reads it.
	Command []string `yaml:"command,flow"`

	// On are words of HookEvents, at least one.
	On []string `yaml:"on,flow"`

	// Names are patterns of memberships' names as path.Match has them, of which one
	// must match. None: all memberships, and events that are about none.
	Names []string `yaml:"names,flow,omitempty"`

	// Timeout is after which it is killed, with all that it started.
	Timeout time.Duration `yaml:"timeout"`

	// Line and Column are where the command stands in the file.
	Line, Column int `yaml:"-"`
}

// Equal reports whether two hooks are the same, wherever they stand.
func (h Hook) Equal(o Hook) bool {
	return slices.Equal(h.Command, o.Command) && slices.Equal(h.On, o.On) && slices.Equal(h.Names, o.Names) && h.Timeout == o.Timeout
}

// Wants reports whether a hook is for a word of HookEvents about a membership,
// whose name is empty where it is about none.
func (h Hook) Wants(word, name string) bool {
	if !slices.Contains(h.On, word) {
		return false
	}
	return len(h.Names) == 0 || slices.ContainsFunc(h.Names, func(pattern string) bool {
		matched, _ := path.Match(pattern, name)
		return matched
	})
}

// The bounds of hooks.
const (
	maxHooks           = 64
	defaultHookTimeout = 10 * time.Second
	shortestTimeout    = 100 * time.Millisecond
	longestTimeout     = time.Minute
)

// HookEvents returns what a hook can run on: the types of events, and the states
// that a membership can come to, but for detached, which is an event.
func HookEvents() []string {
	words := wordsOf(slices.Concat(membership.EventTypes(), monitor.EventTypes()))
	for _, s := range membership.States() {
		if !slices.Contains(words, string(s)) {
			words = append(words, string(s))
		}
	}
	return words
}

func hookKeyList() []Key {
	word := form{"", object{"type": "string"}}
	return []Key{
		newKey("command", "", listForm(word, "an absolute path, or a list of that and arguments", 1), "What to run. No shell reads it: each element is one argument as it is."),
		newKey("on", "", choicesForm(1, HookEvents()...), "When to run it: on types of events, or when a membership comes to a state."),
		newKey("names", "", listForm(word, "a pattern, or a list of them", 1), "Of which memberships, by patterns of their names; without it, of all."),
		newKey("timeout", "", durationForm(), "After which it is killed, with all that it started: from 100ms to 1m, 10s unless given."),
	}
}

func hooksKey() Key {
	k := Key{Name: "hooks", Doc: "Commands to run when something happens to a membership.", Below: hookKeyList()}
	one := mappingForm(k.Below).schema
	one["required"] = []any{"command", "on"}
	k.form = orNothing(form{"a list of mappings", object{"type": "array", "items": one, "maxItems": maxHooks}})
	k.Values = k.form.words
	return k
}

// hooks reads the list.
func (r *reader) hooks(n *yaml.Node, at *place, c *Settings) {
	n = deref(n)
	switch {
	case n.Kind != yaml.SequenceNode || n.Tag != "!!seq":
		r.fail(n, at, "%s, want a list of hooks", describe(n))
		return
	case len(n.Content) > maxHooks:
		r.fail(n, at, "%d hooks, want at most %d", len(n.Content), maxHooks)
		return
	}
	known := hookKeys()
	r.each(n, at, func(n *yaml.Node, at *place) {
		here := *at
		f, ok := r.mapping(n, &here, known, `a mapping, as "command:"`)
		if !ok {
			return
		}
		h := Hook{Timeout: defaultHookTimeout}
		h.Command = r.command(n, f, &here)
		if v, ok := f["command"]; ok {
			h.Line, h.Column = v.value.Line, v.value.Column
		}
		if v, ok := f["on"]; ok {
			if h.On, ok = choices(r, v.value, here.at("on"), HookEvents()...); ok && len(h.On) == 0 {
				r.fail(deref(v.value), here.at("on"), "an empty list, want at least one, for example attached")
			}
		} else {
			r.fail(n, here.at("on"), "missing, want for example [attached, detached, reattached]")
		}
		if v, ok := f["names"]; ok {
			h.Names = r.namePatterns(v.value, here.at("names"))
		}
		if v, ok := f["timeout"]; ok {
			h.Timeout = r.hookTimeout(v.value, here.at("timeout"))
		}
		c.Hooks = append(c.Hooks, h)
	})
}

func hookKeys() keys { return keys{known: keyNames(hookKeyList())} }

func (r *reader) command(n *yaml.Node, f fields, at *place) []string {
	at = at.at("command")
	v, ok := f["command"]
	if !ok {
		r.fail(n, at, "missing, want for example [/usr/local/bin/notify, --verbose]")
		return nil
	}
	var command []string
	count := r.each(v.value, at, func(n *yaml.Node, at *place) {
		text, ok := r.text(n, at, "a word of the command")
		if ok && len(command) == 0 && !filepath.IsAbs(text) {
			r.fail(n, at, "%s is no absolute path, want for example /usr/local/bin/notify; arguments are elements of their own", quote(text))
		}
		command = append(command, text)
	})
	if count == 0 {
		r.fail(deref(v.value), at, "an empty list, want at least a path")
	}
	return command
}

func (r *reader) namePatterns(n *yaml.Node, at *place) []string {
	var patterns []string
	count := r.each(n, at, func(n *yaml.Node, at *place) {
		text, ok := r.text(n, at, "a pattern of names")
		if _, err := path.Match(text, ""); ok && (err != nil || text == "") {
			r.fail(n, at, "pattern %s is malformed, want for example feed-*", quote(text))
		}
		patterns = append(patterns, text)
	})
	if count == 0 {
		r.fail(deref(n), at, "an empty list, want at least one pattern, or no such key for all memberships")
	}
	return patterns
}

func (r *reader) hookTimeout(n *yaml.Node, at *place) time.Duration {
	d, ok := r.duration(n, at)
	if ok && (d < shortestTimeout || d > longestTimeout) {
		r.fail(deref(n), at, "%s is no time that a hook may take, want from %s to %s", d, shortestTimeout, longestTimeout)
	}
	return d
}
