// Package text tells what a terminal shows as it is.
package text

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Printable reports whether a text is UTF-8 without control characters and the
// like: it cannot drive a terminal, nor look like another text.
func Printable(text string) bool {
	return utf8.ValidString(text) && strings.IndexFunc(text, unprintable) < 0
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }
