package demo

import (
	"io"
	"strconv"
	"strings"
)

// screen is the display on a terminal: a picture redrawn in place.
type screen struct {
	out    io.Writer
	size   func() (columns, rows int)
	paint  func(line) string
	glyphs glyphs

	height  int // lines of the picture that stands there
	columns int // at its time
}

const (
	hideCursor = "\x1b[?25l"
	showCursor = "\x1b[?25h"
	clearBelow = "\x1b[J"
	clearRight = "\x1b[K"
	clearAll   = "\x1b[2J\x1b[H"
)

func (s *screen) open() error {
	_, err := io.WriteString(s.out, hideCursor)
	return err
}

func (s *screen) show(v view, _ int) error {
	columns, rows := s.size()
	var b strings.Builder
	switch {
	case s.columns != 0 && s.columns != columns:
		b.WriteString(clearAll) // the terminal broke the old lines anew
	case s.height > 0:
		b.WriteString("\r\x1b[" + strconv.Itoa(s.height) + "A")
	}
	picture := frame(v, s.glyphs, columns, rows)
	for _, l := range picture {
		b.WriteString(s.paint(l) + clearRight + "\r\n")
	}
	b.WriteString(clearBelow)
	s.height, s.columns = len(picture), columns
	_, err := io.WriteString(s.out, b.String())
	return err
}

func (s *screen) close() error {
	_, err := io.WriteString(s.out, "\r"+clearBelow+showCursor)
	return err
}
