package integration

import (
	"bytes"
	"fmt"
	"net/netip"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/internal/doctor"
	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/membership"
)

// attended is a patient with a daemon, which has the configuration, and whose
// command the doctor's words are.
func attended(l *lab, program, config string) (*daemon, *patient) {
	l.t.Helper()
	dir := openDir(l.t)
	write(l.t, filepath.Join(dir, "ssmd.yaml"), config)
	d := startDaemon(l, program, dir, nil)
	return d, &patient{lab: l, wait: glance, path: filepath.Dir(program)}
}

// mended has the command find a fault of a membership, obeys, and wants it to be
// silent.
func (d *daemon) mended(p *patient, who, check string, words ...string) {
	d.t.Helper()
	var found doctor.Finding
	eventually(d.t, func() error {
		r, code := d.visit(d.Near, nil, who)
		for _, f := range of(r.Subjects[0].Findings, check) {
			if f.Outcome == doctor.Fault && hasAll(f.Found, words) && code == 3 {
				found = f
				return nil
			}
		}
		return fmt.Errorf("exit code %d, want a fault of %s with %q: %+v", code, check, words, r)
	})
	p.obey(found)
	eventually(d.t, func() error {
		r, code := d.visit(d.Near, nil, who)
		return wantOutcome(r, code, map[string]doctor.Outcome{check: doctor.OK}, code) // of other checks another story tells
	})
}

// What a stale socket of another process took, the daemon joins again when it is
// told to: it does not look by itself, and the kernel does not tell it. Of groups
// of link-local scope no loss is taken for one.
func storyDoctorReannounce(t *testing.T, program string) {
	linkLocal := map[string]netip.Addr{"v4": netip.MustParseAddr("224.0.0.200"), "v6": netip.MustParseAddr("ff02::8000:1")}
	bothFamilies(t, func(t *testing.T, f family) {
		for name, story := range map[string]struct {
			group  netip.Addr
			others int // who want another source
			words  string
		}{
			"the group":  {linkLocal[f.name], 0, "the kernel has not joined"},
			"the source": {f.channel.group, 1, "and none of them wants"},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				f := f
				f.channel.group = story.group
				l := newLab(t, f)
				thief := l.joined()
				d, p := attended(l, program, fmt.Sprintf("audit: 0\nmemberships:\n  - {name: feed, channels: '%s', interface: eth0, allow_any_range: true}\n", f.channel))
				d.await(inState(membership.StateJoined))
				l.again()
				d.await(inPlaceOf(1))
				for range story.others {
					ok(t, l.socket().join(l.index(), f.other))
				}
				l.wantUsers(1 + story.others)
				thief.close()
				l.wantUsers(story.others)
				d.mended(p, "feed", "kernel_membership", story.words)
				l.wantUsers(1 + story.others)
			})
		}
	})
}

// What waits for an approval is joined by the command, and what nobody has joined
// by another, with a daemon and without.
func storyDoctorJoins(t *testing.T, program string) {
	t.Parallel()
	l := newLab(t, v4)
	d, p := attended(l, program, "memberships:\n  - {name: feed, channels: 10.1.0.1@232.1.1.1, interface: eth0, reattach: {policy: approve}}\n")
	d.await(inState(membership.StateJoined))
	receiver := l.fed()
	l.hears(receiver)
	ok(t, l.Recreate("eth0", testnet.Veth{}))
	d.await(inState(membership.StateHeld))
	d.mended(p, "feed", "membership", "the daemon has not joined it: held")
	l.hears(receiver)

	spare := l.spare(1)
	d.mended(p, spare.String()+"%eth0", "kernel_membership", "nobody on this host has joined "+channelOf(spare).String())
	d.mended(p, "10.1.0.1@239.1.1.7%eth0", "kernel_membership", "nobody on this host has joined") // is not source-specific
	d.signal(unix.SIGTERM)
	if code := d.ended(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// stays runs a command that does not end, as a finding says, until the test does.
func (p *patient) stays(f doctor.Finding) {
	p.t.Helper()
	if len(f.Mend) != 1 {
		p.t.Fatalf("%d commands, want one: %+v", len(f.Mend), f)
	}
	c := exec.Command("sh", "-c", "exec "+f.Mend[0])
	c.Env = append(append(c.Environ(), p.environment...), "PATH="+p.path+":/usr/bin:/bin")
	var log bytes.Buffer
	c.Stderr = &log
	ok(p.t, p.Near.Start(c))
	p.t.Cleanup(func() {
		ok(p.t, c.Process.Signal(unix.SIGTERM))
		if err := c.Wait(); err != nil {
			p.t.Errorf("%s: %v\n%s", f.Mend[0], err, &log)
		}
	})
}

// Without a daemon the command is one to run.
func storyDoctorRuns(t *testing.T, program string) {
	t.Parallel()
	for name, story := range map[string]func(*patient) doctor.Finding{
		"nobody joined": func(p *patient) doctor.Finding {
			ok(p.t, p.receiver.Close())
			return p.finds("kernel_membership", doctor.Fault, "nobody on this host has joined")
		},
		"other sources": func(p *patient) doctor.Finding {
			ok(p.t, p.socket().join(p.index(), p.other))
			ok(p.t, p.receiver.Close())
			return p.finds("kernel_membership", doctor.Fault, "none of them wants")
		},
		"any range": func(p *patient) doctor.Finding {
			p.subject.Channels = append(p.subject.Channels, membership.Channel{Source: p.channel.source, Group: netip.MustParseAddr("239.1.1.7")})
			return p.finds("kernel_membership", doctor.Fault, "nobody on this host has joined")
		},
		"planned": func(p *patient) doctor.Finding {
			ok(p.t, p.receiver.Close())
			file := filepath.Join(openDir(p.t), "a file.yaml")
			write(p.t, file, "memberships:\n  - {name: feed, channels: 10.1.0.1@232.1.1.1, interface: eth0}\n")
			subjects, err := doctor.Planned(p.ctx, file, []membership.Membership{p.feed()}, p.Near.Do)
			ok(p.t, err)
			p.subject = subjects[0]
			return p.finds("kernel_membership", doctor.Fault, "nobody on this host has joined")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPatient(t, v4)
			p.path = filepath.Dir(program)
			p.environment = append(p.environment, "SSMD_STATE_DIR=", "SSMD_CONTROL_SOCKET="+filepath.Join(openDir(t), "s"))
			p.stays(story(p))
			p.silent("kernel_membership")
			p.hears(p.fed())
		})
	}
}

// What comes from another source than was thought is joined by the command, and
// so is on a bridge what was asked of its port.
func storyDoctorRunsElsewhere(t *testing.T, program string) {
	t.Parallel()
	t.Run("source", func(t *testing.T) {
		t.Parallel()
		p := newPatient(t, v4)
		p.path = filepath.Dir(program)
		p.environment = append(p.environment, "SSMD_STATE_DIR=", "SSMD_CONTROL_SOCKET="+filepath.Join(openDir(t), "s"))
		p.subject.Channels = []membership.Channel{channelOf(v4.other)}
		found := p.finds("datagrams", doctor.Fault, "232.1.1.1 comes in on eth0 from 10.1.0.1, and not from 10.1.0.99")
		ok(t, p.receiver.Close())
		fed := p.fed()
		p.deaf(fed)
		p.stays(found)
		p.hears(fed)
	})
	t.Run("bridge", func(t *testing.T) {
		t.Parallel()
		p := onBridge(t, v4)
		p.path = filepath.Dir(program)
		p.environment = append(p.environment, "SSMD_STATE_DIR=", "SSMD_CONTROL_SOCKET="+filepath.Join(openDir(t), "s"))
		p.shell("ip link set br0 type bridge mcast_querier 1")
		ok(t, p.receiver.Close())
		p.subject.Interface = "eth0"
		found := p.finds("bridge", doctor.Fault, "eth0 is a port of the bridge br0")
		p.stays(found)
		p.subject.Interface = "br0"
		p.silent("kernel_membership")
		p.hears(p.fed())
	})
}

// What the kernel refuses the daemon, it takes once its limit is as the command
// has it.
func storyDoctorRefused(t *testing.T, program string) {
	t.Parallel()
	l := newLab(t, v4)
	ok(t, l.Near.SetSysctl("net/ipv4/igmp_max_memberships", "0"))
	d, p := attended(l, program, "memberships:\n  - {name: feed, channels: 10.1.0.1@232.1.1.1, interface: eth0}\n")
	d.await(inState(membership.StateDegraded))
	d.mended(p, "feed", "limits", "no socket can join anything")
	d.await(inState(membership.StateJoined))
	l.hears(l.fed())
	r, code := d.visit(l.Near, nil, "feed")
	ok(t, wantOutcome(r, code, map[string]doctor.Outcome{"membership": doctor.OK}, 0))
	ok(t, l.Near.SetSysctl("net/ipv4/igmp_max_memberships", "0"))
	ok(t, l.Recreate("eth0", testnet.Veth{}))
	d.await(inState(membership.StateDegraded))
	r, code = d.visit(l.Near, nil, "feed")
	ok(t, wantOutcome(r, code, map[string]doctor.Outcome{"membership": doctor.Fault, "limits": doctor.Fault}, 3))
}

// A daemon that has too few descriptors for what it is to join.
func storyDoctorDescriptors(t *testing.T, program string) {
	t.Parallel()
	l := newLab(t, v4)
	d, _ := attended(l, program, "memberships:\n  - {name: feed, groups: 232.1.1.0/26, sources: 10.1.0.1, interface: eth0}\n")
	d.await(inState(membership.StateJoined))
	limits := func(wanted doctor.Outcome, limit uint64) {
		t.Helper()
		var was unix.Rlimit
		ok(t, unix.Prlimit(d.cmd.Process.Pid, unix.RLIMIT_NOFILE, nil, &was))
		ok(t, unix.Prlimit(d.cmd.Process.Pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: limit, Max: was.Max}, nil))
		r, code := d.visit(l.Near, nil, "feed")
		ok(t, wantOutcome(r, code, map[string]doctor.Outcome{"limits": wanted}, code))
	}
	limits(doctor.OK, 128)
	limits(doctor.Warning, 64) // four sockets, and what else it opens
	limits(doctor.OK, 128)
}

// What is about to be joined is no fault, and is waited for.
func storyDoctorSettling(t *testing.T, program string) {
	t.Parallel()
	l := newLab(t, v4)
	d, p := attended(l, program, "memberships:\n  - {name: feed, channels: 10.1.0.1@232.1.1.1, interface: eth0, reattach: {settle: 2s}}\n")
	d.await(inState(membership.StateSettling))
	r, code := d.visit(l.Near, nil, "feed")
	ok(t, wantOutcome(r, code, map[string]doctor.Outcome{"membership": doctor.Warning}, 3))
	p.obey(of(r.Subjects[0].Findings, "membership")[0])
	r, code = d.visit(l.Near, nil, "feed")
	ok(t, wantOutcome(r, code, map[string]doctor.Outcome{"membership": doctor.OK}, code))
}

// An interface on which only the protocol is dead is the one that is looked at, of
// the daemon's membership and of a file's.
func storyDoctorDeadProtocol(t *testing.T, program string) {
	t.Parallel()
	l := newLab(t, v6)
	config := fmt.Sprintf("memberships:\n  - {name: feed, channels: %q, interface: eth0}\n", l.channel)
	d, p := attended(l, program, config)
	d.await(inState(membership.StateJoined))
	for _, args := range [][]string{{"feed"}, {"-c", d.cmd.Args[3]}} {
		ok(t, l.Near.Set("eth0", testnet.MTU(1200)))
		var found doctor.Finding
		eventually(t, func() error {
			r, code := d.visit(l.Near, nil, args...)
			if all := of(r.Subjects[0].Findings, "protocol"); len(all) == 1 && all[0].Outcome == doctor.Fault {
				found = all[0]
				return nil
			}
			return fmt.Errorf("exit code %d, the protocol is not found to be dead: %+v", code, r)
		})
		p.obey(found)
		d.await(inState(membership.StateJoined))
	}
}
