package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// document returns the root of the only document in a file, or nil where the
// file is empty.
func document(file string, data []byte) (*yaml.Node, error) {
	if e, ok := badCharacter(data); !ok {
		e.File = file
		return nil, Errors{e}
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var first, second yaml.Node
	if err := decode(decoder, &first); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, Errors{syntaxError(file, data, err)}
	}
	switch err := decode(decoder, &second); {
	case errors.Is(err, io.EOF):
		return first.Content[0], nil
	case err != nil:
		return nil, Errors{syntaxError(file, data, err)}
	}
	return nil, Errors{{File: file, Line: second.Line, Column: second.Column,
		Message: "a second document begins here, want one in a file"}}
}

// decode turns a panic of the YAML package into an error: a file must never
// end a daemon that runs.
func decode(d *yaml.Decoder, n *yaml.Node) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("yaml: %v", p)
		}
	}()
	return d.Decode(n)
}

// badCharacter finds what YAML 1.2, section 5.1, does not admit in a file.
func badCharacter(data []byte) (Error, bool) {
	line, column := 1, 1
	rest := bytes.TrimPrefix(data, []byte("\ufeff"))
	for len(rest) > 0 {
		c, size := utf8.DecodeRune(rest)
		switch {
		case c == utf8.RuneError && size == 1:
			return Error{Line: line, Column: column, Message: fmt.Sprintf("byte 0x%02x is not UTF-8, want a text file in UTF-8", rest[0])}, false
		case !admitted(c):
			return Error{Line: line, Column: column, Message: fmt.Sprintf("character %U, want only text", c)}, false
		case c == '\n':
			line, column = line+1, 0
		}
		column++
		rest = rest[size:]
	}
	return Error{}, true
}

func admitted(c rune) bool {
	switch {
	case c < 0x20:
		return c == '\t' || c == '\n' || c == '\r'
	case c < 0x7f:
		return true
	}
	return c == 0x85 || c >= 0xa0 && c != 0xfeff && c != 0xfffe && c != 0xffff
}

// syntaxError translates an error of the YAML package. It says no column, and
// of some errors only where the mapping or list began that went wrong.
func syntaxError(file string, data []byte, err error) Error {
	message := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 0
	if rest, ok := strings.CutPrefix(message, "line "); ok {
		if number, text, ok := strings.Cut(rest, ": "); ok {
			line, _ = strconv.Atoi(number)
			message = text
		}
	}
	switch {
	case isParserError(message):
		stumbled := lastLine(bytes.TrimRight(consumed(data), " \t\r\n"))
		if began := line + 1; began < stumbled {
			message += fmt.Sprintf(" in what began on line %d", began)
		}
		line = stumbled
	case strings.Contains(message, "violates indentation"):
		line = lastLine(consumed(data))
	case line == 0:
		line = anchorAt(data, message)
	}
	return Error{File: file, Line: line, Message: "YAML: " + message + syntaxHint(message, lineOf(data, line))}
}

// anchorAt returns the line of an unknown anchor, else, where the message is
// of something else, that at which reading stopped.
func anchorAt(data []byte, message string) int {
	read := bytes.TrimRight(consumed(data), " \t\r\n")
	_, rest, _ := strings.Cut(message, "unknown anchor '")
	if name, _, ok := strings.Cut(rest, "'"); ok {
		if i := bytes.LastIndex(read, []byte("*"+name)); i >= 0 {
			read = read[:i]
		}
	}
	return lastLine(read)
}

// isParserError finds the errors of the YAML package's parser, as against its
// scanner. Their line is counted from 0, and is that where a mapping or a list
// began.
func isParserError(message string) bool {
	rest, ok := strings.CutPrefix(message, "did not find expected ")
	for _, token := range []string{"<", "node", "key", "'-'", "','"} {
		if ok && strings.HasPrefix(rest, token) {
			return true
		}
	}
	return false
}

// consumed returns what the YAML package has to read before it finds its
// error.
func consumed(data []byte) []byte {
	counted := &byteReader{data: data}
	decoder := yaml.NewDecoder(counted)
	for {
		var n yaml.Node
		if decode(decoder, &n) != nil {
			return data[:counted.next]
		}
	}
}

// lastLine returns the number of the line on which a text ends.
func lastLine(text []byte) int { return bytes.Count(text, []byte("\n")) + 1 }

// byteReader hands out one byte at a time, so that who reads it has read
// little more than it understood.
type byteReader struct {
	data []byte
	next int
}

// Read returns the next byte.
func (r *byteReader) Read(p []byte) (int, error) {
	if r.next == len(r.data) {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	p[0] = r.data[r.next]
	r.next++
	return 1, nil
}

func lineOf(data []byte, line int) string {
	for range line - 1 {
		_, data, _ = bytes.Cut(data, []byte("\n"))
	}
	data, _, _ = bytes.Cut(data, []byte("\n"))
	return string(data)
}

// syntaxHint says what is behind the commonest errors.
func syntaxHint(message, line string) string {
	switch {
	case strings.HasPrefix(strings.TrimLeft(line, " "), "\t"):
		return ", want spaces: YAML is not indented with tabs"
	case strings.HasPrefix(message, "unknown anchor"),
		strings.Contains(message, "expected alphabetic or numeric character"):
		return `; a pattern that begins with "*" has to be in quotes`
	case strings.Contains(message, "expected whitespace or line break"):
		return `; a pattern that begins with "!" has to be in quotes`
	case strings.Contains(message, "cannot start any token"):
		return ", want the value in quotes"
	case strings.Contains(message, "expected node content"):
		return `, want a value, in quotes where it begins with a mark such as ":"`
	case strings.HasPrefix(message, "mapping values are not allowed"):
		return `, want a value with ": " in quotes, or the key on a line of its own, indented like its siblings`
	}
	return ""
}
