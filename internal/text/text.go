// Package text tells what a terminal shows as it is, and writes for people what
// it would not show, and times.
package text

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Printable reports whether a text is UTF-8 without control characters and the
// like: it cannot drive a terminal, nor look like another text.
func Printable(text string) bool {
	return utf8.ValidString(text) && strings.IndexFunc(text, unprintable) < 0
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }

// Escape returns words as a terminal shows them, with an escape for each
// character that it would not show: names and aliases of interfaces are somebody
// else's words and may hold escape sequences.
func Escape(words string) string {
	if Printable(words) {
		return words
	}
	var b strings.Builder
	for len(words) > 0 {
		_, size := utf8.DecodeRuneInString(words)
		if character := words[:size]; Printable(character) {
			b.WriteString(character)
		} else {
			b.WriteString(strings.Trim(strconv.Quote(character), `"`))
		}
		words = words[size:]
	}
	return b.String()
}

// ShellWord puts a word that a shell would not take as one into quotes: names
// are somebody else's words.
func ShellWord(word string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/:%@"
	if word != "" && strings.Trim(word, plain) == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// Age returns how long ago a moment was, as a person says it.
func Age(d time.Duration) string {
	d = max(d, 0).Truncate(time.Second)
	const day = 24 * time.Hour
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm%ds", d/time.Minute, d%time.Minute/time.Second)
	case d < day:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%dh", d/day, d%day/time.Hour)
}
