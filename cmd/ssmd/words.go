package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/ssmd-project/ssmd/membership"
)

// strict makes every wrong word of the command line a wordsError, those of
// cobra's own commands among them.
func strict(root *cobra.Command) {
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return wrongWords(c, "%w", err) })
	root.SetHelpCommand(newHelpCommand())
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	if completion, _, err := root.Find([]string{"completion"}); err == nil {
		completion.Args, completion.RunE = knownCommand, needsCommand
	}
	checkArguments(root)
}

// checkArguments wraps the checks of arguments of a command and all below it.
func checkArguments(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return wrongWords(c, "%w", err)
			}
			return nil
		}
	}
	for _, below := range c.Commands() {
		checkArguments(below)
	}
}

// noArguments refuses arguments, and says where a file's name belongs.
func noArguments(c *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return nil
	case c.Flags().Lookup(configFlag) != nil:
		return wrongWords(c, "%q is no flag: want -c FILE for a configuration file", args[0])
	}
	return wrongWords(c, "%q is one word too many", args[0])
}

// oneName wants the name of a membership.
func oneName(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return wrongWords(c, "the name of a membership is missing, want %s", c.UseLine())
	}
	return maybeName(c, args)
}

// maybeName takes the name of a membership, or none.
func maybeName(c *cobra.Command, args []string) error {
	if len(args) > 1 {
		return wrongWords(c, "%q is one word too many, want %s", args[1], c.UseLine())
	}
	for _, name := range args {
		if err := membership.ValidateName(name); err != nil {
			return wrongWords(c, "name of a membership: %w", err)
		}
	}
	return nil
}

// knownCommand refuses arguments of a command that only has commands below it.
func knownCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		return wrongWords(c, "unknown command %q: did you mean %s?", args[0], strings.Join(near, " or "))
	}
	return wrongWords(c, "unknown command %q", args[0])
}

// needsCommand says what commands there are below one that does nothing alone.
func needsCommand(c *cobra.Command, _ []string) error {
	var names []string
	for _, below := range c.Commands() {
		if below.IsAvailableCommand() {
			names = append(names, below.Name())
		}
	}
	return wrongWords(c, "a command is missing, want one of %s", strings.Join(names, ", "))
}

// newHelpCommand replaces cobra's, which takes an unknown topic for a success.
func newHelpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Print the help of a command",
		RunE: func(c *cobra.Command, args []string) error {
			topic, rest, err := c.Root().Find(args)
			if err != nil {
				return wrongWords(c, "%w", err)
			}
			if len(rest) > 0 {
				return knownCommand(c.Root(), rest)
			}
			topic.InitDefaultHelpFlag()
			return topic.Help()
		},
	}
}
