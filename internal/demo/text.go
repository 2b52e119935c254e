package demo

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// ink is how a piece of text is to look. Its value is the parameter of the
// escape sequence "select graphic rendition"; zero is plain text.
type ink string

const (
	bold   ink = "1"
	dim    ink = "2"
	red    ink = "31"
	green  ink = "32"
	yellow ink = "33"
	cyan   ink = "36"
)

// piece is text in one ink. Every character takes one column.
type piece struct {
	text string
	ink  ink
}

// line is a line of text, without its end.
type line []piece

func lineOf(text string) line { return line{{text: text}} }

func (l line) width() int {
	n := 0
	for _, p := range l {
		n += utf8.RuneCountInString(p.text)
	}
	return n
}

// cut returns the line with no more than so many columns.
func (l line) cut(columns int) line {
	var short line
	for _, p := range l {
		runes := []rune(p.text)
		if len(runes) > columns {
			return append(short, piece{string(runes[:max(0, columns)]), p.ink})
		}
		columns -= len(runes)
		short = append(short, p)
	}
	return short
}

// painter returns a function that writes a line with its inks, or without.
func painter(color bool) func(line) string {
	return func(l line) string {
		var b strings.Builder
		for _, p := range l {
			if color && p.ink != "" && strings.TrimSpace(p.text) != "" {
				b.WriteString("\x1b[" + string(p.ink) + "m" + p.text + "\x1b[0m")
			} else {
				b.WriteString(p.text)
			}
		}
		return strings.TrimRight(b.String(), " ")
	}
}

// wrap breaks text at spaces into lines of no more than so many columns. A
// word that is longer stands on a line of its own.
func wrap(text string, columns int) []string {
	var lines []string
	current := ""
	for word := range strings.FieldsSeq(text) {
		switch {
		case current == "":
			current = word
		case utf8.RuneCountInString(current)+1+utf8.RuneCountInString(word) <= columns:
			current += " " + word
		default:
			lines = append(lines, current)
			current = word
		}
	}
	return append(lines, current)
}

// thousands writes a number with commas.
func thousands(n uint64) string {
	text := ""
	for n >= 1000 {
		text = "," + padZero(n%1000) + text
		n /= 1000
	}
	return decimal(n) + text
}

func decimal(n uint64) string { return strconv.FormatUint(n, 10) }

func padZero(n uint64) string { return fmt.Sprintf("%03d", n) }

// pad fills text up with spaces.
func pad(text string, columns int) string {
	return text + spaces(columns-utf8.RuneCountInString(text))
}

func spaces(n int) string { return strings.Repeat(" ", max(0, n)) }
