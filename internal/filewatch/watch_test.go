package filewatch

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// events tells what the watcher has heard of up to now: the kernel queues an
// event before the call that makes it returns.
func events(t *testing.T, w *Watcher) *quiet {
	t.Helper()
	var q quiet
	buffer := make([]byte, 64<<10)
	raw, err := w.file.SyscallConn()
	ok(t, err)
	ok(t, raw.Read(func(fd uintptr) bool {
		for {
			n, err := unix.Read(int(fd), buffer)
			if err != nil {
				return true
			}
			w.note(buffer[:n], &q, time.Now())
		}
	}))
	return &q
}

// exchange puts a link in the place of another, as kubelet does.
func exchange(t *testing.T, target, link string) {
	t.Helper()
	ok(t, os.Symlink(target, link+"_tmp"))
	ok(t, os.Rename(link+"_tmp", link))
}

// What changes the files that names lead to is heard of, and nothing else.
func TestWhatIsHeard(t *testing.T) {
	tests := []struct {
		name      string
		set       Set
		do        func(*testing.T)
		wantHeard bool
	}{
		{"written", Set{Files: []string{"d/a"}}, func(t *testing.T) { put(t, "d/a", "new") }, true},
		{"renamed over", Set{Files: []string{"d/a"}}, func(t *testing.T) {
			put(t, "d/.a.swp", "new")
			ok(t, os.Rename("d/.a.swp", "d/a"))
		}, true},
		{"removed", Set{Files: []string{"d/a"}}, func(t *testing.T) { ok(t, os.Remove("d/a")) }, true},
		{"appears", Set{Files: []string{"d/new"}}, func(t *testing.T) { put(t, "d/new", "") }, true},
		{"readable again", Set{Files: []string{"d/a"}}, func(t *testing.T) { ok(t, os.Chmod("d/a", 0o600)) }, true},
		{"with its directory", Set{Files: []string{"new/deep/a"}}, func(t *testing.T) { put(t, "new/deep/a", "") }, true},
		{"directory replaced", Set{Files: []string{"d/a"}}, func(t *testing.T) {
			put(t, "e/a", "new")
			ok(t, os.Rename("d", "old"))
			ok(t, os.Rename("e", "d"))
		}, true},
		{"directory above replaced", Set{Files: []string{"up/d/a"}}, func(t *testing.T) { ok(t, os.Rename("up", "old")) }, true},
		{"ConfigMap", Set{Files: []string{"map/a"}}, func(t *testing.T) { exchange(t, "..2", "map/..data") }, true},
		{"ConfigMap, by pattern", Set{Patterns: []string{"map/*"}}, func(t *testing.T) { exchange(t, "..2", "map/..data") }, true},
		{"linked", Set{Files: []string{"link"}}, func(t *testing.T) { put(t, "far/a", "new") }, true},
		{"linked, link exchanged", Set{Files: []string{"link"}}, func(t *testing.T) { exchange(t, "d/a", "link") }, true},
		{"linked, directory exchanged", Set{Files: []string{"link"}}, func(t *testing.T) { ok(t, os.Rename("far", "old")) }, true},
		{"linked nowhere, appears", Set{Files: []string{"dangling"}}, func(t *testing.T) { put(t, "nowhere", "") }, true},
		{"linked in a circle", Set{Files: []string{"circle"}}, func(t *testing.T) { exchange(t, "d/a", "circle") }, true},
		{"pattern, appears", Set{Patterns: []string{"d/*.yaml"}}, func(t *testing.T) { put(t, "d/x.yaml", "") }, true},
		{"pattern, directory appears", Set{Patterns: []string{"new/*.yaml"}}, func(t *testing.T) { ok(t, os.Mkdir("new", 0o755)) }, true},
		{"pattern of directories", Set{Patterns: []string{"*/a"}}, func(t *testing.T) { put(t, "far/a", "new") }, true},
		{"pattern of links", Set{Patterns: []string{"lin?"}}, func(t *testing.T) { put(t, "far/a", "new") }, true},

		{"nothing", Set{Files: []string{"d/a"}, Patterns: []string{"d/*"}}, func(t *testing.T) {}, false},
		{"read", Set{Files: []string{"d/a"}}, func(t *testing.T) {
			_, err := os.ReadFile("d/a")
			ok(t, err)
		}, false},
		{"beside", Set{Files: []string{"d/a"}}, func(t *testing.T) { put(t, "d/b", "new") }, false},
		{"swap file", Set{Patterns: []string{"d/*.yaml"}}, func(t *testing.T) { put(t, "d/.x.yaml.swp", "") }, false},
		{"hidden", Set{Patterns: []string{"d/*.yaml"}}, func(t *testing.T) { put(t, "d/.x.yaml", "") }, false},
		{"backup", Set{Patterns: []string{"d/*.yaml"}}, func(t *testing.T) { put(t, "d/x.yaml~", "") }, false},
		{"other link", Set{Files: []string{"link"}}, func(t *testing.T) { exchange(t, "d/a", "dangling") }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			for _, path := range []string{"d/a", "up/d/a", "far/a", "map/..1/a", "map/..2/a"} {
				put(t, path, "old")
			}
			for link, target := range map[string]string{"link": "far/a", "dangling": "nowhere", "circle": "circle", "map/..data": "..1", "map/a": "..data/a"} {
				ok(t, os.Symlink(target, link))
			}
			w, err := Open(tt.set)
			ok(t, err)
			defer w.Close()
			if w.Blind() != nil {
				t.Errorf("blind: %v", w.Blind())
			}
			if q := events(t, w); !q.over().IsZero() {
				t.Error("something was heard at once")
			}
			tt.do(t)
			if heard := !events(t, w).over().IsZero(); heard != tt.wantHeard {
				t.Errorf("heard: %v, want %v", heard, tt.wantHeard)
			}
		})
	}
}

// While somebody writes, it is not over; a rename and a link are whole at once.
func TestWritersAreWaitedFor(t *testing.T) {
	t.Chdir(t.TempDir())
	put(t, "old", "old")
	w, err := Open(Set{Files: []string{"old", "new", "linked", "moved"}})
	ok(t, err)
	defer w.Close()
	patience := func(q *quiet) time.Duration { return q.over().Sub(q.last) }
	for _, name := range []string{"old", "new"} {
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
		ok(t, err)
		if got := patience(events(t, w)); got != writingTime {
			t.Errorf("%s is truncated: over after %s, want %s", name, got, writingTime)
		}
		_, err = f.WriteString("half")
		ok(t, err)
		ok(t, f.Chmod(0o600))
		if got := patience(events(t, w)); got < writingTime-time.Second {
			t.Errorf("%s is half-written: over after %s, want %s", name, got, writingTime)
		}
		ok(t, f.Close())
		if got := patience(events(t, w)); got != quietTime {
			t.Errorf("%s is written: over after %s, want %s", name, got, quietTime)
		}
	}
	ok(t, os.Symlink("old", "linked"))
	ok(t, os.Rename("old", "moved"))
	if got := patience(events(t, w)); got != quietTime {
		t.Errorf("linked and moved: over after %s, want %s", got, quietTime)
	}
}

func TestWait(t *testing.T) {
	t.Chdir(t.TempDir())
	w, err := Open(Set{Files: []string{"a"}})
	ok(t, err)
	put(t, "a", "1")
	start := time.Now()
	ok(t, w.Wait(t.Context()))
	if took := time.Since(start); took > writingTime {
		t.Errorf("a closed file was waited for %s", took)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Wait(ctx) }()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	if err := w.Wait(t.Context()); err == nil {
		t.Error("a closed watcher heard something")
	}
	w.Close()
}

// Lost events are a change too.
func TestOverflow(t *testing.T) {
	w, err := Open(Set{Files: []string{filepath.Join(t.TempDir(), "a")}})
	ok(t, err)
	defer w.Close()
	var q quiet
	event := binary.NativeEndian.AppendUint32(nil, ^uint32(0)) // of no directory
	event = binary.NativeEndian.AppendUint32(event, unix.IN_Q_OVERFLOW)
	w.note(append(event, make([]byte, 8)...), &q, time.Now())
	if q.over().IsZero() {
		t.Error("not heard of")
	}
}

func TestBlind(t *testing.T) {
	dir := t.TempDir()
	ok(t, os.Chmod(dir, 0o100))
	defer func() { _ = os.Chmod(dir, 0o700) }()
	w, err := openUnprivileged(Set{Files: []string{filepath.Join(dir, "a")}})
	ok(t, err)
	defer w.Close()
	if w.Blind() == nil || !strings.Contains(w.Blind().Error(), "watch "+dir+": permission denied") {
		t.Errorf("got %v", w.Blind())
	}
}

// openUnprivileged is Open without capabilities, as root too has to ask then
// (capabilities(7), CAP_DAC_OVERRIDE).
func openUnprivileged(s Set) (w *Watcher, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // ends with the goroutine, and the loss with it
		none := [2]unix.CapUserData{}
		if err = unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &none[0]); err == nil {
			w, err = Open(s)
		}
	}()
	<-done
	return w, err
}
