package main

import (
	"fmt"
	"iter"
	"strings"

	"github.com/ssmd-project/ssmd/membership"
	"github.com/ssmd-project/ssmd/reattach"
)

// parseJoins returns a membership for each --join, join-1, join-2 and so on.
func parseJoins(texts []string, anyRange membership.AnyRange) ([]membership.Membership, error) {
	memberships := make([]membership.Membership, len(texts))
	for i, text := range texts {
		one, err := parseJoin(text, anyRange)
		if err != nil {
			return nil, fmt.Errorf("--join %s: %w", text, err)
		}
		one.Name = fmt.Sprintf("join-%d", i+1)
		memberships[i] = one
	}
	return memberships, nil
}

// parseJoin reads SOURCE@GROUP%INTERFACE.
func parseJoin(text string, anyRange membership.AnyRange) (membership.Membership, error) {
	left, name, err := splitJoin(text)
	if err != nil {
		return membership.Membership{}, err
	}
	channel, err := membership.ParseChannel(left)
	if err != nil {
		return membership.Membership{}, err
	}
	if err := channel.Validate(anyRange); err != nil {
		return membership.Membership{}, err
	}
	return membership.Membership{
		Channels: []membership.Channel{channel},
		AnyRange: anyRange,
		Rules:    reattach.Rules{Selector: reattach.ByName(name)},
	}, nil
}

// splitJoin splits SOURCE@GROUP%INTERFACE. The first % divides: an interface's
// name may have more of them.
func splitJoin(text string) (channel, name string, err error) {
	channel, name, _ = strings.Cut(text, "%")
	if name == "" {
		return "", "", fmt.Errorf("names no interface, want SOURCE@GROUP%%INTERFACE, for example 10.1.0.1@232.1.1.1%%eth0")
	}
	return channel, name, checkInterfaceName(name)
}

// checkInterfaceName refuses what can never be the name of an interface or an
// alternative one: the kernel's dev_valid_name, but for the length.
func checkInterfaceName(name string) error {
	const longest = 127 // ALTIFNAMSIZ - 1
	if len(name) > longest || name == "." || name == ".." || strings.ContainsAny(name, "/: \t\n\v\f\r") {
		return fmt.Errorf("%q cannot be an interface's name", name)
	}
	return nil
}

// checkNames refuses a membership of the file that has the name of a --join.
func checkNames(configured iter.Seq[string], joins []membership.Membership) error {
	names := map[string]bool{}
	for _, m := range joins {
		names[m.Name] = true
	}
	for name := range configured {
		if names[name] {
			return fmt.Errorf("--join: the file has a membership %s too: rename it there", name)
		}
	}
	return nil
}
