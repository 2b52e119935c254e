package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/ssmd-project/ssmd/control"
	"github.com/ssmd-project/ssmd/internal/doctor"
	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/membership"
	"github.com/ssmd-project/ssmd/reattach"
)

// visit runs ssmd doctor --json in a namespace, and returns what it says and its
// exit code.
func (d *daemon) visit(n *testnet.Namespace, as *syscall.Credential, args ...string) (doctor.Report, int) {
	d.t.Helper()
	c := exec.Command(d.cmd.Path, append([]string{"doctor", "--socket", d.socketPath(), "--json", "--wait", glance.String()}, args...)...)
	c.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	var out, errors bytes.Buffer
	c.Stdout, c.Stderr = &out, &errors
	ok(d.t, n.Start(c))
	_ = c.Wait() // its code tells
	var report doctor.Report
	decoder := json.NewDecoder(&out)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&report); err != nil {
		d.t.Fatalf("%v: exit code %d, %s", err, c.ProcessState.ExitCode(), errors.String())
	}
	return report, c.ProcessState.ExitCode()
}

func (d *daemon) socketPath() string {
	return filepath.Join(filepath.Dir(d.cmd.Args[3]), "control.sock")
}

// worstOf returns the worst outcome of a check in a report.
func worstOf(r doctor.Report, check string) doctor.Outcome {
	var found []doctor.Finding
	for _, s := range r.Subjects {
		found = append(found, of(s.Findings, check)...)
	}
	if len(found) == 0 {
		return "not there"
	}
	return doctor.Worst(found)
}

// The command, of a daemon's membership: what it prints, its exit code, and that
// what mends a fault does.
func storyDoctor(t *testing.T, program string) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		d := startDaemon(l, program, l.daemonDir(), nil)
		d.await(inState(membership.StateJoined))
		p := &patient{lab: l, path: filepath.Dir(program)}
		l.hears(l.fed())

		eventually(t, func() error { // the link-local address takes a second
			r, code := d.visit(l.Near, nil, "feed", "--reannounce")
			return wantOutcome(r, code, map[string]doctor.Outcome{"membership": doctor.OK, "kernel_membership": doctor.OK, "report": doctor.OK, "datagrams": doctor.OK}, 0)
		})
		// From elsewhere it finds the daemon's namespace.
		r, code := d.visit(l.Far, nil)
		ok(t, wantOutcome(r, code, map[string]doctor.Outcome{"interface": doctor.OK, "datagrams": doctor.OK, "address": doctor.OK}, 0))
		// A channel that is given is meant here.
		r, _ = d.visit(l.Far, nil, "feed", l.channel.String()+"%far0")
		for _, s := range r.Subjects {
			if s.Index == 0 {
				t.Errorf("%s is looked for elsewhere: %+v", s.Interface, s.Findings)
			}
		}

		ok(t, l.Near.Set("eth0", testnet.Down))
		r, code = d.visit(l.Near, nil, "feed")
		ok(t, wantOutcome(r, code, map[string]doctor.Outcome{"up": doctor.Fault}, 3))
		r, _ = d.visit(l.Far, nil, "feed") // whose commands are for whoever is there
		for _, found := range of(r.Subjects[0].Findings, "up") {
			p.shellIn(l.Far, strings.Join(found.Mend, "; "))
		}
		eventually(t, func() error {
			r, code := d.visit(l.Near, nil, "feed")
			return wantOutcome(r, code, map[string]doctor.Outcome{"up": doctor.OK}, 0)
		})

		ok(t, d.drain("eth0"))
		r, code = d.visit(l.Near, nil)
		ok(t, wantOutcome(r, code, map[string]doctor.Outcome{"membership": doctor.Fault, "interface": doctor.OK}, 3))
		p.obey(of(r.Subjects[0].Findings, "membership")[0])
		d.await(inState(membership.StateJoined))
	})
}

// The daemon's monitor hears what comes in, and is no receiver.
func storyDoctorMonitored(t *testing.T, program string) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		dir := l.daemonDir()
		config := fmt.Sprintf("memberships:\n  - {name: feed, channels: %q, interface: eth0, monitor: {port: %d}}\n", l.channel, port)
		ok(t, os.WriteFile(filepath.Join(dir, "ssmd.yaml"), []byte(config), 0o644))
		d := startDaemon(l, program, dir, nil)
		eventually(t, func() error {
			text, err := d.client.MembershipJSON(d.ctx, "feed")
			var s control.Status
			if err == nil {
				err = json.Unmarshal(text, &s)
			}
			if err == nil && (s.Monitor == nil || len(s.Monitor.Streams) == 0 || s.Monitor.Streams[0].Interface == "" || s.Monitor.Streams[0].Error != "") {
				err = fmt.Errorf("not monitored: %s", text)
			}
			return err
		})
		r, _ := d.visit(l.Near, nil, "feed")
		if got := worstOf(r, "receivers"); got != doctor.Warning {
			t.Errorf("without a receiver: %q, %+v", got, r)
		}
	})
}

func (d *daemon) drain(name string) error { return drainIn(d, "", name) }

func drainIn(d *daemon, netns, name string) error {
	_, err := d.client.Drain(d.ctx, netns, name)
	return err
}

// wantOutcome checks the outcomes of some checks, and the exit code.
func wantOutcome(r doctor.Report, code int, want map[string]doctor.Outcome, wantCode int) error {
	for check, outcome := range want {
		if got := worstOf(r, check); got != outcome {
			return fmt.Errorf("%s is %q, want %q: %+v", check, got, outcome, r)
		}
	}
	if code != wantCode {
		return fmt.Errorf("exit code %d, want %d: %+v", code, wantCode, r)
	}
	return nil
}

// Without a membership, and without a privilege: what cannot be looked at is
// said to need one, and is not wrong.
func storyDoctorUnprivileged(t *testing.T, program string) {
	const nobody = 65534
	l := newLab(t, v4)
	own(t, t.TempDir(), nobody)
	d := startDaemon(l, program, l.daemonDir(), nil)
	d.await(inState(membership.StateJoined))
	l.hears(l.fed())
	r, code := d.visit(l.Near, &syscall.Credential{Uid: nobody, Gid: nobody}, "10.1.0.1@232.1.1.1%eth0")
	ok(t, wantOutcome(r, code, map[string]doctor.Outcome{"kernel_membership": doctor.OK, "datagrams": doctor.Unknown, "report": doctor.Unknown,
		"querier": doctor.Unknown, "firewall": doctor.Unknown, "bridge": doctor.Unknown, "rp_filter": doctor.OK,
		"receivers": doctor.OK, "receiver_multicast_all": doctor.OK, "stale_membership": doctor.Unknown}, 0))
	for _, check := range []string{"datagrams", "firewall"} {
		if found := of(r.Subjects[0].Findings, check)[0]; !strings.Contains(found.Found, "needs CAP_NET_") {
			t.Errorf("%s does not say what is missing: %+v", check, found)
		}
	}
}

// A membership in another namespace.
func storyDoctorNetns(t *testing.T, program string) {
	l := newLab(t, v4)
	dir := l.daemonDir()
	d := startDaemon(l, program, dir, nil)
	d.await(inState(membership.StateJoined))
	blue := newNamespace(t)
	ok(t, testnet.AddVeth(blue, l.Far, testnet.Veth{Name: "eth5", PeerName: "far5", Addresses: []string{"10.5.0.2/24"}, PeerAddresses: []string{"10.5.0.1/24"}}))
	path := filepath.Join(dir, "blue")
	ok(t, blue.Mount(path))
	t.Cleanup(func() { _ = testnet.Unmount(path) })
	entry := `{"channels": "10.5.0.1@232.5.5.5", "netns": "` + path + `", "interface": "eth5"}`
	_, err := d.client.Put(d.ctx, "blue", []byte(entry), control.KeepUntilExit)
	ok(t, err)
	eventually(t, func() error {
		r, _ := d.visit(l.Near, nil, "blue")
		return wantOutcome(r, 0, map[string]doctor.Outcome{"interface": doctor.OK, "kernel_membership": doctor.OK, "up": doctor.OK}, 0)
	})
	p := &patient{lab: l, path: filepath.Dir(program)}
	ok(t, drainIn(d, path, "eth5"))
	d.mended(p, "blue", "membership", "drain")
	ok(t, blue.Set("eth5", testnet.Down))
	d.mended(p, "blue", "up", "eth5 is down")

	ok(t, blue.Set("eth5", testnet.MulticastOff))
	r, code := d.visit(l.Near, nil, "blue")
	ok(t, wantOutcome(r, code, map[string]doctor.Outcome{"multicast_flag": doctor.Fault}, 3))
	if s := r.Subjects[0]; s.Netns != path || s.Interface != "eth5" {
		t.Errorf("it is of %q, %q", s.Netns, s.Interface)
	}
}

// The memberships of a file, before any daemon has it.
func TestStoryDoctorPlanned(t *testing.T) {
	t.Parallel()
	p := newPatient(t, v4)
	lost := p.feed()
	lost.Name, lost.Rules = "lost", reattach.Rules{Selector: reattach.ByName("eth9")}
	abroad := p.feed()
	abroad.Name, abroad.Namespace = "abroad", filepath.Join(t.TempDir(), "gone")
	subjects, err := doctor.Planned(p.ctx, "ssmd.yaml", []membership.Membership{p.feed(), lost, abroad}, p.Near.Do)
	ok(t, err)
	r, err := doctor.Run(p.ctx, subjects, doctor.Options{Here: p.Near.Do})
	ok(t, err)
	if len(r.Subjects) != 3 || r.Subjects[0].Interface != "eth0" || r.Subjects[0].Membership != "feed" {
		t.Fatalf("it looks at %+v", r.Subjects)
	}
	for _, story := range []struct {
		subject int
		check   string
		outcome doctor.Outcome
		words   string
	}{
		{0, "kernel_membership", doctor.OK, "joined 1 of 1 channels on eth0"}, // by the receiver
		{0, "limits", doctor.OK, "ssmd holds 1 channels with 1 sockets"},
		{1, "membership", doctor.Fault, "no interface comes near the rules of lost"},
		{2, "namespace", doctor.Unknown, "no such network namespace"},
	} {
		found := of(r.Subjects[story.subject].Findings, story.check)
		if len(found) != 1 || found[0].Outcome != story.outcome || !hasAll(found[0].Found, []string{story.words}) {
			t.Errorf("%s found %+v, want %s with %q", story.check, found, story.outcome, story.words)
		}
	}
	ok(t, p.receiver.Close())
	p.subject = subjects[0]
	if found := p.finds("kernel_membership", doctor.Fault, "nobody on this host has joined"); found.Mend[0] != "ssmd run -c ssmd.yaml" {
		t.Errorf("it says %q", found.Mend)
	}
}

// The daemon believes to have joined what the kernel has not.
func TestStoryDoctorLostByTheKernel(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		p := newPatient(t, f)
		p.subject.Membership, p.subject.State, p.subject.Attached = "feed", membership.StateJoined, true
		p.silent("kernel_membership")
		ok(t, p.receiver.Close())
		p.finds("kernel_membership", doctor.Fault, "the kernel has not joined "+channelOf(f.channel).String()+" on eth0, though the daemon has")
	})
}
