package main

import (
	"errors"
	"io"
)

// errCutShort says that a JSON text has no end, or is none.
var errCutShort = errors.New("read JSON: it is incomplete")

// indentJSON writes a JSON text as printJSON writes an object, while it comes:
// of a long one only a piece is in memory, and nothing in it is decoded. Text
// that is not JSON comes out as something else that is not.
func indentJSON(w io.Writer, r io.Reader) error {
	var in indenter
	piece := make([]byte, 32<<10)
	for {
		n, err := r.Read(piece)
		in.add(piece[:n])
		if _, err := w.Write(in.out); err != nil {
			return err
		}
		in.out = in.out[:0]
		switch {
		case err == io.EOF && !in.complete():
			return errCutShort
		case err == io.EOF:
			_, err := w.Write([]byte{'\n'})
			return err
		case err != nil:
			return err
		}
	}
}

// indenter sets JSON on lines of its own, piece by piece.
type indenter struct {
	out     []byte
	depth   int
	any     bool // there was something but space
	opened  bool // what was opened last has nothing in it yet
	quoted  bool // within a string
	escaped bool // behind a backslash
}

func (in *indenter) complete() bool { return in.any && in.depth == 0 && !in.quoted }

func (in *indenter) add(piece []byte) {
	for _, c := range piece {
		switch {
		case in.quoted:
			in.out = append(in.out, c)
			in.quoted = c != '"' || in.escaped
			in.escaped = c == '\\' && !in.escaped
		case c == ' ' || c == '\n' || c == '\t' || c == '\r':
		case c == '}' || c == ']':
			in.depth--
			if !in.opened {
				in.line()
			}
			in.opened = false
			in.out = append(in.out, c)
		default:
			in.value(c)
		}
	}
}

// value takes a byte outside of strings that closes nothing.
func (in *indenter) value(c byte) {
	if in.opened {
		in.line()
	}
	in.out = append(in.out, c)
	in.any, in.opened = true, c == '{' || c == '['
	switch c {
	case '{', '[':
		in.depth++
	case '"':
		in.quoted = true
	case ',':
		in.line()
	case ':':
		in.out = append(in.out, ' ')
	}
}

func (in *indenter) line() {
	in.out = append(in.out, '\n')
	for range in.depth {
		in.out = append(in.out, "  "...)
	}
}
