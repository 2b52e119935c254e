package config

import (
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/ssmd-project/ssmd/internal/text"
)

// text reads a string. A scalar that YAML takes for something else has to be
// quoted: what it reads as depends on who reads it.
func (r *reader) text(n *yaml.Node, at *place, want string) (string, bool) {
	n = deref(n)
	switch {
	case n.Kind == yaml.ScalarNode && n.Tag == "!!str":
		if !text.Printable(n.Value) {
			r.fail(n, at, "%s has a character that cannot be printed, want %s", quote(n.Value), want)
			return "", false
		}
		return n.Value, true
	case n.Kind == yaml.ScalarNode && n.Value != "" && scalarName(n.Tag) != "":
		r.fail(n, at, "%s, want %s: quote it, %s", describe(n), want, quote(n.Value))
	case n.Kind == yaml.ScalarNode && isLocalTag(n):
		r.fail(n, at, "%s, want %s: quote it, %s", describe(n), want, quote(n.Tag+n.Value))
	default:
		r.fail(n, at, "%s, want %s", describe(n), want)
	}
	return "", false
}

// isLocalTag finds the pattern !eth0 that was not quoted.
func isLocalTag(n *yaml.Node) bool {
	return n.Value == "" && strings.HasPrefix(n.Tag, "!") && !strings.HasPrefix(n.Tag, "!!")
}

// source reads what cannot be taken for anything but what it is, as an
// address: the text as it stands in the file, also where YAML sees a number.
func (r *reader) source(n *yaml.Node, at *place, want string) (string, bool) {
	n = deref(n)
	if n.Kind == yaml.ScalarNode && (n.Tag == "!!int" || n.Tag == "!!float") {
		return n.Value, true
	}
	return r.text(n, at, want)
}

// truth reads true or false.
func (r *reader) truth(n *yaml.Node, at *place) (value, ok bool) {
	n = deref(n)
	if n.Kind == yaml.ScalarNode && n.Tag == "!!bool" {
		value, err := strconv.ParseBool(n.Value)
		if err == nil {
			return value, true
		}
	}
	r.fail(n, at, "%s, want true or false, without quotes", describe(n))
	return false, false
}

// pattern reads a glob. Of numeric attributes a plain decimal number is one
// too.
func (r *reader) pattern(n *yaml.Node, at *place, numeric bool, want string) (string, bool) {
	n = deref(n)
	if !numeric || n.Kind != yaml.ScalarNode || n.Tag != "!!int" {
		return r.text(n, at, want)
	}
	number, err := strconv.ParseUint(n.Value, 10, 32)
	if err == nil && strconv.FormatUint(number, 10) == n.Value {
		return n.Value, true
	}
	r.fail(n, at, "%s is not a plain decimal number, and readers of YAML disagree on what it is, want for example 10", shorten(n.Value))
	return "", false
}

// mode reads permission bits. Without quotes YAML sees a number, which is
// octal only with a leading zero.
func (r *reader) mode(n *yaml.Node, at *place) (string, bool) {
	n = deref(n)
	if n.Kind != yaml.ScalarNode || n.Tag != "!!int" && n.Tag != "!!float" {
		return r.text(n, at, `octal digits in quotes, for example "0660"`)
	}
	if !strings.HasPrefix(n.Value, "0") {
		r.fail(n, at, "%s without quotes is a decimal number, %v", shorten(n.Value), errMode)
		return "", false
	}
	return n.Value, true
}

// choice reads one of a few words.
func choice[T ~string](r *reader, n *yaml.Node, at *place, allowed ...T) (T, bool) {
	words := wordsOf(allowed)
	text, ok := r.text(n, at, oneOf(words))
	if !ok {
		return "", false
	}
	if !slices.Contains(words, text) {
		r.fail(deref(n), at, "unknown value %s, want %s%s", quote(text), oneOf(words), didYouMean(text, words))
		return "", false
	}
	return T(text), true
}

// choices reads a list of words, each at most once. It never returns nil where
// the list is good, so that an empty list is told from none.
func choices[T ~string](r *reader, n *yaml.Node, at *place, allowed ...T) ([]T, bool) {
	list, good := []T{}, true
	r.each(n, at, func(n *yaml.Node, at *place) {
		one, ok := choice(r, n, at, allowed...)
		if ok && slices.Contains(list, one) {
			r.fail(n, at, "%s is given twice, want it once", one)
			ok = false
		}
		good = good && ok
		list = append(list, one)
	})
	return list, good
}

func wordsOf[T ~string](all []T) []string {
	words := make([]string, len(all))
	for i, one := range all {
		words[i] = string(one)
	}
	return words
}

func oneOf(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
