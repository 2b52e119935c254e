package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ssmd-project/ssmd/control"
	"github.com/ssmd-project/ssmd/membership"
)

type statusOptions struct {
	client *control.Client
	json   bool
	now    time.Time
	print  func(func(io.Writer) error) error
}

func newStatusCommand() *cobra.Command {
	var o statusOptions
	c := client(&cobra.Command{
		Use:               "status [NAME]",
		Short:             "Print how the memberships stand",
		Long:              "Print how the memberships stand, or one of them in full.\nWith a NAME the exit code is 3 where it is not joined.",
		Example:           "  ssmd status\n  ssmd status feed-a --json",
		Args:              maybeName,
		ValidArgsFunction: completeName,
		RunE: func(c *cobra.Command, args []string) error {
			o.client, o.now = newClient(c), time.Now()
			o.print = func(print func(io.Writer) error) error { return output(c, print) }
			if len(args) == 1 {
				return runStatusOf(c.Context(), o, args[0])
			}
			return runStatus(c.Context(), o)
		},
	})
	jsonFlag(c, &o.json)
	return c
}

func runStatus(ctx context.Context, o statusOptions) error {
	if o.json {
		answer, err := o.client.MembershipsJSON(ctx)
		if err != nil {
			return err
		}
		defer answer.Close()
		return o.print(func(w io.Writer) error { return indentJSON(w, answer) })
	}
	statuses, err := o.client.Memberships(ctx)
	if err != nil {
		return err
	}
	daemon, err := o.client.Daemon(ctx)
	if err != nil {
		return err
	}
	return o.print(func(w io.Writer) error {
		if err := printStatuses(w, o.now, statuses); err != nil {
			return err
		}
		_, err := fmt.Fprintf(w, "\n%s\n", daemonLine(o.now, daemon))
		return err
	})
}

func runStatusOf(ctx context.Context, o statusOptions, name string) error {
	answer, err := o.client.MembershipJSON(ctx, name)
	if err != nil {
		return err
	}
	var status control.Status
	if err := json.Unmarshal(answer, &status); err != nil {
		return fmt.Errorf("read the status of %s: %w", name, err)
	}
	err = o.print(func(w io.Writer) error {
		if o.json {
			return indentJSON(w, bytes.NewReader(answer))
		}
		return printStatus(w, o.now, status)
	})
	if err == nil && status.State != membership.StateJoined {
		return &exitError{Code: exitNotJoined}
	}
	return err
}

// printStatuses writes a table, a line a membership. What is longer than a line
// is shortened: printStatus writes it whole.
func printStatuses(w io.Writer, now time.Time, statuses []control.Status) error {
	if len(statuses) == 0 {
		_, err := fmt.Fprintln(w, "There is no membership.")
		return err
	}
	isMonitored := slices.ContainsFunc(statuses, func(s control.Status) bool { return s.Monitor != nil })
	row := func(name, state, joined, on, since, rate, reason string) []string {
		if !isMonitored {
			return []string{name, state, joined, on, since, reason}
		}
		return []string{name, state, joined, on, since, rate, reason}
	}
	t := newTable(w, row("NAME", "STATE", "JOINED", "INTERFACE", "SINCE", "RATE", "REASON")...)
	for _, s := range statuses {
		t.row(row(s.Name, string(s.State), fmt.Sprintf("%d/%d", s.Joined, s.Channels), shorten(s.AttachedTo()), age(now.Sub(s.Since)), s.Monitor.Brief(), shorten(s.Reason))...)
	}
	return t.flush()
}

// daemonLine says in a line what the daemon is and does.
func daemonLine(now time.Time, d control.Daemon) string {
	parts := []string{fmt.Sprintf("ssmd %s, process %d, for %s", d.Version, d.PID, age(now.Sub(d.Started)))}
	if d.ConfigFile != "" {
		parts = append(parts, fileName(d.ConfigFile))
	}
	for _, state := range membership.States() {
		if n := d.Memberships[state]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, state))
		}
	}
	parts = append(parts, fmt.Sprintf("%d of %s joined", d.Channels.Joined, plural(d.Channels.Wanted, "channel")))
	if last := d.LastReload; last != nil && !last.Successful {
		parts = append(parts, fmt.Sprintf("not reloaded %s ago: %s", age(now.Sub(last.Time)), shorten(printable(last.Error))))
	}
	return strings.Join(parts, "; ")
}

// printStatus writes all that is known of one membership.
func printStatus(w io.Writer, now time.Time, s control.Status) error {
	t := newTable(w)
	t.row("name", s.Name)
	t.row("state", string(s.State))
	t.row("since", fmt.Sprintf("%s, %s ago", s.Since.UTC().Format(time.RFC3339), age(now.Sub(s.Since))))
	t.row("reason", s.Reason)
	t.row("channels", fmt.Sprintf("%d of %d joined", s.Joined, s.Channels))
	for _, a := range s.Attachments {
		t.row("attached", attachmentLine(now, a))
	}
	if p := s.Previous; p != nil {
		t.row("previous", fmt.Sprintf("%s (instance %d), mac %s, subnet %s", printable(p.Name), p.Instance, cell(p.MAC), prefixes(p.Subnet)))
	}
	c := s.Counters
	t.row("counters", strings.Join([]string{
		fmt.Sprintf("%d attaches", c.Attaches), fmt.Sprintf("%d detaches", c.Detaches), fmt.Sprintf("%d reattaches", c.Reattaches),
		fmt.Sprintf("%d reannounces", c.Reannounces), fmt.Sprintf("%d repairs", c.Repairs), fmt.Sprintf("%d errors", c.Errors),
	}, ", "))
	if seconds := s.LastReattachSeconds; seconds != nil {
		t.row("last reattach", time.Duration(*seconds*float64(time.Second)).String())
	}
	if s.Monitor != nil {
		for _, stream := range s.Monitor.Streams {
			t.row("stream", streamLine(now, stream))
		}
	}
	return t.flush()
}

func attachmentLine(now time.Time, a membership.Attachment) string {
	line := fmt.Sprintf("%s (ifindex %d, instance %d) for %s: %d joined", printable(a.Interface), a.Index, a.Instance, age(now.Sub(a.Since)), a.Joined)
	if a.Failed > 0 {
		line += fmt.Sprintf(", %d refused", a.Failed)
	}
	if a.Netns != "" {
		line += ", in namespace " + printable(a.Netns)
	}
	return line
}

func prefixes(all []netip.Prefix) string {
	parts := make([]string, len(all))
	for i, p := range all {
		parts[i] = p.String()
	}
	return cell(strings.Join(parts, ", "))
}
