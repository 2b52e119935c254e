package integration

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/internal/testnet/wire"
	"github.com/ssmd-project/ssmd/membership"
	"golang.org/x/sys/unix"
)

// SIGTERM has the daemon leave, and end well.
func storyTerminated(t *testing.T, program string) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		capture := newCapture(t, l.Far)
		d := startDaemon(l, program, l.daemonDir(), nil)
		d.await(inState(membership.StateJoined, "eth0"))
		l.reported(capture, wire.AllowNewSources, 1)
		l.wantUsers(1)
		l.hears(l.fed())
		from := len(capture.Reports())
		d.signal(unix.SIGTERM)
		if code := d.ended(); code != 0 {
			t.Errorf("exit code %d", code)
		}
		l.left(capture, from, f.channel)
		l.wantUsers(0)
	})
}

// A daemon that was killed is started again, beside the socket that it left.
func storyKilled(t *testing.T, program string) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		dir := l.daemonDir()
		first := startDaemon(l, program, dir, nil)
		first.await(inState(membership.StateJoined))
		first.signal(unix.SIGKILL)
		first.ended()
		capture := newCapture(t, l.Far)
		second := startDaemon(l, program, dir, nil)
		second.await(inState(membership.StateJoined))
		l.reported(capture, wire.AllowNewSources, 1)
		l.wantUsers(1)
		l.hears(l.fed())
	})
}

// The daemon needs no privilege.
func storyUnprivileged(t *testing.T, program string) {
	bothFamilies(t, func(t *testing.T, f family) {
		const nobody = 65534
		l := newLab(t, f)
		dir := l.daemonDir()
		own(t, dir, nobody)
		d := startDaemon(l, program, dir, &syscall.Credential{Uid: nobody, Gid: nobody})
		d.await(inState(membership.StateJoined))
		l.wantUsers(1)
		receiver := l.fed()
		l.hears(receiver)
		l.again()
		d.await(inPlaceOf(1))
		l.wantUsers(1)
		l.hears(receiver)
	})
}

// The daemon does not run while eth0 gets another life with the same index,
// and somebody else joins there. It goes on without robbing them.
func storyStopped(t *testing.T, program string) {
	bothFamilies(t, func(t *testing.T, f family) {
		for name, again := range f.sameIndex() {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				l := newLab(t, f)
				capture := newCapture(t, l.Far)
				d := startDaemon(l, program, l.daemonDir(), nil)
				d.await(inState(membership.StateJoined))
				sockets := socketsIn(t, l.Near)
				d.stop()
				again(l)
				neighbour := l.listener(f.channel)
				d.cont()
				d.await(inPlaceOf(1))
				l.wantUsers(2)
				l.hears(neighbour)

				from := len(capture.Reports())
				ok(t, neighbour.Close())
				l.wantUsers(1)
				l.hears(l.fed())
				l.notLeft(capture, from, l.mark(capture, 0))
				ok(t, l.Cut("eth0"))
				d.await(inState(membership.StateDetached))
				ok(t, l.Connect(testnet.Veth{}))
				d.await(inPlaceOf(2))
				l.wantUsers(1)
				wantSockets(t, l.Near, sockets+2) // the receiver's and the mark's are there too
			})
		}
	})
}

const badFile = `log: {level: loud}
contrl: {}
control: {mode: "0999"}
defaults: {require: [up, power]}
memberships:
  - {name: feed, channels: 10.1.0.1@232.1.1.1, interface: eth0}
  - {name: feed b, channels: 10.1.0.1@239.1.1.1, interface: eth0}
  - {name: feed-c, groups: 232.1.1.1, interface: {nam: eth0}}
  - {name: feed, channels: 10.1.0.1@ff3e::8000:1, interface: eth0}
`

// badFileErrors are a line of standard error each, behind the program's name
// and the file's.
var badFileErrors = []string{
	`1:14: log.level: unknown level "loud", want debug, info, warn or error`,
	`2:1: contrl: unknown key, did you mean "control"?`,
	`3:17: control.mode: "0999" is no mode, want three or four octal digits up to 0777, for example "0660"`,
	`4:26: defaults.require[1]: unknown value "power", want up, carrier or address`,
	`7:12: memberships[1].name: "feed b", want letters, digits, ".", "_" and "-", and not dots alone`,
	`7:30: memberships[1].channels: channel 10.1.0.1@239.1.1.1: group 239.1.1.1 is not source-specific, want one in 232.0.0.0/8 or ff3x::/32, or allow_any_range: true`,
	`8:20: memberships[2](feed-c).groups: given without sources, want both: every source goes with every group`,
	`8:51: memberships[2](feed-c).interface.nam: unknown key, did you mean "name"?`,
	`9:12: memberships[3](feed).name: "feed" is the name of another membership, on line 6, want names that differ`,
	`9:28: memberships[3](feed).channels: channel 10.1.0.1@ff3e::8000:1: source and group of different families, want both IPv4 or both IPv6`,
}

// A file with errors is refused whole, and every error is told at once.
func storyBadFile(t *testing.T, program string) {
	t.Parallel()
	l := newLab(t, v4)
	capture := newCapture(t, l.Far)
	dir := openDir(t)
	file := filepath.Join(dir, "ssmd.yaml")
	ok(t, os.WriteFile(file, []byte(badFile), 0o644))
	d := startDaemon(l, program, dir, nil)
	if code := d.ended(); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	var want strings.Builder
	for _, line := range badFileErrors {
		want.WriteString("ssmd: " + file + ":" + line + "\n")
	}
	if diff := cmp.Diff(want.String(), d.stderr.String()); diff != "" {
		t.Errorf("standard error (-want +got):\n%s", diff)
	}
	silent(t, capture, l.channel.group, 0, l.mark(capture, 0))
	if _, err := os.Stat(filepath.Join(dir, "control.sock")); !os.IsNotExist(err) {
		t.Errorf("the control socket is there: %v", err)
	}
}
