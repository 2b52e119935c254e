package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/ssmd-project/ssmd/internal/doctor"
)

// printDoctor writes a paragraph a subject, and a line a check.
func printDoctor(w io.Writer, report doctor.Report, quiet bool) error {
	if len(report.Subjects) == 0 {
		_, err := fmt.Fprintln(w, "There is no membership.")
		return err
	}
	for n, e := range report.Subjects {
		if n > 0 {
			if _, err := fmt.Fprintln(w); err != nil {
				return err
			}
		}
		if err := printExamination(w, e, quiet); err != nil {
			return err
		}
	}
	return nil
}

func printExamination(w io.Writer, e doctor.Examination, quiet bool) error {
	if _, err := fmt.Fprintf(w, "%s: %s\n", patient(e), summary(e)); err != nil {
		return err
	}
	for _, f := range e.Findings {
		if quiet && !f.Outcome.Wrong() {
			continue
		}
		if _, err := fmt.Fprintf(w, "  %-7s  %-22s  %s\n", f.Outcome, f.Check, printable(f.Found)); err != nil {
			return err
		}
		if f.Outcome == doctor.OK {
			continue
		}
		lines := []string{f.Why}
		for _, command := range f.Mend {
			lines = append(lines, "$ "+command)
		}
		for _, line := range append(lines, f.Advice) {
			if line == "" {
				continue
			}
			if _, err := fmt.Fprintf(w, "%s%s\n", strings.Repeat(" ", 11), printable(line)); err != nil {
				return err
			}
		}
	}
	return nil
}

// patient names what was looked at.
func patient(e doctor.Examination) string {
	name := e.Membership
	if name == "" {
		name = plural(len(e.Channels), "channel")
		if len(e.Channels) == 1 {
			name = e.Channels[0].String()
		}
	}
	if e.Interface != "" {
		name += " on " + printable(e.Interface)
	}
	if e.Netns != "" {
		name += " in namespace " + printable(e.Netns)
	}
	return name
}

func summary(e doctor.Examination) string {
	count := map[doctor.Outcome]int{}
	for _, f := range e.Findings {
		count[f.Outcome]++
	}
	parts := []string{}
	if n := count[doctor.Fault]; n > 0 {
		parts = append(parts, plural(n, "fault"))
	}
	if n := count[doctor.Warning]; n > 0 {
		parts = append(parts, plural(n, "warning"))
	}
	if len(parts) == 0 {
		parts = append(parts, "nothing wrong")
	}
	if n := count[doctor.Unknown]; n > 0 {
		parts = append(parts, fmt.Sprintf("%d not looked at", n))
	}
	return strings.Join(parts, ", ")
}
