package config

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
)

// clean gives the test an environment and a working directory without any
// configuration, and returns the directory.
func clean(t *testing.T) string {
	t.Helper()
	for _, s := range settings() {
		t.Setenv(s.variable(), "")
	}
	dir := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(dir, "xdg"))
	work := filepath.Join(dir, "work")
	if err := os.Mkdir(work, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Chdir(work)
	return dir
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func flags(t *testing.T, args ...string) *pflag.FlagSet {
	t.Helper()
	f := pflag.NewFlagSet("test", pflag.ContinueOnError)
	AddFlags(f)
	if err := f.Parse(args); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestLoadFinds(t *testing.T) {
	dir := clean(t)
	_, err := Load(Options{})
	if !errors.Is(err, ErrNoFile) || !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("got %v, want ErrNoFile", err)
	}
	user := filepath.Join(dir, "xdg", "ssmd", "ssmd.yaml")
	want := "no configuration file: tried " + user + ", /etc/ssmd/ssmd.yaml; write one of them, or name another with -c"
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	// What only looks like the file, as the command itself, is left alone.
	for _, name := range []string{"ssmd", "ssmd.json", "ssmd.toml", "ssmd.yml"} {
		write(t, filepath.Join(filepath.Dir(user), name), "{{{")
	}
	// So is the working directory: in /tmp it holds anybody's files.
	write(t, "ssmd.yaml", "log: {level: error}\n")
	write(t, user, "log: {level: warn}\n")
	c, err := Load(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if c.File != user || c.Log.Level != slog.LevelWarn {
		t.Errorf("got level %v from %s", c.Log.Level, c.File)
	}
}

func TestLoadOverlays(t *testing.T) {
	dir := clean(t)
	path := write(t, filepath.Join(dir, "a.yaml"), "log: {level: warn, format: json}\ncontrol: {group: ssm, mode: 0600, socket: f}\n")
	t.Setenv("SSMD_LOG_LEVEL", "error")
	t.Setenv("SSMD_LOG_FORMAT", "text")
	t.Setenv("SSMD_CONTROL_SOCKET", "e")
	t.Setenv("SSMD_HTTP_LISTEN", ":1")
	t.Setenv("SSMD_CONTROL_GROUP", "")
	t.Setenv("SSMD_CONTROL_READERS", "monitor")
	t.Setenv("SSMD_STATE_DIR", "/v")
	got, err := Load(Options{Path: path, Flags: flags(t, "--log-level=debug", "--control-socket", "x", "--handoff-socket=y", "--handoff-limit=5", "--http-listen=[::1]:9781")})
	if err != nil {
		t.Fatal(err)
	}
	want := Config{Settings: Settings{File: path, Log: Log{Level: slog.LevelDebug, Format: "text"}, Control: Control{Socket: "x", Mode: 0o600, Group: "ssm", Readers: "monitor"}, Handoff: Handoff{Socket: "y", Mode: 0o660, Limit: 5}, HTTP: HTTP{Listen: "[::1]:9781"}, StateDir: "/v", Audit: defaultAudit}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	got, err = Load(Options{Path: path, Flags: flags(t, "--control-group=", "--control-readers=", "--control-mode=660")})
	if err != nil {
		t.Fatal(err)
	}
	if got.Control.Group != "" || got.Control.Readers != "" || got.Control.Mode != 0o660 {
		t.Errorf("an empty flag did not override: %+v", got.Control)
	}
}

func TestLoadErrors(t *testing.T) {
	dir := clean(t)
	path := write(t, filepath.Join(dir, "a.yaml"), "log: {level: wran}\n")
	t.Setenv("SSMD_LOG_LEVEL", "loud")
	t.Setenv("SSMD_HTTP_LISTEN", ":http")
	t.Setenv("SSMD_STATE_DIR", "here")
	t.Setenv("SSMD_SERVICE_HOST", "10.0.0.1")
	_, err := Load(Options{Path: path, Flags: flags(t, "--control-mode", "rw")})
	if err == nil {
		t.Fatal("no error")
	}
	want := path + `:1:14: log.level: unknown level "wran", want debug, info, warn or error
SSMD_LOG_LEVEL: unknown level "loud", want debug, info, warn or error
--control-mode: "rw" is no mode, want three or four octal digits up to 0777, for example "0660"
SSMD_HTTP_LISTEN: ":http" has no port, want a number from 1 to 65535 after the last colon
SSMD_STATE_DIR: "here" is no absolute path, want for example /var/lib/ssmd, or nothing`
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestLoadUnreadable(t *testing.T) {
	dir := clean(t)
	large := write(t, filepath.Join(dir, "large"), "")
	if err := os.Truncate(large, maxFileSize+1); err != nil {
		t.Fatal(err)
	}
	locked := write(t, filepath.Join(dir, "locked"), "")
	if err := os.Chmod(locked, 0); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(dir, "missing")
	tests := []struct{ path, want string }{
		{dir, "read configuration: " + dir + " is a directory, want a file"},
		{large, "read configuration: " + large + " is larger than 16 MiB, want a smaller file"},
		{missing, "no configuration file: tried " + missing + "; write it, or name another with -c"},
		{locked, "read configuration: open " + locked + ": permission denied"},
	}
	for _, tt := range tests {
		if tt.path == locked && os.Geteuid() == 0 {
			continue // root reads everything
		}
		_, err := Load(Options{Path: tt.path})
		if err == nil || err.Error() != tt.want {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
}

func TestLoadPipe(t *testing.T) {
	path := filepath.Join(clean(t), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	go func() { _ = os.WriteFile(path, []byte("log: {level: warn}"), 0) }()
	c, err := Load(Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if c.Log.Level != slog.LevelWarn {
		t.Errorf("got level %v", c.Log.Level)
	}
}

func TestLoadStandardInput(t *testing.T) {
	dir := clean(t)
	saved := os.Stdin
	t.Cleanup(func() { os.Stdin = saved })
	for _, tt := range []struct{ text, want string }{
		{"log: {level: warn}", ""},
		{"lgo: {}", `<standard input>:1:1: lgo: unknown key, did you mean "log"?`},
	} {
		f, err := os.Open(write(t, filepath.Join(dir, "in"), tt.text))
		if err != nil {
			t.Fatal(err)
		}
		os.Stdin = f
		c, err := Load(Options{Path: "-"})
		f.Close()
		if tt.want == "" && (err != nil || c.File != "-") {
			t.Errorf("got %q, %v", c.File, err)
		}
		if tt.want != "" && (err == nil || err.Error() != tt.want) {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
}

func TestLoadWithoutFile(t *testing.T) {
	clean(t)
	write(t, "ssmd.yaml", "nonsense")
	got, err := LoadWithoutFile(Options{Flags: flags(t, "--log-format=json")})
	if err != nil {
		t.Fatal(err)
	}
	want := Config{Settings: Settings{Log: Log{Format: "json"}, Control: Control{Socket: DefaultSocket, Mode: 0o660}, Handoff: Handoff{Mode: 0o660, Limit: 64}, Audit: defaultAudit}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	t.Setenv("SSMD_CONTROL_MODE", "8")
	if _, err = LoadWithoutFile(Options{}); err == nil || !strings.HasPrefix(err.Error(), `SSMD_CONTROL_MODE: "8" is no mode`) {
		t.Errorf("got %v", err)
	}
}

// TestFlagsShowNoDefault holds that help never claims a default that a file
// may change.
func TestFlagsShowNoDefault(t *testing.T) {
	if usage := flags(t).FlagUsages(); strings.Contains(usage, "default \"") || strings.Contains(usage, "(default") {
		t.Errorf("a default is shown:\n%s", usage)
	}
}
