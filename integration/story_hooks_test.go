package integration

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/internal/hooks"
	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/membership"
)

// hooksText is two hooks: one that notes what it hears of, and one that hangs
// with a child of its own, until it is killed.
func hooksText(t *testing.T, dir string) string {
	t.Helper()
	for name, text := range map[string]string{
		"note": `echo "$SSMD_EVENT $SSMD_MEMBERSHIP $SSMD_INTERFACE $SSMD_INSTANCE $SSMD_CAUSE" >>"$1/noted"`,
		"hang": `sleep 1000 & echo $! >>"$1/hanging"; echo $$ >>"$1/hanging"; sleep 1000`,
	} {
		ok(t, os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755))
	}
	return fmt.Sprintf("hooks:\n  - {command: [%[1]s/note, %[1]s], on: [attached, detached, reattached, joined, held]}\n"+
		"  - {command: [%[1]s/hang, %[1]s], on: [attached, detached], timeout: 3s}\n", dir)
}

// needsOwners skips the test where the files of the system seem to be nobody's, as
// in a user namespace that does not have root: no hook runs then.
func needsOwners(t *testing.T) {
	t.Helper()
	needs(t, "owner of / in this user namespace", hooks.Check("/bin/sh"))
}

// noted waits until the hook has noted exactly this.
func noted(t *testing.T, dir string, lines ...string) {
	t.Helper()
	eventually(t, func() error {
		text, err := os.ReadFile(filepath.Join(dir, "noted"))
		if got, want := strings.TrimSpace(string(text)), strings.Join(lines, "\n"); got != want {
			return fmt.Errorf("noted (%v):\n%s\nwant:\n%s", err, got, want)
		}
		return nil
	})
}

// Hooks hear of each life in order, while datagrams flow, and nothing of them is
// left when the daemon has ended.
func storyHooks(t *testing.T, program string) {
	t.Parallel()
	needsOwners(t)
	l := newLab(t, v4)
	dir := l.daemonDir()
	file := filepath.Join(dir, "ssmd.yaml")
	text, err := os.ReadFile(file)
	ok(t, err)
	hooks := hooksText(t, dir)
	write(t, file, string(text)+hooks)
	d := startDaemon(l, program, dir, nil)
	receiver := l.fed()
	first := d.await(inState(membership.StateJoined)).Attachments[0].Instance
	l.hears(receiver)
	want := []string{fmt.Sprintf("attached feed eth0 %d request", first), fmt.Sprintf("joined feed eth0 %d request", first)}
	noted(t, dir, want...)

	ok(t, l.Recreate("eth0", testnet.Veth{}))
	second := d.await(inPlaceOf(1)).Attachments[0].Instance
	l.hears(receiver)
	want = append(want, fmt.Sprintf("detached feed eth0 %d removal", first), fmt.Sprintf("reattached feed eth0 %d appeared", second), fmt.Sprintf("joined feed eth0 %d appeared", second))
	noted(t, dir, want...)

	// From a reload on another list of events holds, and nothing is touched.
	write(t, file, string(text)+strings.Replace(hooks, "on: [attached, detached, reattached, joined, held]", "on: detached", 1))
	reloaded, err := d.client.Reload(l.ctx)
	ok(t, err)
	if got := fmt.Sprint(reloaded.Changed, reloaded.Settings, reloaded.Restart); got != "[] [hooks] []" {
		t.Errorf("reloaded: %s", got)
	}
	l.again()
	third := d.await(inPlaceOf(2)).Attachments[0].Instance
	want = append(want, fmt.Sprintf("detached feed eth0 %d removal", second))
	noted(t, dir, want...)

	d.signal(unix.SIGTERM)
	if code := d.ended(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	noted(t, dir, append(want, fmt.Sprintf("detached feed eth0 %d shutdown", third))...)
	nothingLeft(t, filepath.Join(dir, "hanging"))
}

// Thousands of events for a hook that hangs: the manager is as quick as ever, and
// the daemon ends in time.
func storyHooksThatHang(t *testing.T, program string) {
	t.Parallel()
	needsOwners(t)
	l := newLab(t, v4)
	dir := l.listeningDir()
	file := filepath.Join(dir, "ssmd.yaml")
	text, err := os.ReadFile(file)
	ok(t, err)
	var more strings.Builder
	const memberships = 1500
	for n := range memberships - 1 {
		fmt.Fprintf(&more, "  - {name: m%d, channels: 10.1.0.1@232.7.%d.%d, interface: eth0}\n", n, n/250, n%250+1)
	}
	head, settings, _ := strings.Cut(string(text), "http:")
	write(t, file, head+more.String()+"http:"+settings+hooksText(t, dir))
	d := startDaemon(l, program, dir, nil)
	receiver := l.fed()
	d.await(inState(membership.StateJoined))
	ok(t, l.Recreate("eth0", testnet.Veth{}))
	d.await(inPlaceOf(1))
	l.hears(receiver)
	eventually(t, func() error {
		now := d.scrape()
		if n := now["ssmd_reattaches_total"]; n != memberships {
			return fmt.Errorf("%v reattached", n)
		}
		if now["ssmd_hook_events_dropped_total"] == 0 {
			return errors.New("nothing is dropped")
		}
		return nil
	})
	d.signal(unix.SIGTERM)
	if code := d.ended(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if !strings.Contains(d.stderr.String(), "the hook is too slow: the oldest events that wait for it are dropped") {
		t.Error("the log does not tell of what was dropped")
	}
}

// wrongHooks are hooks that do what none should. Each process that would stay
// has its number in a file.
var wrongHooks = []struct{ name, text, result string }{
	{"missing", "", "failed"},
	{"fails", "exit 1", "failed"},
	{"floods", "echo $$ >>$1/left; yes & yes >&2", "killed"},
	{"hangs", "echo $$ >>$1/left; exec sleep 1000", "killed"},
	{"stubborn", "trap '' TERM INT HUP; echo $$ >>$1/left; while :; do sleep 1000; done", "killed"},
	{"keeps its output open", "sleep 1000 & echo $! >>$1/left", "good"},
	{"keeps it open elsewhere", "setsid sleep 1000 & echo $! >>$1/elsewhere", "good"},
}

// Whatever hooks do, datagrams flow and memberships move on, each run ends as it
// should, and nothing is left of them but what left their process group.
func storyHooksThatDoWrong(t *testing.T, program string) {
	t.Parallel()
	needsOwners(t)
	l := newLab(t, v4)
	dir := l.listeningDir()
	file := filepath.Join(dir, "ssmd.yaml")
	text, err := os.ReadFile(file)
	ok(t, err)
	hooks := "hooks:\n"
	results := map[string]float64{}
	for _, h := range wrongHooks {
		path := filepath.Join(dir, h.name)
		if h.text != "" {
			ok(t, os.WriteFile(path, []byte("#!/bin/sh\n"+h.text+"\n"), 0o755))
		}
		hooks += fmt.Sprintf("  - {command: [%q, %q], on: [attached, detached, reattached], timeout: 500ms}\n", path, dir)
		results[h.result]++
	}
	write(t, file, string(text)+hooks)
	t.Cleanup(func() { killAll(t, filepath.Join(dir, "elsewhere")) })
	d := startDaemon(l, program, dir, nil)
	receiver := l.fed()
	d.await(inState(membership.StateJoined))
	l.hears(receiver)
	const lives = 3
	for n := range uint64(lives) {
		l.again()
		d.await(inPlaceOf(n + 1))
		l.hears(receiver)
	}
	want := map[string]float64{"dropped": 0}
	for result, n := range results {
		want[result] = n * (1 + 2*lives)
	}
	eventually(t, func() error {
		now := d.scrape()
		got := map[string]float64{"dropped": now["ssmd_hook_events_dropped_total"]}
		for result := range results {
			got[result] = now[fmt.Sprintf("ssmd_hook_runs_total{result=%q}", result)]
		}
		if diff := cmp.Diff(want, got); diff != "" {
			return fmt.Errorf("-want +got:\n%s", diff)
		}
		return nil
	})
	d.signal(unix.SIGTERM)
	if code := d.ended(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	nothingLeft(t, filepath.Join(dir, "left"))
	l.deaf(receiver)
}

// A command that became another user, as by sudo, is not the daemon's to kill: it
// says so, goes on, and ends.
func storyHooksOfAnotherUser(t *testing.T, program string) {
	t.Parallel()
	setpriv, err := exec.LookPath("setpriv")
	needs(t, "setpriv, of Debian's util-linux", err)
	const nobody = 65534
	l := newLab(t, v4)
	dir := l.listeningDir()
	own(t, dir, nobody)
	sudo := filepath.Join(openDir(t), "sudo")
	binary, err := os.ReadFile(setpriv)
	ok(t, err)
	ok(t, os.WriteFile(sudo, binary, 0o755))
	ok(t, os.Chmod(sudo, 0o755|os.ModeSetuid))
	hook := filepath.Join(filepath.Dir(sudo), "hook")
	ok(t, os.WriteFile(hook, fmt.Appendf(nil, "#!/bin/sh\necho $$ >>%s/hanging\nexec %s --reuid=0 sleep 1000\n", dir, sudo), 0o755))
	t.Cleanup(func() { killAll(t, filepath.Join(dir, "hanging")) })
	file := filepath.Join(dir, "ssmd.yaml")
	text, err := os.ReadFile(file)
	ok(t, err)
	write(t, file, fmt.Sprintf("%shooks:\n  - {command: %s, on: [attached, detached], timeout: 500ms}\n", text, hook))
	d := startDaemon(l, program, dir, &syscall.Credential{Uid: nobody, Gid: nobody})
	d.await(inState(membership.StateJoined))
	killed := func(n float64) {
		t.Helper()
		eventually(t, func() error {
			if got := d.scrape()[`ssmd_hook_runs_total{result="killed"}`]; got != n {
				return fmt.Errorf("%v runs were killed, want %v", got, n)
			}
			return nil
		})
	}
	killed(1)
	l.again()
	d.await(inPlaceOf(1))
	l.hears(l.fed())
	killed(2)
	d.signal(unix.SIGTERM)
	if code := d.ended(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if !strings.Contains(d.stderr.String(), "could not be killed: operation not permitted") {
		t.Error("the log does not tell of what is left")
	}
}

// killAll ends the processes whose numbers are in a file.
func killAll(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	ok(t, err)
	for _, word := range strings.Fields(string(text)) {
		pid, err := strconv.Atoi(word)
		ok(t, err)
		_ = unix.Kill(pid, unix.SIGKILL)
	}
}

// nothingLeft holds that the processes are gone whose numbers are in a file.
func nothingLeft(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	ok(t, err)
	pids := strings.Fields(string(text))
	if len(pids) < 4 {
		t.Errorf("only %v hung", pids)
	}
	eventually(t, func() error {
		for _, word := range pids {
			pid, err := strconv.Atoi(word)
			ok(t, err)
			// Whoever adopts a dead one may take its time to reap it.
			stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
			if _, state, _ := strings.Cut(string(stat), ") "); err == nil && !strings.HasPrefix(state, "Z") {
				return fmt.Errorf("process %d is left: %s", pid, stat)
			}
		}
		return nil
	})
}
