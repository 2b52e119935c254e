package control

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func dialHandoff(t *testing.T, path string) *net.UnixConn {
	t.Helper()
	c, err := net.Dial("unixpacket", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c.(*net.UnixConn)
}

// What Listen does for the control socket holds for the other one, in its own
// words.
func TestHandoffEndpoint(t *testing.T) {
	path := socketPath(t)
	killed(t, path) // a stream socket, even
	l, err := Handoff.Listen(path, 0o600, "")
	if err != nil {
		t.Fatal(err)
	}
	if got := l.Addr().Network(); got != "unixpacket" {
		t.Errorf("listens on %s, want unixpacket", got)
	}
	dialHandoff(t, path)
	_, err = Handoff.Listen(path, 0o600, "")
	want := fmt.Sprintf("handoff socket %s: in use by another ssmd, process %d: stop it, or choose another path by --handoff-socket, SSMD_HANDOFF_SOCKET or handoff.socket", path, os.Getpid())
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	_, err = Handoff.Listen(path+"2", 0o600, "no-such-group-here")
	if err == nil || !strings.Contains(err.Error(), "look up handoff.group") {
		t.Errorf("%v, want the key of the group", err)
	}
	files, err := l.Files()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := API.Inherit(path, files, 0o600, ""); err == nil || !strings.Contains(err.Error(), "is no unix socket") {
		t.Errorf("inherited as the control socket: %v", err)
	}
	files, err = l.Files()
	if err != nil {
		t.Fatal(err)
	}
	second, err := Handoff.Inherit(path, files, 0o660, "")
	if err != nil {
		t.Fatal(err)
	}
	l.Abandon()
	if err := errors.Join(l.Close(), second.Own()); err != nil {
		t.Fatal(err)
	}
	dialHandoff(t, path)
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// A path on which somebody listens with a socket of the other kind is theirs.
func TestHandoffEndpointLeavesStreamsAlone(t *testing.T) {
	path := socketPath(t)
	mustListen(t, path)
	if _, err := Handoff.Listen(path, 0o600, ""); !errors.Is(err, ErrInUse) {
		t.Errorf("%v, want ErrInUse", err)
	}
	mustDial(t, path)
}

func newDoor(t *testing.T, o DoorOptions, mode os.FileMode) (*Door, string) {
	t.Helper()
	path := socketPath(t)
	l, err := Handoff.Listen(path, mode, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return NewDoor(l, o), path
}

func (d *Door) mustAccept(t *testing.T) *Visitor {
	t.Helper()
	v, err := d.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestDoorBoundsVisitors(t *testing.T) {
	d, path := newDoor(t, DoorOptions{Most: 2, What: "things"}, 0o600)
	var in []*Visitor
	for range 2 {
		dialHandoff(t, path)
		v := d.mustAccept(t)
		if v.Refused != nil || v.PID != os.Getpid() || v.User != fmt.Sprintf("user %d", os.Geteuid()) {
			t.Fatalf("%+v", v)
		}
		in = append(in, v)
	}
	for range 3 {
		dialHandoff(t, path)
		v := d.mustAccept(t)
		if v.Refused == nil || v.Refused.Type != TypeBusy || !strings.Contains(v.Refused.Detail, "2 things") {
			t.Errorf("the third was told %v", v.Refused)
		}
		_ = v.Close()
	}
	if d.Taken() != 2 {
		t.Errorf("%d are in, want 2", d.Taken())
	}
	for _, v := range in {
		_ = v.Close()
	}
	dialHandoff(t, path)
	v := d.mustAccept(t)
	defer v.Close()
	if v.Refused != nil || d.Taken() != 1 {
		t.Errorf("%v with %d in, want room again", v.Refused, d.Taken())
	}
}

// TestDoorForOthers connects as nobody.
func TestDoorForOthers(t *testing.T) {
	const variable = "SSMD_TEST_DOOR"
	if path := os.Getenv(variable); path != "" {
		for range 4 {
			c, err := net.Dial("unixpacket", path)
			fmt.Println("dialled", err)
			defer c.Close()
		}
		_, _ = io.ReadAll(os.Stdin)
		return
	}
	if os.Getuid() != 0 {
		t.Skip("needs root to become another user")
	}
	for name, test := range map[string]struct {
		mode    os.FileMode
		group   string
		want    []string // what each is told, empty where it is let in
		refusal string
	}{
		"stranger":  {0o660, "0", []string{TypeForbidden, TypeForbidden, TypeForbidden, TypeForbidden}, "may not hand anything over: want root or a member of group 0 (handoff.group)"},
		"group":     {0o660, "65534", []string{"", "", "", TypeBusy}, "each of them 3"},
		"everybody": {0o666, "0", []string{"", "", "", TypeBusy}, "each of them 3"},
	} {
		t.Run(name, func(t *testing.T) {
			access, err := NewHandoffAccess(test.mode, test.group)
			if err != nil {
				t.Fatal(err)
			}
			d, path := newDoor(t, DoorOptions{Access: access, Most: 6, What: "things"}, 0o666)
			if err := os.Chmod(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			cmd := asUser(65534, 65534, "TestDoorForOthers", variable+"="+path)
			stdin, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() {
				_ = stdin.Close()
				_ = cmd.Wait()
			}()
			if line, _ := bufio.NewReader(stdout).ReadString('\n'); line != "dialled <nil>\n" {
				t.Fatal(line)
			}
			for _, want := range test.want {
				v := d.mustAccept(t)
				defer v.Close()
				got := ""
				if v.Refused != nil {
					got = v.Refused.Type
					if !strings.Contains(v.Refused.Detail, test.refusal) {
						t.Errorf("told %s, want %q in it", v.Refused.Detail, test.refusal)
					}
				}
				if got != want || v.User != "user 65534" || v.PID != cmd.Process.Pid {
					t.Errorf("%q for %s, process %d; want %q", got, v.User, v.PID, want)
				}
			}
		})
	}
}

func TestDoorEndsWithItsListener(t *testing.T) {
	path := socketPath(t)
	l, err := Handoff.Listen(path, 0o600, "")
	if err != nil {
		t.Fatal(err)
	}
	d := NewDoor(l, DoorOptions{Most: 1})
	_ = l.Close()
	if _, err := d.Accept(); !errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.EMFILE) {
		t.Errorf("%v, want net.ErrClosed", err)
	}
}
