package config

import (
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// Parse reads the content of one configuration file; file is its name in
// errors. It is strict and finds everything that is wrong, as Errors, unless
// the YAML itself is broken: then only that. After 1,000 errors it stops. An
// empty file is a configuration without memberships. All memberships together
// may have a million channels, and a million patterns for interfaces. What the
// file includes is left out: Load reads it.
func Parse(file string, data []byte) (Config, error) {
	c, _, err := parseWhole(file, data, nil)
	return c, err
}

// parse reads a file and what it includes.
func parse(file string, data []byte, g *gatherer) (Packed, error) {
	c, r, err := parseWhole(file, data, g)
	if err != nil {
		return Packed{}, err
	}
	p := Pack(c)
	if r != nil {
		g.sources.reading = newReading(data, p, r)
	}
	return p, nil
}

// parseWhole reads a file and, with a gatherer, what it includes. The reader is
// nil where the file is empty.
func parseWhole(file string, data []byte, g *gatherer) (Config, *reader, error) {
	root, err := document(file, data)
	if err != nil {
		return Config{}, nil, err
	}
	c := Config{Settings: defaults()}
	c.File = file
	if root == nil || isNull(root) {
		return c, nil, nil
	}
	r := newReader(file, len(data))
	r.top(root, &c)
	if g != nil {
		r.includeAll(g, &c)
	}
	r.errs.sort()
	r.errs = append(r.before, r.errs...)
	if r.stopped {
		r.errs = append(r.errs, Error{File: file, Message: "checking stopped here, there may be more errors"})
	}
	if err := r.errs.orNil(); err != nil {
		return Config{}, nil, err
	}
	c.Monitors = r.monitors
	return c, r, nil
}

// isNull finds a key whose value is absent, as where all that is below it is
// commented out.
func isNull(n *yaml.Node) bool {
	n = deref(n)
	return n.Kind == yaml.ScalarNode && n.Tag == "!!null" && n.Value == ""
}

func topKeys() keys {
	return keys{known: keyNames(Keys())}
}

func (r *reader) top(root *yaml.Node, c *Config) {
	var at *place
	f, ok := r.mapping(root, at, topKeys(), `a mapping, as "memberships:"`)
	if !ok {
		return
	}
	for _, section := range []string{"log", "control", "handoff", "http", "pace"} {
		if s, ok := f[section]; ok && !isNull(s.value) {
			r.section(s.value, at.at(section), section, &c.Settings)
		}
	}
	r.settings("", f, at, &c.Settings)
	if a, ok := f["audit"]; ok && !isNull(a.value) {
		r.audit(a.value, at.at("audit"), &c.Settings)
	}
	if i, ok := f["include"]; ok && !isNull(i.value) {
		r.include(i.value, at.at("include"))
	}
	if h, ok := f["hooks"]; ok && !isNull(h.value) {
		r.hooks(h.value, at.at("hooks"), &c.Settings)
	}
	r.base = r.wishes(f, at, c)
	if m, ok := f["memberships"]; ok && m.value.Kind == yaml.SequenceNode {
		r.lines = linesOf(m.value)
	}
}

// wishes reads the memberships of one file, with the defaults of that file, which
// it returns.
func (r *reader) wishes(f fields, at *place, c *Config) (base wish) {
	if d, ok := f["defaults"]; ok && !isNull(d.value) {
		base = r.defaults(d.value, at.at("defaults"))
	}
	if m, ok := f["memberships"]; ok && !isNull(m.value) {
		c.Memberships = r.memberships(m.value, at.at("memberships"), base, c.Memberships)
	}
	return base
}

// section reads log, control, handoff, http or pace.
func (r *reader) section(n *yaml.Node, at *place, name string, c *Settings) {
	var k keys
	for _, s := range settingsOf(name) {
		k.known = append(k.known, s.key)
	}
	if f, ok := r.mapping(n, at, k, `a mapping, as "`+k.known[0]+`:"`); ok {
		r.settings(name, f, at, c)
	}
}

func settingsOf(section string) []setting {
	return slices.DeleteFunc(settings(), func(s setting) bool { return s.section != section })
}

// settings reads those of one section.
func (r *reader) settings(section string, f fields, at *place, c *Settings) {
	for _, s := range settingsOf(section) {
		value, ok := f[s.key]
		if !ok {
			continue
		}
		at := at.at(s.key)
		if text, ok := r.setting(s.key, value.value, at); ok {
			if err := s.set(c, text); err != nil {
				r.fail(deref(value.value), at, "%v", err)
			}
		}
	}
}

// setting reads a value as the text that a flag would give.
func (r *reader) setting(key string, n *yaml.Node, at *place) (string, bool) {
	switch {
	case key == "mode":
		return r.mode(n, at)
	case key == "status":
		value, ok := r.truth(n, at)
		return strconv.FormatBool(value), ok
	case key == "joins_per_second":
		return r.numberText(n, at, wantJoins)
	case key == "limit":
		return r.numberText(n, at, wantLimit)
	}
	return r.text(n, at, "a string")
}

// numberText reads a number that is not quoted, as it is written.
func (r *reader) numberText(n *yaml.Node, at *place, want string) (string, bool) {
	n = deref(n)
	if n.Tag != "!!int" {
		r.fail(n, at, "%s, want %s", describe(n), want)
		return "", false
	}
	return n.Value, true
}
