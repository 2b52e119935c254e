package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/ssmd-project/ssmd/internal/text"
)

// none stands for an empty cell.
const none = "-"

// printable returns words as a terminal shows them, with an escape for each
// character that it would not show: names and aliases of interfaces are somebody
// else's words and may hold escape sequences.
func printable(words string) string { return text.Escape(words) }

// cell is printable words for a table, with a sign for nothing.
func cell(words string) string {
	if words == "" {
		return none
	}
	return printable(words)
}

// shorten cuts words that are longer than a line.
func shorten(words string) string {
	const longest = 200
	if utf8.RuneCountInString(words) <= longest {
		return words
	}
	return string([]rune(words)[:longest-3]) + "..."
}

// fileName is the name of a configuration file, for people.
func fileName(path string) string {
	if path == "-" {
		return "<standard input>"
	}
	return printable(path)
}

// age returns how long ago a moment was, as a person says it.
func age(d time.Duration) string { return text.Age(d) }

// table writes rows in columns. Cells are made printable; the last may be
// long.
type table struct {
	w *tabwriter.Writer
}

func newTable(w io.Writer, header ...string) table {
	t := table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	if len(header) > 0 {
		t.row(header...)
	}
	return t
}

func (t table) row(cells ...string) {
	for i, words := range cells {
		cells[i] = cell(words)
	}
	// The writer below keeps its first error for Flush.
	_, _ = fmt.Fprintln(t.w, strings.Join(cells, "\t"))
}

func (t table) flush() error { return t.w.Flush() }

// output gives the whole of what a command prints to standard output, and
// reports whether that went well: a full disk is a failure.
func output(c *cobra.Command, print func(io.Writer) error) error {
	buffer := bufio.NewWriter(c.OutOrStdout())
	if err := print(buffer); err != nil {
		return err
	}
	return buffer.Flush()
}

// printJSON writes an object as the control API sends it, but indented.
func printJSON(w io.Writer, object any) error {
	e := encoder(w)
	e.SetIndent("", "  ")
	return e.Encode(object)
}

func encoder(w io.Writer) *json.Encoder {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e
}

// jsonFlag adds -j/--json.
func jsonFlag(c *cobra.Command, to *bool) {
	c.Flags().BoolVarP(to, "json", "j", false, "print JSON, as the control API sends it")
}

// plural returns "1 channel", "2 channels".
func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
