package config

import (
	"cmp"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// ErrNoFile is wrapped by the error of a Load that found no file. It wraps
// fs.ErrNotExist.
var ErrNoFile = fmt.Errorf("no configuration file: %w", fs.ErrNotExist)

// noFileError says where a file was looked for.
type noFileError struct {
	tried  []string
	remedy string
}

// Error names the paths and what to do.
func (e *noFileError) Error() string {
	return fmt.Sprintf("no configuration file: tried %s; %s", strings.Join(e.tried, ", "), e.remedy)
}

// Unwrap returns ErrNoFile.
func (e *noFileError) Unwrap() error { return ErrNoFile }

// Error is one thing that is wrong in a configuration, and where.
type Error struct {
	// File is the file as it was named to Load or Parse, empty where a flag
	// or an environment variable is wrong.
	File string

	// Line and Column count from 1, in characters. Zero means unknown: of
	// an error in YAML's syntax, the line is known at best.
	Line, Column int

	// Path leads to the key, as memberships[1](feed-b).reattach.same[0],
	// or names the flag or the variable. It is empty where the whole file is
	// meant.
	Path string

	// Message says what is wrong, and what would be right.
	Message string
}

// Error returns "file:line:column: path: message", without the parts that are
// unknown.
func (e Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	for _, n := range []int{e.Line, e.Column} {
		if n > 0 {
			fmt.Fprintf(&b, ":%d", n)
		}
	}
	for _, part := range []string{e.Path, e.Message} {
		if part == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteString(": ")
		}
		b.WriteString(part)
	}
	return b.String()
}

// Errors are all errors that were found, in the order of the file, those of
// flags and variables last. It is never empty where it is returned as an
// error; errors.As finds an Errors as well as its first Error.
type Errors []Error

// Error returns the errors, one a line.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, one := range e {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the errors one by one.
func (e Errors) Unwrap() []error {
	all := make([]error, len(e))
	for i, one := range e {
		all[i] = one
	}
	return all
}

// sort puts the errors of one file in the order of the file.
func (e Errors) sort() {
	slices.SortStableFunc(e, func(a, b Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}

// orNil returns no error where there are none.
func (e Errors) orNil() error {
	if len(e) == 0 {
		return nil
	}
	return e
}
