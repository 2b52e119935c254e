package handoffd

import (
	"bytes"
	"regexp"
	"strconv"
	"unicode/utf16"
)

// ofJSONAlone are the escapes of JSON (RFC 8259, section 7) that YAML reads
// otherwise: a slash, and a surrogate pair. Any other is passed over, two
// backslashes among them.
var ofJSONAlone = regexp.MustCompile(`\\/|\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|\\.`)

// asYAML returns a JSON text as YAML means the same.
func asYAML(text []byte) []byte {
	text = bytes.TrimSpace(text) // YAML is not to be indented by tabs
	return ofJSONAlone.ReplaceAllFunc(text, func(escape []byte) []byte {
		switch {
		case len(escape) == 12:
			high, _ := strconv.ParseUint(string(escape[2:6]), 16, 16)
			low, _ := strconv.ParseUint(string(escape[8:12]), 16, 16)
			return []byte(string(utf16.DecodeRune(rune(high), rune(low))))
		case escape[1] == '/':
			return escape[1:]
		}
		return escape
	})
}
