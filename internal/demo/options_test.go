package demo

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func environment(values map[string]string) func(string) string {
	return func(name string) string { return values[name] }
}

// terminal opens a pseudoterminal of 93 columns and 31 rows.
func terminal(t *testing.T) *os.File {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = master.Close() })
	ok(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	ok(t, err)
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	ok(t, err)
	t.Cleanup(func() { _ = tty.Close() })
	ok(t, unix.IoctlSetWinsize(int(tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: 93, Row: 31}))
	return tty
}

func TestDetectWithoutTerminal(t *testing.T) {
	t.Parallel()
	read, write, err := os.Pipe()
	ok(t, err)
	defer read.Close()
	defer write.Close()
	for name, o := range map[string]Options{
		"buffer": Detect(&strings.Builder{}, environment(nil)),
		"pipe":   Detect(write, environment(nil)),
		"dumb":   Detect(terminal(t), environment(map[string]string{"TERM": "dumb"})),
	} {
		if o.Size != nil || o.Color {
			t.Errorf("%s: %+v", name, o)
		}
	}
}

func TestDetectTerminal(t *testing.T) {
	t.Parallel()
	tty := terminal(t)
	o := Detect(tty, environment(map[string]string{"TERM": "xterm", "LANG": "de_DE.UTF-8"}))
	if !o.Color || !o.Unicode || o.Size == nil {
		t.Fatalf("%+v", o)
	}
	if columns, rows := o.Size(); columns != 93 || rows != 31 {
		t.Errorf("%d columns and %d rows", columns, rows)
	}
	if Detect(tty, environment(map[string]string{"NO_COLOR": "1"})).Color {
		t.Error("color in spite of NO_COLOR")
	}
	ok(t, unix.IoctlSetWinsize(int(tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{}))
	if columns, rows := o.Size(); columns != 80 || rows != 24 {
		t.Errorf("without a size: %d columns and %d rows", columns, rows)
	}
}

func TestLocale(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		values map[string]string
		want   bool
	}{
		{nil, false},
		{map[string]string{"LANG": "C"}, false},
		{map[string]string{"LANG": "C.UTF-8"}, true},
		{map[string]string{"LANG": "en_US.utf8"}, true},
		{map[string]string{"LANG": "en_US.UTF-8", "LC_CTYPE": "C"}, false},
		{map[string]string{"LC_CTYPE": "C", "LC_ALL": "en_US.UTF-8"}, true},
	} {
		if got := isUTF8(environment(c.values)); got != c.want {
			t.Errorf("%v: %v", c.values, got)
		}
	}
}
