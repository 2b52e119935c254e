package top

import (
	"unicode"
	"unicode/utf8"
)

// key is one that was pressed: one with a name, or text.
type key struct {
	name keyName
	text string
}

type keyName string

const (
	up        keyName = "up"
	down      keyName = "down"
	pageUp    keyName = "page up"
	pageDown  keyName = "page down"
	home      keyName = "home"
	end       keyName = "end"
	enter     keyName = "enter"
	escape    keyName = "escape"
	backspace keyName = "backspace"
	interrupt keyName = "interrupt"
)

// sequences are what terminals send for keys that are no text: xterm's, in both
// of its modes, and the Linux console's.
var sequences = map[string]keyName{
	"\x1b[A": up, "\x1b[B": down, "\x1bOA": up, "\x1bOB": down,
	"\x1b[5~": pageUp, "\x1b[6~": pageDown,
	"\x1b[H": home, "\x1b[F": end, "\x1bOH": home, "\x1bOF": end, "\x1b[1~": home, "\x1b[4~": end, "\x1b[7~": home, "\x1b[8~": end,
}

var controls = map[byte]keyName{'\r': enter, '\n': enter, 0x7f: backspace, '\b': backspace, 0x03: interrupt, 0x04: interrupt}

// decode reads the keys in what a terminal sent at once. A sequence that is not
// known is skipped whole; what is cut short is an escape.
func decode(sent []byte) []key {
	var keys []key
	for len(sent) > 0 {
		k, size := decodeOne(sent)
		sent = sent[size:]
		if k != (key{}) {
			keys = append(keys, k)
		}
	}
	return keys
}

func decodeOne(sent []byte) (key, int) {
	if name, found := controls[sent[0]]; found {
		return key{name: name}, 1
	}
	if sent[0] == 0x1b {
		size := sequenceLength(sent)
		if size == 1 {
			return key{name: escape}, 1
		}
		return key{name: sequences[string(sent[:size])]}, size
	}
	r, size := utf8.DecodeRune(sent)
	if r == utf8.RuneError || !unicode.IsPrint(r) {
		return key{}, size
	}
	return key{text: string(r)}, size
}

// sequenceLength is how long the escape sequence at the beginning is (ECMA-48,
// section 5.4): up to a final byte after CSI, one byte more after SS3.
func sequenceLength(sent []byte) int {
	switch {
	case len(sent) >= 3 && sent[1] == 'O':
		return 3
	case len(sent) < 3 || sent[1] != '[':
		return 1
	}
	for i, b := range sent[2:] {
		if b >= 0x40 && b <= 0x7e {
			return i + 3
		}
	}
	return len(sent)
}
