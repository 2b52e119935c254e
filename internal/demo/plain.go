package demo

import (
	"fmt"
	"io"
)

// plainColumns is the width of prose where there is no terminal.
const plainColumns = 80

// lines is the display without a terminal: one line after the other.
type lines struct {
	out io.Writer
}

func (d *lines) open() error {
	for _, l := range introduction(plainColumns) {
		if _, err := fmt.Fprintln(d.out, painter(false)(l)); err != nil {
			return err
		}
	}
	return nil
}

func (d *lines) show(v view, fresh int) error {
	for _, e := range v.log[len(v.log)-fresh:] {
		if _, err := fmt.Fprintln(d.out, plainLine(e)); err != nil {
			return err
		}
	}
	return nil
}

func (d *lines) close() error { return nil }

// plainLine writes an entry in one line. What is done is set off by an empty
// one.
func plainLine(e entry) string {
	before := ""
	if e.kind == kindStep {
		before = "\n"
	}
	return before + fmt.Sprintf("%s  %-*s  %s", stamp(e.at), kindWidth, e.kind, e.text)
}

// introduction says what there is to see.
func introduction(columns int) []line {
	const text = "ssmd demo: a private network, gone when this ends. A sender on one side sends 500 " +
		"datagrams a second to each of two channels; on the other side, behind eth0, two receivers listen:"
	var all []line
	for _, t := range wrap(text, columns) {
		all = append(all, lineOf(t))
	}
	return append(all, nil,
		lineOf(fmt.Sprintf("  plain receiver  joined %s by itself, once", channel(plain))),
		lineOf(fmt.Sprintf("  held by ssmd    joined nothing: ssmd holds %s for it", channel(held))),
		nil,
		lineOf("ssmd's rules: interface: eth0, reattach: {policy: same, same: [subnet]}"))
}
