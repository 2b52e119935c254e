package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// The exit codes.
const (
	exitGood      = 0
	exitFailed    = 1
	exitWords     = 2 // the command line was wrong
	exitNotJoined = 3 // status NAME and wait: the membership is not as wished; doctor: something is wrong
)

// exitError is an error with an exit code of its own. Without Err nothing is
// left to say.
type exitError struct {
	Code int
	Err  error
}

func (e *exitError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit code %d", e.Code)
	}
	return e.Err.Error()
}

func (e *exitError) Unwrap() error { return e.Err }

// wrongWords is an error in the command line. It leads to the command's help.
func wrongWords(c *cobra.Command, format string, args ...any) error {
	var already *exitError
	if err := fmt.Errorf(format, args...); !errors.As(err, &already) {
		return &exitError{Code: exitWords, Err: fmt.Errorf("%w (see %s --help)", err, c.CommandPath())}
	}
	return already
}

// report writes an error as it is told to the user, and returns the exit code.
func report(stderr io.Writer, err error) int {
	if err == nil {
		return exitGood
	}
	code := exitFailed
	if exit, ok := errors.AsType[*exitError](err); ok {
		code = exit.Code
		if exit.Err == nil {
			return code
		}
	}
	for line := range strings.Lines(err.Error()) {
		// Nothing can be done where even standard error fails.
		_, _ = fmt.Fprintf(stderr, "ssmd: %s\n", printable(strings.TrimSuffix(line, "\n")))
	}
	return code
}
