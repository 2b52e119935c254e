package control

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestListenMakesSocketWithModeAndGroup(t *testing.T) {
	for _, mode := range []fs.FileMode{0o600, 0o660, 0o666} {
		path := filepath.Join(filepath.Dir(socketPath(t)), "new", "s")
		l, err := Listen(path, mode, fmt.Sprint(os.Getgid()))
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode(); got != mode|fs.ModeSocket {
			t.Errorf("mode %v, want %v", got, mode|fs.ModeSocket)
		}
		if dir, _ := os.Stat(filepath.Dir(path)); dir.Mode().Perm() != 0o755 {
			t.Errorf("mode %v of the directory, want 0755", dir.Mode())
		}
		for range 2 {
			if err := l.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		}
		if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}

func TestListenIsNeverOpenToOthersBefore(t *testing.T) {
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	l, err := bindOnly(t, socketPath(t))
	if err != nil {
		t.Fatal(err)
	}
	if got := l.file.Mode().Perm(); got != 0o600 {
		t.Errorf("mode %v between bind and chmod, want 0600", got)
	}
}

func bindOnly(t *testing.T, path string) (*Listener, error) {
	l, err := API.bind(path, 0o666, -1)
	if err == nil {
		t.Cleanup(func() { _ = l.Close() })
	}
	return l, err
}

func TestListenRefusesSecondDaemon(t *testing.T) {
	path := socketPath(t)
	first, err := Listen(path, 0o600, "")
	if err != nil {
		t.Fatal(err)
	}
	second, err := Listen(path, 0o600, "")
	if second != nil || !errors.Is(err, ErrInUse) {
		t.Fatalf("second Listen: %v, %v, want ErrInUse", second, err)
	}
	want := fmt.Sprintf("control socket %s: in use by another ssmd, process %d: stop it, or choose another path by --control-socket, SSMD_CONTROL_SOCKET or control.socket", path, os.Getpid())
	if err.Error() != want {
		t.Errorf("got  %s\nwant %s", err, want)
	}
	mustDial(t, path) // the first is untouched
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	third, err := Listen(path, 0o600, "")
	if err != nil {
		t.Fatalf("after the first is gone: %v", err)
	}
	_ = third.Close()
}

// killed leaves what a daemon leaves that is killed with SIGKILL.
func killed(t *testing.T, path string) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = l.Close()
	if err := os.WriteFile(path+".lock", []byte("4194305\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestListenReplacesStaleSocket(t *testing.T) {
	path := socketPath(t)
	killed(t, path)
	l, err := Listen(path, 0o600, "")
	if err != nil {
		t.Fatal(err)
	}
	mustDial(t, path)
	_ = l.Close()
}

func TestListenLeavesOthersAlone(t *testing.T) {
	tests := map[string]struct {
		make func(path string) error
		want string
	}{
		"file":      {func(p string) error { return os.WriteFile(p, []byte("precious"), 0o600) }, "is no socket but a file"},
		"directory": {func(p string) error { return os.Mkdir(p, 0o700) }, "is no socket but a directory"},
		"symlink":   {func(p string) error { return os.Symlink("/nonexistent", p) }, "is no socket but a symbolic link"},
		"fifo":      {func(p string) error { return syscall.Mkfifo(p, 0o600) }, "is no socket but something else"},
		"lock":      {func(p string) error { return os.WriteFile(p+".lock", []byte("precious"), 0o600) }, "is no lock of ssmd"},
		"long lock": {func(p string) error { return os.WriteFile(p+".lock", []byte(strings.Repeat("1", 99)), 0o600) }, "is no lock of ssmd"},
		"lock link": {func(p string) error { return os.Symlink("/nonexistent", p+".lock") }, "is no lock of ssmd"},
		"listener": {func(p string) error {
			l, err := net.Listen("unix", p)
			if err == nil {
				t.Cleanup(func() { _ = l.Close() })
			}
			return err
		}, "in use by another program, which listens there"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			path := socketPath(t)
			if err := test.make(path); err != nil {
				t.Fatal(err)
			}
			before := snapshot(t, filepath.Dir(path))
			l, err := Listen(path, 0o600, "")
			if err == nil {
				_ = l.Close()
				t.Fatal("Listen succeeded")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %q, want %q in it", err, test.want)
			}
			if after := snapshot(t, filepath.Dir(path)); after != before {
				t.Errorf("before:\n%safter:\n%s", before, after)
			}
		})
	}
}

// snapshot lists a directory, with the content of files.
func snapshot(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, e := range entries {
		fmt.Fprintf(&b, "%s %s", e.Name(), e.Type())
		if e.Type().IsRegular() {
			content, _ := os.ReadFile(filepath.Join(dir, e.Name()))
			fmt.Fprintf(&b, " %s", content)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func TestListenSaysWhatIsWrong(t *testing.T) {
	dir := filepath.Dir(socketPath(t))
	t.Setenv("XDG_RUNTIME_DIR", "/run/user/7")
	if err := errors.Join(os.Mkdir(dir+"/d.lock", 0o700), os.Symlink("nowhere", dir+"/l.lock"), syscall.Mkfifo(dir+"/p.lock", 0o600)); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct{ path, group, want string }{
		"empty":        {"", "", "empty, want a path"},
		"abstract":     {"@ssmd", "", "abstract"},
		"too long":     {"/" + strings.Repeat("x", 107), "", "108 bytes long, want a path of at most 107"},
		"no directory": {dir + "/a/b/s", "", "make its directory, or choose another path by --control-socket, SSMD_CONTROL_SOCKET or control.socket, for example --control-socket /run/user/7/ssmd.sock"},
		"lock is dir":  {dir + "/d", "", dir + "/d.lock is there already, and is no lock of ssmd: not removed: move it away, or choose"},
		"lock is link": {dir + "/l", "", dir + "/l.lock is there already, and is no lock of ssmd: not removed: move it away, or choose"},
		"lock is pipe": {dir + "/p", "", dir + "/p.lock is there already, and is no lock of ssmd: not removed: move it away, or choose"},
		"file as dir":  {"/etc/passwd/s", "", "not a directory"},
		"no group":     {dir + "/s", "no-such-group-here", "look up control.group: group: unknown group no-such-group-here, want the name or the number of a group"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Listen(test.path, 0o600, test.group)
			if _, ok := errors.AsType[*ListenError](err); !ok || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %q, want a ListenError with %q in it", err, test.want)
			}
		})
	}
	longest := dir + "/" + strings.Repeat("x", 107-len(dir)-1)
	l, err := Listen(longest, 0o600, "")
	if err != nil {
		t.Fatalf("a path of %d bytes: %v", len(longest), err)
	}
	_ = l.Close()
}

// TestListenAsAnotherUser runs itself as nobody.
func TestListenAsAnotherUser(t *testing.T) {
	const variable = "SSMD_TEST_SOCKET"
	if path := os.Getenv(variable); path != "" {
		_, err := Listen(path, 0o660, os.Getenv("SSMD_TEST_GROUP"))
		fmt.Println(err)
		return
	}
	if os.Getuid() != 0 {
		t.Skip("needs root to become another user")
	}
	dir := filepath.Dir(socketPath(t))
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	open := filepath.Join(dir, "open")
	if err := os.Mkdir(open, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct{ path, group, want string }{
		"socket":    {dir + "/s", "", ": permission denied: run as root, or choose another path by --control-socket, SSMD_CONTROL_SOCKET or control.socket"},
		"directory": {dir + "/new/s", "", ": permission denied: run as root, or choose another path by --control-socket, SSMD_CONTROL_SOCKET or control.socket"},
		"group":     {open + "/s", "0", "set control.group: operation not permitted: run as root, or choose a group that the user is in"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			out, err := asNobody(t, "TestListenAsAnotherUser", variable+"="+test.path, "SSMD_TEST_GROUP="+test.group)
			if err != nil || !strings.Contains(out, test.want) {
				t.Errorf("%v: got %s, want %q in it", err, out, test.want)
			}
		})
	}
	if left, _ := os.ReadDir(open); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// asNobody runs one test of this binary as user and group 65534.
func asNobody(t *testing.T, test string, env ...string) (string, error) {
	t.Helper()
	out, err := asUser(65534, 65534, test, env...).CombinedOutput()
	return string(out), err
}

// asUser returns a command that runs one test of this binary as another user.
func asUser(uid, gid uint32, test string, env ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+test+"$")
	cmd.Env = append(os.Environ(), env...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: gid, Groups: []uint32{}}}
	return cmd
}

func TestCloseLeavesForeignSocket(t *testing.T) {
	path := socketPath(t)
	l, err := Listen(path, 0o600, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	foreign, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Close()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	mustDial(t, path)
}
