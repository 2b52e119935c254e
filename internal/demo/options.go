package demo

import (
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// Options say how the demonstration runs and how it is shown. The zero value
// works: plain lines of ASCII, in real time.
type Options struct {
	// Size returns the columns and rows of a terminal, where a picture is
	// redrawn in place. Nil: there is no terminal, and lines are written
	// one after the other without escape codes.
	Size func() (columns, rows int)

	Color   bool // color the picture; nothing without Size
	Unicode bool // draw with block elements, not with ASCII

	// Scale multiplies every pause of the scenario, which takes about 15
	// seconds. Zero means 1.
	Scale float64
}

// Detect returns options that suit what is written to. The picture needs a
// terminal that TERM does not call dumb, color an empty NO_COLOR, and block
// elements a locale of UTF-8. getenv is os.Getenv, or something like it.
func Detect(out io.Writer, getenv func(string) string) Options {
	o := Options{Unicode: isUTF8(getenv)}
	file, ok := out.(*os.File)
	if !ok || getenv("TERM") == "dumb" || !term.IsTerminal(int(file.Fd())) {
		return o
	}
	o.Color = getenv("NO_COLOR") == ""
	o.Size = func() (columns, rows int) {
		columns, rows, err := term.GetSize(int(file.Fd()))
		if err != nil || columns == 0 || rows == 0 {
			return 80, 24
		}
		return columns, rows
	}
	return o
}

// isUTF8 reports whether the locale's characters are UTF-8, by the first
// variable that says something, as setlocale(3) reads them.
func isUTF8(getenv func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if value := strings.ToLower(getenv(name)); value != "" {
			return strings.HasSuffix(value, "utf-8") || strings.HasSuffix(value, "utf8")
		}
	}
	return false
}
