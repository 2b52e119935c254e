package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ssmd-project/ssmd/membership"
)

func TestRoles(t *testing.T) {
	own := uint32(os.Geteuid())
	both := Access{changes: &group{id: 20}, reads: &group{id: 30}}
	tests := map[string]struct {
		access Access
		peer   peer
		want   role
	}{
		"root":             {Access{}, peer{uid: 0}, changer},
		"own user":         {Access{}, peer{uid: own, groups: []uint32{99}}, changer},
		"another":          {Access{}, peer{uid: own + 1000, groups: []uint32{0}}, stranger},
		"group":            {both, peer{uid: own + 1000, groups: []uint32{20}}, changer},
		"further group":    {both, peer{uid: own + 1000, groups: []uint32{7, 30, 20}}, changer},
		"reader":           {both, peer{uid: own + 1000, groups: []uint32{7, 30}}, reader},
		"in neither":       {both, peer{uid: own + 1000, groups: []uint32{7}}, stranger},
		"unknown":          {both, unknownPeer, stranger},
		"unknown group":    {Access{changes: &group{id: nobodyKnown}}, peer{uid: own + 1000, groups: []uint32{nobodyKnown}}, stranger},
		"unknown and more": {both, peer{uid: nobodyKnown, groups: []uint32{30}}, reader},
	}
	for name, test := range tests {
		if got := test.access.roleOf(test.peer); got != test.want {
			t.Errorf("%s: role %d, want %d", name, got, test.want)
		}
	}
}

func TestNewAccess(t *testing.T) {
	own := &group{id: uint32(os.Getegid()), name: strconv.Itoa(os.Getegid())}
	tests := []struct {
		mode              fs.FileMode
		changers, readers string
		want              Access
		file              fs.FileMode
	}{
		{0o660, "", "", Access{name: "control", mode: 0o660, changes: own}, 0o660},
		{0o600, "", "", Access{name: "control", mode: 0o600}, 0o600},
		{0o640, "7", "", Access{name: "control", mode: 0o640}, 0o640}, // the group cannot connect
		{0o660, "7", "8", Access{name: "control", mode: 0o660, changes: &group{7, "7"}, reads: &group{8, "8"}}, 0o666},
		{0o700, "root", "root", Access{name: "control", mode: 0o700, reads: &group{0, "root"}}, 0o766},
	}
	for _, test := range tests {
		got, err := NewAccess(test.mode, test.changers, test.readers)
		if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(Access{}, group{})); err != nil || diff != "" {
			t.Errorf("%v %q %q: %v (-want +got):\n%s", test.mode, test.changers, test.readers, err, diff)
		}
		if got.Mode() != test.file {
			t.Errorf("%v %q %q: the file has mode %v, want %v", test.mode, test.changers, test.readers, got.Mode(), test.file)
		}
	}
	for want, give := range map[string][2]string{
		"look up control.group: group: unknown group no-such, want the name or the number of a group":   {"no-such", ""},
		"look up control.readers: group: unknown group no-such, want the name or the number of a group": {"", "no-such"},
	} {
		if _, err := NewAccess(0o660, give[0], give[1]); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

// The users and groups of the tests below, which need not exist.
const (
	somebody = 4001
	changing = 4020
	reading  = 4030
)

// inDirectory lets others reach the socket of a harness.
func (h *harness) inDirectory(t *testing.T) {
	t.Helper()
	if err := os.Chmod(filepath.Dir(h.socket), 0o755); err != nil {
		t.Fatal(err)
	}
}

// TestAccess has other users ask, read and change over a real socket.
func TestAccess(t *testing.T) {
	const variable = "SSMD_TEST_SOCKET"
	if path := os.Getenv(variable); path != "" {
		askAsSomebody(NewClient(path))
		return
	}
	if os.Getuid() != 0 {
		t.Skip("needs root to become another user")
	}
	access, err := NewAccess(0o660, strconv.Itoa(changing), strconv.Itoa(reading))
	if err != nil {
		t.Fatal(err)
	}
	yield := func(_ context.Context, successor *net.UnixConn) bool { return successor.Close() != nil }
	h := serveAll(t, ServerOptions{Access: access, Manager: &fakeManager{statuses: []membership.Status{joined}}, Editor: &fakeEditor{}, Yield: yield}, nil)
	h.inDirectory(t)
	const who = "want root or a member of group 4020 (control.group)"
	const good = "read <nil>\nevents <nil>\n"
	const takeover = "take over user 4001 may not take over: want root, or the daemon's own user 0 forbidden\n"
	change := "change user 4001 may read and change nothing: " + who + " forbidden\n"
	takeoverRead := strings.Replace(change, "change", "take over", 1)
	neither := " user 4001 may neither read nor change anything: " + who + "; a member of group 4030 (control.readers) may read forbidden\n"
	tests := map[string]struct {
		uid, gid uint32
		groups   []uint32
		want     string
	}{
		"root":          {0, somebody, nil, good + "change <nil>\ntake over <nil>\n"},
		"group":         {somebody, changing, nil, good + "change <nil>\n" + takeover},
		"further group": {somebody, somebody, []uint32{1, 2, changing}, good + "change <nil>\n" + takeover},
		"many groups":   {somebody, somebody, manyGroups(changing), good + "change <nil>\n" + takeover},
		"reader":        {somebody, reading, nil, good + change + takeoverRead},
		"further":       {somebody, somebody, []uint32{reading}, good + change + takeoverRead},
		"stranger":      {somebody, somebody, nil, "read" + neither + "events" + neither + "change" + neither + "take over" + neither},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			cmd := asUser(test.uid, test.gid, "TestAccess", variable+"="+h.socket)
			cmd.SysProcAttr.Credential.Groups = test.groups
			out, err := cmd.CombinedOutput()
			got, _, _ := strings.Cut(string(out), "PASS")
			if diff := cmp.Diff(test.want, got); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

// manyGroups are more than are asked for at first.
func manyGroups(last uint32) []uint32 {
	var all []uint32
	for n := range uint32(200) {
		all = append(all, 5000+n)
	}
	return append(all, last)
}

func askAsSomebody(c *Client) {
	ctx := context.Background()
	tell := func(what string, err error) {
		suffix := ""
		if problem, ok := errors.AsType[*Problem](err); ok && problem.Type == TypeForbidden && problem.Status == 403 {
			suffix = " forbidden"
		}
		fmt.Printf("%s %v%s\n", what, err, suffix)
	}
	_, err := c.Memberships(ctx)
	tell("read", err)
	stream, err := c.Events(ctx)
	if err == nil {
		stream.Close()
	}
	tell("events", err)
	_, err = c.Put(ctx, "feed-a", []byte("{}"), KeepUntilExit)
	tell("change", err)
	successor, err := c.TakeOver(ctx)
	if err == nil {
		_ = successor.Close()
	}
	tell("take over", err)
}

// Where there are no readers only the mode of the file lets others connect,
// and even so they may do nothing.
func TestAccessByModeAlone(t *testing.T) {
	const variable = "SSMD_TEST_SOCKET"
	if path := os.Getenv(variable); path != "" {
		askAsSomebody(NewClient(path))
		return
	}
	if os.Getuid() != 0 {
		t.Skip("needs root to become another user")
	}
	for mode, want := range map[fs.FileMode]string{
		0o660: "read connect to ",
		0o666: "; control.readers names no group that may read forbidden",
	} {
		access, err := NewAccess(mode, strconv.Itoa(changing), "")
		if err != nil {
			t.Fatal(err)
		}
		h := serveAll(t, ServerOptions{Access: access, Manager: &fakeManager{}}, nil)
		h.inDirectory(t)
		out, err := asUser(somebody, somebody, "TestAccessByModeAlone", variable+"="+h.socket).CombinedOutput()
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%v: %v: got %s, want %q in it", mode, err, out, want)
		}
	}
}
