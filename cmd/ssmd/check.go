package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/ssmd-project/ssmd/config"
	"github.com/ssmd-project/ssmd/control"
	"github.com/ssmd-project/ssmd/internal/hooks"
)

type checkOptions struct {
	config config.Options
	json   bool
	print  bool
}

// checked is the result of a check, as JSON.
type checked struct {
	File        string         `json:"file"`
	Good        bool           `json:"good"`
	Memberships int            `json:"memberships"`
	Channels    int            `json:"channels"`
	Errors      []control.Flaw `json:"errors"`
	Warnings    []control.Flaw `json:"warnings"`
}

const checkLong = `Check the configuration file. Every error is told, one a line. A hook that this
user could not run as it is now is a warning: it may be installed later, or on another host.`

func newCheckCommand() *cobra.Command {
	var o checkOptions
	c := &cobra.Command{
		Use:     "check",
		Short:   "Check the configuration file, and print what it comes to",
		Long:    checkLong,
		Example: "  ssmd check -c /etc/ssmd/ssmd.yaml\n  ssmd check --print",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.json && o.print {
				return wrongWords(c, "--print writes YAML and --json JSON: want one of them")
			}
			return runCheck(c, o)
		},
	}
	configFlags(c, &o.config)
	jsonFlag(c, &o.json)
	c.Flags().Lookup("json").Usage = "print the outcome and the errors as JSON"
	c.Flags().BoolVarP(&o.print, "print", "p", false, "print the effective configuration, with every default, as YAML")
	return c
}

func runCheck(c *cobra.Command, o checkOptions) error {
	loaded, failure := config.Load(o.config)
	outcome := outcomeOf(o, loaded, failure)
	switch {
	case o.json:
		if err := output(c, func(w io.Writer) error { return printJSON(w, outcome) }); err != nil {
			return err
		}
		if failure != nil {
			return &exitError{Code: exitFailed}
		}
		return nil
	case failure != nil:
		return printErrors(c.ErrOrStderr(), failure)
	}
	for _, w := range outcome.Warnings {
		w.Message = "warning: " + w.Message
		if err := printFlaws(c.ErrOrStderr(), []control.Flaw{w}); err != nil {
			return err
		}
	}
	if o.print {
		text, err := loaded.YAML()
		if err != nil {
			return err
		}
		return output(c, func(w io.Writer) error { _, err := w.Write(text); return err })
	}
	return output(c, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s: %s, %s, good\n", fileName(outcome.File), plural(outcome.Memberships, "membership"), plural(outcome.Channels, "channel"))
		return err
	})
}

func outcomeOf(o checkOptions, loaded config.Config, failure error) checked {
	outcome := checked{File: loaded.File, Good: failure == nil, Memberships: len(loaded.Memberships), Errors: []control.Flaw{}, Warnings: hookWarnings(loaded)}
	for _, m := range loaded.Memberships {
		outcome.Channels += len(m.Channels)
	}
	if failure == nil {
		return outcome
	}
	outcome.File = o.config.Path
	outcome.Errors = flaws(failure)
	for _, e := range outcome.Errors {
		outcome.File = cmp.Or(outcome.File, e.File)
	}
	return outcome
}

// hookWarnings are about hooks that the daemon would not run.
func hookWarnings(loaded config.Config) []control.Flaw {
	warnings := []control.Flaw{}
	for n, h := range loaded.Hooks {
		if err := hooks.Check(h.Command[0]); err != nil {
			warnings = append(warnings, control.Flaw{
				File: loaded.File, Line: h.Line, Column: h.Column, Path: fmt.Sprintf("hooks[%d].command", n), Message: err.Error(),
			})
		}
	}
	return warnings
}

// printErrors writes the errors of a configuration in the form that editors
// and compilers use, so that one can jump to the place, and returns how many
// there are. Other errors it returns as they are.
func printErrors(stderr io.Writer, failure error) error {
	if _, ok := errors.AsType[config.Errors](failure); !ok {
		return failure
	}
	all := flaws(failure)
	if err := printFlaws(stderr, all); err != nil {
		return err
	}
	return fmt.Errorf("the configuration has %s", plural(len(all), "error"))
}

func printFlaws(stderr io.Writer, all []control.Flaw) error {
	for _, e := range all {
		if _, err := fmt.Fprintln(stderr, printable(e.Error())); err != nil {
			return err
		}
	}
	return nil
}
