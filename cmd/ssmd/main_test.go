package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/vishvananda/netlink"

	"github.com/ssmd-project/ssmd/internal/hooks"
	"github.com/ssmd-project/ssmd/internal/testnet"
)

// errNotIsolated is why the scripts with interfaces are skipped.
var errNotIsolated error

func TestMain(m *testing.M) {
	// The commands that a script runs are this binary too, by another name,
	// and are in the test's namespace already.
	if filepath.Base(os.Args[0]) != "ssmd" {
		errNotIsolated = testnet.Isolate()
	}
	testscript.Main(m, map[string]func(){"ssmd": main})
}

// TestScripts runs the real main on words, files and its output.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/script", Setup: withoutSurroundings, RequireExplicitExec: true, RequireUniqueNames: true, Cmds: commands, Condition: condition})
}

// TestDaemon runs the daemon on interfaces in a private network namespace.
func TestDaemon(t *testing.T) {
	if errNotIsolated != nil {
		t.Skip(errNotIsolated)
	}
	testscript.Run(t, testscript.Params{Dir: "testdata/daemon", Setup: withoutSurroundings, RequireExplicitExec: true, RequireUniqueNames: true, Cmds: commands, Condition: condition})
}

// withoutSurroundings keeps the host's configuration out.
func withoutSurroundings(e *testscript.Env) error {
	e.Setenv("XDG_CONFIG_HOME", filepath.Join(e.WorkDir, "xdg"))
	e.Setenv("SSMD_CONTROL_SOCKET", filepath.Join(e.WorkDir, "s"))
	e.Setenv("SSMD_STATE_DIR", filepath.Join(e.WorkDir, "state"))
	return nil
}

// condition knows [owners]: the files of the system are root's, and not nobody's as
// in a user namespace that does not have root. No hook runs there.
func condition(name string) (bool, error) {
	if name != "owners" {
		return false, fmt.Errorf("unknown condition %q", name)
	}
	return hooks.Check("/bin/sh") == nil, nil
}

// commands are what scripts know besides testscript's own.
var commands = map[string]func(*testscript.TestScript, bool, []string){
	"link":   link,
	"signal": sendSignal,
	"exits":  exits,
	"until":  until,
	"retry":  retry,
}

// link adds or deletes a veth pair, NAME and NAMEp: link add|del NAME. What is
// left at the script's end is deleted.
func link(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: link add|del NAME")
	}
	attributes := netlink.NewLinkAttrs()
	attributes.Name = args[1]
	veth := &netlink.Veth{LinkAttrs: attributes, PeerName: args[1] + "p"}
	if args[0] == "del" {
		ts.Check(netlink.LinkDel(veth))
		return
	}
	ts.Check(netlink.LinkAdd(veth))
	ts.Defer(func() { _ = netlink.LinkDel(veth) }) // the script may have done it
	for _, name := range []string{veth.Name, veth.PeerName} {
		l, err := netlink.LinkByName(name)
		ts.Check(err)
		ts.Check(netlink.LinkSetUp(l))
	}
	l, err := netlink.LinkByName(veth.Name)
	ts.Check(err)
	ts.Check(netlink.LinkSetAlias(l, "red \x1b[31m"))
}

// sendSignal signals the daemon that holds a lock file: signal NAME FILE.
func sendSignal(ts *testscript.TestScript, _ bool, args []string) {
	known := map[string]syscall.Signal{"TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP, "KILL": syscall.SIGKILL, "STOP": syscall.SIGSTOP, "CONT": syscall.SIGCONT}
	if len(args) != 2 || known[args[0]] == 0 {
		ts.Fatalf("usage: signal TERM|HUP|KILL|STOP|CONT LOCKFILE")
	}
	pid, err := strconv.Atoi(strings.TrimSpace(ts.ReadFile(args[1])))
	ts.Check(err)
	ts.Check(syscall.Kill(pid, known[args[0]]))
}

// exits runs ssmd and wants an exit code: exits CODE ARGUMENT...
func exits(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) == 0 {
		ts.Fatalf("usage: exits CODE ARGUMENT...")
	}
	got := "0"
	if err := ts.Exec("ssmd", args[1:]...); err != nil {
		got = strings.TrimPrefix(fmt.Sprint(err), "exit status ")
	}
	if got != args[0] {
		ts.Fatalf("ssmd %s: exit code %s, want %s", strings.Join(args[1:], " "), got, args[0])
	}
}

// until runs ssmd until what it prints, to either output, matches, or with "!"
// does not: until REGEXP ARGUMENT...
func until(ts *testscript.TestScript, not bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: until REGEXP ARGUMENT...")
	}
	untilPrinted(ts, func(matched bool) bool { return matched != not }, args[0], "ssmd", args[1:]...)
}

// retry runs a shell script until what it prints matches, where others may come
// between its steps: retry REGEXP FILE.
func retry(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: retry REGEXP FILE")
	}
	untilPrinted(ts, func(matched bool) bool { return matched }, args[0], "sh", "-e", args[1])
}

func untilPrinted(ts *testscript.TestScript, good func(matched bool) bool, pattern, program string, args ...string) {
	wanted, err := regexp.Compile("(?m)" + pattern)
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	err = testnet.Eventually(ctx, func() error {
		_ = ts.Exec(program, args...) // its output says how it went
		if got := ts.ReadFile("stdout") + ts.ReadFile("stderr"); !good(wanted.MatchString(got)) {
			return fmt.Errorf("%s %s: held against %s:\n%s", program, strings.Join(args, " "), pattern, got)
		}
		return nil
	})
	ts.Check(err)
}
