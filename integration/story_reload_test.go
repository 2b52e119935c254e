package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/internal/testnet/wire"
	"github.com/ssmd-project/ssmd/membership"
)

// entry is a membership of a daemon's file on eth0.
func entry(name string, channels ...channel) string {
	var texts []string
	for _, c := range channels {
		texts = append(texts, `"`+c.String()+`"`)
	}
	return fmt.Sprintf("  - name: %s\n    channels: [%s]\n    interface: eth0\n", name, strings.Join(texts, ", "))
}

// write replaces a file as editors and package managers do, by a rename.
func write(t testing.TB, path, content string) {
	t.Helper()
	ok(t, os.WriteFile(path+".new", []byte(content), 0o644))
	ok(t, os.Rename(path+".new", path))
}

// has waits until the daemon has these memberships, joined, and no others.
func (d *daemon) has(names ...string) {
	d.t.Helper()
	eventually(d.t, func() error {
		all, err := d.client.Memberships(d.ctx)
		if err != nil {
			return err
		}
		var have []string
		for _, s := range all {
			if s.State == membership.StateJoined {
				have = append(have, s.Name)
			}
		}
		if got, want := strings.Join(have, " "), strings.Join(names, " "); got != want || len(all) != len(names) {
			return fmt.Errorf("%d memberships, joined are %q, want %q", len(all), got, want)
		}
		return nil
	})
}

// The daemon's file, and those that it includes, change in every way in which
// they do. Of what is in them all along nothing is heard on the wire.
func storyReloaded(t *testing.T, program string) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		dir := l.daemonDir()
		file, included := filepath.Join(dir, "ssmd.yaml"), filepath.Join(dir, "memberships.d")
		ok(t, os.Mkdir(included, 0o755))
		const head = "include: memberships.d/*.yaml\nmemberships:\n"
		write(t, file, head+entry("feed", f.channel))
		capture := newCapture(t, l.Far)
		d := startDaemon(l, program, dir, nil)
		d.has("feed")
		l.settled(capture)
		receiver := l.fed()
		l.hears(receiver)
		from := len(capture.Reports())

		write(t, file, head+entry("feed", f.channel)+entry("more", f.spare(11))) // by a rename
		d.has("feed", "more")
		write(t, filepath.Join(included, "10-a.yaml"), "memberships:\n"+entry("included", f.spare(12))) // a file more
		d.has("feed", "included", "more")
		ok(t, os.Remove(filepath.Join(included, "10-a.yaml"))) // a file less
		d.has("feed", "more")

		write(t, file, "memberships: [{name: feed, chanels: x}]\n") // a bad one, and a good one again
		eventually(t, func() error {
			daemon, err := d.client.Daemon(d.ctx)
			if err == nil && (daemon.LastReload == nil || daemon.LastReload.Successful) {
				return fmt.Errorf("the bad file is not told of: %+v", daemon.LastReload)
			}
			return err
		})
		d.has("feed", "more")
		write(t, file, head+entry("feed", f.channel))
		d.has("feed")

		ok(t, os.WriteFile(file, []byte(head+entry("feed", f.channel)+entry("hup", f.spare(13))), 0o644)) // in its place, and SIGHUP
		d.signal(unix.SIGHUP)
		d.has("feed", "hup")

		ok(t, l.Recreate("eth0", testnet.Veth{})) // while an interface is re-created
		write(t, file, head+entry("feed", f.channel)+entry("last", f.spare(14)))
		d.has("feed", "last")
		l.hears(receiver)

		marked := l.mark(capture, 1)
		l.notLeft(capture, from, marked)
	})
}

// A directory as Kubernetes makes it for a ConfigMap: the file is a link into
// ..data, which is a link to a directory, and that is what is swapped.
func storyReloadedConfigMap(t *testing.T, program string) {
	t.Parallel()
	l := newLab(t, v4)
	dir := l.daemonDir()
	version := func(n int, content string) {
		name := fmt.Sprintf("..version%d", n)
		ok(t, os.Mkdir(filepath.Join(dir, name), 0o755))
		ok(t, os.WriteFile(filepath.Join(dir, name, "ssmd.yaml"), []byte("memberships:\n"+content), 0o644))
		ok(t, os.Symlink(name, filepath.Join(dir, "..tmp")))
		ok(t, os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data")))
	}
	ok(t, os.Remove(filepath.Join(dir, "ssmd.yaml")))
	ok(t, os.Symlink("..data/ssmd.yaml", filepath.Join(dir, "ssmd.yaml")))
	version(1, entry("feed", l.channel))
	d := startDaemon(l, program, dir, nil)
	d.has("feed")
	version(2, entry("feed", l.channel)+entry("more", l.spare(11)))
	d.has("feed", "more")
	ok(t, os.RemoveAll(filepath.Join(dir, "..version1")))
	version(3, entry("more", l.spare(11)))
	d.has("more")
}

// Ten thousand channels are in the file all along, and one changes, comes and
// goes: of the others there is not a word on the wire, and no system call.
func storyReloadedMany(t *testing.T, program string) {
	t.Parallel()
	const many = 10_000
	l := newLab(t, v4)
	dir := l.daemonDir()
	file := filepath.Join(dir, "ssmd.yaml")
	channels := make([]channel, many)
	for n := range channels {
		channels[n] = l.spare(n + 100)
	}
	all := "memberships:\n" + entry("many", channels...)
	write(t, file, all+entry("feed", l.spare(1)))
	capture := newCapture(t, l.Far)
	d := startDaemon(l, program, dir, nil)
	d.has("feed", "many")
	last := channels[many-1]
	eventually(t, func() error {
		if n := capture.Count(func(r wire.Report) bool { return r.Is(wire.AllowNewSources, last.source, last.group) }); n < 2 {
			return fmt.Errorf("%d reports of the last channel", n)
		}
		return nil
	})
	l.mark(capture, 5)
	from := len(capture.Reports())
	for _, content := range []string{entry("feed", l.spare(2)), "", entry("feed", l.spare(1))} {
		write(t, file, all+content)
		_, err := d.client.Reload(d.ctx)
		ok(t, err)
	}
	d.has("feed", "many")
	few := map[string]bool{l.spare(1).group.String(): true, l.spare(2).group.String(): true, l.spare(5).group.String(): true, l.spare(6).group.String(): true}
	for _, r := range capture.Reports()[from:l.mark(capture, 6)] {
		if !few[r.Group.String()] && r.Group.Is4() && r.Group.As4()[0] == 232 {
			t.Fatalf("heard %v", r)
		}
	}
	status, err := d.client.Membership(d.ctx, "many")
	ok(t, err)
	if status.Counters != (membership.Counters{Attaches: 1}) {
		t.Errorf("%+v", status.Counters)
	}
}
