package integration

import (
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ssmd-project/ssmd/internal/doctor"
	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/membership"
)

// patient is a lab whose near side the doctor looks at. Nothing is wrong with it
// at first: a receiver has joined the family's channel and hears it.
type patient struct {
	*lab
	subject  doctor.Subject
	receiver *testnet.Receiver
	wait     time.Duration // for what comes and goes on the wire

	announce    func(context.Context, string) error // nil: nobody does
	path        string                              // of programs, before the usual ones
	environment []string                            // of commands
}

// glance is long enough for datagrams that come every 5 ms, and for the kernel to
// send a report.
const glance = 300 * time.Millisecond

func newPatient(t *testing.T, f family) *patient {
	t.Helper()
	return onPatient(newLab(t, f), "eth0")
}

// onPatient has a receiver join on an interface of a lab.
func onPatient(l *lab, name string) *patient {
	l.t.Helper()
	lock := "XTABLES_LOCKFILE=" + filepath.Join(l.t.TempDir(), "lock") // the usual one is for one iptables at a time, and root's
	p := &patient{lab: l, wait: glance, environment: []string{lock}, subject: doctor.Subject{Interface: name, Channels: []membership.Channel{channelOf(l.channel)}}}
	p.receiver = newReceiver(l.t, l.Near, testnet.ReceiverConfig{Listen: netip.AddrPortFrom(l.channel.group, port), Join: name, Source: l.channel.source})
	p.hears(p.receiver)
	if l.name == v6.name {
		p.silent("address") // the link-local one is looked for on the wire first
	}
	return p
}

// examine lets the doctor look. He is not to be in a hurry where the time of the
// test is over: what was not found is then told.
func (p *patient) examine() []doctor.Finding {
	p.t.Helper()
	report, err := doctor.Run(p.t.Context(), []doctor.Subject{p.subject}, doctor.Options{Wait: p.wait, Here: p.Near.Do, Announce: p.announce})
	ok(p.t, err)
	return report.Subjects[0].Findings
}

// of returns the findings of one check.
func of(findings []doctor.Finding, check string) []doctor.Finding {
	var all []doctor.Finding
	for _, f := range findings {
		if f.Check == check {
			all = append(all, f)
		}
	}
	return all
}

// silent waits until a check finds nothing wrong.
func (p *patient) silent(check string) {
	p.t.Helper()
	ok(p.t, testnet.Eventually(p.ctx, func() error {
		found := of(p.examine(), check)
		if len(found) == 0 {
			return fmt.Errorf("%s says nothing", check)
		}
		for _, f := range found {
			if f.Outcome != doctor.OK {
				return fmt.Errorf("%s: %s: %s", check, f.Outcome, f.Found)
			}
		}
		return nil
	}))
}

// finds waits until a check finds something that has all these words, and
// returns it.
func (p *patient) finds(check string, outcome doctor.Outcome, words ...string) doctor.Finding {
	p.t.Helper()
	var found doctor.Finding
	ok(p.t, testnet.Eventually(p.ctx, func() error {
		all := of(p.examine(), check)
		for _, f := range all {
			if f.Outcome == outcome && hasAll(f.Found, words) {
				found = f
				return nil
			}
		}
		return fmt.Errorf("%s found %+v, want %s with %q", check, all, outcome, words)
	}))
	if found.Why == "" || len(found.Mend) == 0 && found.Advice == "" {
		p.t.Errorf("it does not say why it matters, or what to do: %+v", found)
	}
	return found
}

func hasAll(text string, words []string) bool {
	for _, w := range words {
		if !strings.Contains(text, w) {
			return false
		}
	}
	return true
}

// obey does what a finding says, in the near namespace.
func (p *patient) obey(f doctor.Finding) {
	p.t.Helper()
	if len(f.Mend) == 0 {
		p.t.Fatalf("no command mends it: %+v", f)
	}
	for _, command := range f.Mend {
		p.shell(command)
	}
}

func (p *patient) shell(command string) { p.t.Helper(); p.shellIn(p.Near, command) }

func (p *patient) shellIn(n *testnet.Namespace, command string) {
	p.t.Helper()
	c := exec.Command("sh", "-c", command)
	c.Env = append(append(c.Environ(), p.environment...), "PATH="+p.path+":/usr/sbin:/usr/bin:/sbin:/bin")
	var out strings.Builder
	c.Stdout, c.Stderr = &out, &out
	ok(p.t, n.Start(c))
	if err := c.Wait(); err != nil {
		p.t.Fatalf("%s: %v\n%s", command, err, out.String())
	}
}

// story has a check be silent, provokes what it is for, has it found, obeys, and
// has the check be silent again: so the command is the right one.
func (p *patient) story(check string, outcome doctor.Outcome, provoke func(), words ...string) {
	p.t.Helper()
	p.silent(check)
	provoke()
	p.obey(p.finds(check, outcome, words...))
	p.silent(check)
}

// With nothing wrong nothing is found, but for what needs somebody to ask.
func TestStoryDoctorOfTheHealthy(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		p := newPatient(t, f)
		for _, found := range p.examine() {
			switch {
			case found.Outcome == doctor.OK:
			case found.Outcome == doctor.Unknown && (found.Check == "querier" || found.Check == "report"):
			default:
				t.Errorf("found %+v", found)
			}
		}
	})
}
