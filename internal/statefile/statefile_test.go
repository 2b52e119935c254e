package statefile

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The variables that make the test program be another process.
const (
	writerVariable = "SSMD_TEST_STATE_WRITER" // saves for ever into this directory
	fullVariable   = "SSMD_TEST_STATE_FULL"   // mounts a small file system there and fills it
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(writerVariable); dir != "" {
		os.Exit(write(dir))
	}
	os.Exit(m.Run())
}

// value is large enough that a write of it takes some time.
type value struct {
	Number  int
	Numbers []int
}

func newValue(n int) value {
	v := value{Number: n, Numbers: make([]int, 20_000)}
	for i := range v.Numbers {
		v.Numbers[i] = n
	}
	return v
}

func write(dir string) int {
	s, err := Open(dir)
	if err != nil {
		panic(err)
	}
	var v value
	if _, err := s.Load(&v); err != nil {
		panic(err)
	}
	for n := v.Number + 1; ; n++ {
		if err := s.Save(newValue(n)); err != nil {
			panic(err)
		}
	}
}

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func load(t *testing.T, s *Store) int {
	t.Helper()
	var n int
	if found, err := s.Load(&n); err != nil || !found {
		t.Fatalf("found %v, %v", found, err)
	}
	return n
}

func save(t *testing.T, s *Store, v any) {
	t.Helper()
	if err := s.Save(v); err != nil {
		t.Fatal(err)
	}
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

// Nobody's pipe in the place of the lock makes Open wait for a writer.
func TestLockThatIsAPipe(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := unix.Mkfifo(filepath.Join(dir, lockName), 0o600); err != nil {
		t.Fatal(err)
	}
	opened := make(chan error, 1)
	go func() {
		s, err := Open(dir)
		if err == nil {
			err = s.Close()
		}
		opened <- err
	}()
	select {
	case err := <-opened:
		if err == nil || !strings.Contains(err.Error(), "no regular file") {
			t.Errorf("error %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("Open waits")
	}
}

// A child that was forked and did not call exec yet has the lock's descriptor.
func TestCloseWithADescriptorElsewhere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	fd, err := unix.Dup(int(s.lock.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
}

func TestSaveAndLoad(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a", "b")
	s := open(t, dir)
	var n int
	if found, err := s.Load(&n); found || err != nil {
		t.Fatalf("in an empty directory: found %v, %v", found, err)
	}
	save(t, s, 1)
	save(t, s, 2)
	_ = s.Close()
	s = open(t, dir)
	if got := load(t, s); got != 2 {
		t.Errorf("loaded %d, want 2", got)
	}
	if got := strings.Join(names(t, dir), " "); got != "lock state.json" {
		t.Errorf("the directory has %s", got)
	}
	if info, err := os.Stat(s.Path()); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// The same again is not written: it wears no flash out.
func TestSaveTheSame(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	save(t, s, 1)
	before, _ := os.Stat(s.Path())
	save(t, s, 1)
	if after, _ := os.Stat(s.Path()); !os.SameFile(before, after) {
		t.Error("written again")
	}
	if err := os.Remove(s.Path()); err != nil {
		t.Fatal(err)
	}
	save(t, s, 1)
	if _, err := os.Stat(s.Path()); err != nil {
		t.Error(err)
	}
}

func TestInUse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	if _, err := Open(dir); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), dir) {
		t.Errorf("opened twice: %v", err)
	}
	_ = s.Close()
	open(t, dir)
}

// What is no state of ours is set aside as it is, and another one is begun.
func TestSetAside(t *testing.T) {
	t.Parallel()
	file := func(content string) func(string) error {
		return func(path string) error { return os.WriteFile(path, []byte(content), 0o600) }
	}
	for name, c := range map[string]struct {
		put func(path string) error
		why string
	}{
		"empty":         {file(""), "damaged: unexpected end"},
		"text":          {file("hello"), "damaged: invalid character"},
		"cut off":       {file(`{"format":"ssmd state","version":1,"sha256":"ab","sta`), "damaged: unexpected end"},
		"other":         {file(`{"format":"fish"}`), `not written by ssmd: format "fish", want "ssmd state"`},
		"newer":         {file(`{"format":"ssmd state","version":7}`), "another version of ssmd: version 7, want 1"},
		"checksum":      {file(`{"format":"ssmd state","version":1,"sha256":"ab","state":1}`), "the checksum is not that of the state"},
		"other meaning": {file(`{"format":"ssmd state","version":1,"sha256":"` + sum([]byte(`"x"`)) + `","state":"x"}`), "cannot unmarshal string"},
		"directory":     {func(p string) error { return os.Mkdir(p, 0o700) }, "no regular file"},
		"symlink":       {func(p string) error { return os.Symlink("/dev/zero", p) }, "no regular file"},
		"pipe":          {func(p string) error { return unix.Mkfifo(p, 0o600) }, "no regular file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, t.TempDir())
			if err := c.put(s.Path()); err != nil {
				t.Fatal(err)
			}
			before, err := os.Lstat(s.Path())
			if err != nil {
				t.Fatal(err)
			}
			var n int
			found, err := s.Load(&n)
			var aside *SetAsideError
			if found || !errors.As(err, &aside) || !strings.Contains(err.Error(), c.why) || !strings.Contains(err.Error(), s.Path()) {
				t.Fatalf("found %v, %v", found, err)
			}
			if after, err := os.Lstat(aside.Aside); err != nil || !os.SameFile(before, after) {
				t.Errorf("not kept as it was: %v", err)
			}
			save(t, s, 5)
			if load(t, s) != 5 {
				t.Error("nothing new was begun")
			}
		})
	}
}

// Two that are set aside within a second are both kept, and so is what appears
// in the place while the program runs.
func TestForeignFileIsNeverOverwritten(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	save(t, s, 1)
	var kept []string
	for n := range 3 {
		replacement := s.Path() + ".new"
		if err := os.WriteFile(replacement, []byte(strconv.Itoa(n)), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(replacement, s.Path()); err != nil {
			t.Fatal(err)
		}
		var aside *SetAsideError
		if err := s.Save(1); !errors.As(err, &aside) {
			t.Fatalf("saved over it: %v", err)
		}
		content, err := os.ReadFile(aside.Aside)
		if err != nil || string(content) != strconv.Itoa(n) {
			t.Errorf("kept %q, %v", content, err)
		}
		kept = append(kept, aside.Aside)
		if load(t, s) != 1 {
			t.Error("not saved")
		}
	}
	if kept[0] == kept[1] || kept[1] == kept[2] {
		t.Errorf("kept as %v", kept)
	}
}

// Killed at any instant, the writer leaves a whole state, and nothing half
// written is left after the next start.
func TestKilledWhileSaving(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rounds, last := 40, 0
	for round := range rounds {
		before, _ := os.Lstat(filepath.Join(dir, fileName)) // nil in the first round
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), writerVariable+"="+dir)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		waitForOther(t, before, filepath.Join(dir, fileName))
		time.Sleep(time.Duration(round) * 500 * time.Microsecond) // an instant, not a wait
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		s, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		var v value
		found, err := s.Load(&v)
		if err != nil || !found {
			t.Fatalf("round %d: found %v, %v", round, found, err)
		}
		for _, n := range v.Numbers {
			if n != v.Number || len(v.Numbers) != 20_000 {
				t.Fatalf("round %d: a mixture", round)
			}
		}
		if got := strings.Join(names(t, dir), " "); got != "lock state.json" {
			t.Fatalf("round %d: the directory has %s", round, got)
		}
		last = max(last, v.Number)
		_ = s.Close()
	}
	if last < 2 {
		t.Error("never killed after a first save")
	}
}

// waitForOther waits until the path leads to another file than before.
func waitForOther(t *testing.T, before os.FileInfo, path string) {
	t.Helper()
	for began := time.Now(); time.Since(began) < 20*time.Second; time.Sleep(time.Millisecond) {
		now, err := os.Lstat(path)
		if err == nil && (before == nil || !os.SameFile(now, before) || now.ModTime() != before.ModTime()) {
			return
		}
	}
	t.Fatalf("nothing new appears at %s", path)
}

// A full disk and one that is read-only are errors that leave the old state.
func TestDiskThatTakesNothing(t *testing.T) {
	dir := os.Getenv(fullVariable)
	if dir == "" {
		t.Parallel()
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestDiskThatTakesNothing$", "-test.v")
		cmd.Env = append(os.Environ(), fullVariable+"="+t.TempDir())
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS,
			UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		}
		out, err := cmd.CombinedOutput()
		if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSPC) {
			t.Skipf("no user namespace: %v", err)
		}
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=32k"); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir)
	save(t, s, 1)
	if err := s.Save(newValue(2)); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("on a full disk: %v", err)
	}
	if got := strings.Join(names(t, dir), " "); got != "lock state.json" || load(t, s) != 1 {
		t.Errorf("after a full disk the directory has %s", got)
	}
	save(t, s, 3)
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	save(t, s, 3) // nothing is to be written
	if err := s.Save(4); !errors.Is(err, unix.EROFS) {
		t.Errorf("on a read-only disk: %v", err)
	}
	if load(t, s) != 3 {
		t.Error("a read-only disk lost the state")
	}
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT, ""); err != nil {
		t.Fatal(err)
	}
	save(t, s, 4)
	if load(t, s) != 4 {
		t.Error("not saved once the disk takes it again")
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(`{"format":"ssmd state","version":1,"sha256":"ab","state":1}`))
	good, err := json.Marshal(document{format, version, sum([]byte("1")), json.RawMessage("1")})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, content []byte) {
		s := open(t, t.TempDir())
		if err := os.WriteFile(s.Path(), content, 0o600); err != nil {
			t.Fatal(err)
		}
		var v any
		found, err := s.Load(&v)
		if left, _ := os.ReadFile(s.Path()); found != (err == nil) || found != (left != nil) {
			t.Errorf("found %v, %v, left %q", found, err, left)
		}
		save(t, s, 1)
	})
}
