package config

import (
	"strconv"
	"strings"
)

// place is where in the tree of keys and elements a value stands. It becomes
// text only where something is wrong.
type place struct {
	parent *place
	key    string // empty for an element of a list
	index  int    // of an element
	label  string // by which people know an element
}

func (p *place) at(key string) *place { return &place{parent: p, key: key} }

func (p *place) element(i int, label string) *place {
	return &place{parent: p, index: i, label: label}
}

// String returns the path, as memberships[1](feed-b).groups[0].
func (p *place) String() string {
	if p == nil {
		return ""
	}
	var b strings.Builder
	b.WriteString(p.parent.String())
	switch {
	case p.key == "":
		b.WriteString("[" + strconv.Itoa(p.index) + "]")
		if p.label != "" {
			b.WriteString("(" + p.label + ")")
		}
		return b.String()
	case b.Len() > 0:
		b.WriteString(".")
	}
	b.WriteString(plainKey(p.key))
	return b.String()
}

// maxShown is how many bytes of somebody's text an error shows.
const maxShown = 60

// plainKey returns a key as it stands in a path: quoted where it would not be
// told from the rest.
func plainKey(key string) string {
	if len(key) > maxShown || strings.ContainsFunc(key, func(r rune) bool { return !isKeyRune(r) }) {
		return quote(key)
	}
	return key
}

func isKeyRune(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '_' || r == '-' || r == '<'
}

// quote quotes a text, and shortens it where it is long.
func quote(text string) string {
	if len(text) > maxShown {
		return strconv.Quote(strings.ToValidUTF8(text[:maxShown], "")) + "..."
	}
	return strconv.Quote(text)
}
