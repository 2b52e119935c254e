package integration

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ssmd-project/ssmd/control"
	"github.com/ssmd-project/ssmd/internal/adopt"
	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/membership"
)

// adopting is a daemon without memberships of its own, and a program that it may
// adopt.
type adopting struct {
	*adoptee
	program, dir string
}

func newAdopting(t *testing.T, program string, f family) *adopting {
	t.Helper()
	r := receivers[1]
	if _, err := exec.LookPath(r.program); err != nil {
		t.Skipf("no %s here: %v", r.program, err)
	}
	l := newLab(t, f)
	dir := openDir(t)
	ok(t, os.WriteFile(filepath.Join(dir, "ssmd.yaml"), []byte("memberships: []\n"), 0o644))
	a := &adopting{startReceiver(l, r), program, dir}
	a.awaitState(adopt.StateJoined)
	return a
}

func (a *adopting) start(more ...string) *daemon {
	a.t.Helper()
	return startAs(a.lab, a.dir, exec.Command(a.program, append(runArgs(a.dir), more...)...), nil)
}

func (a *adopting) selection() control.Selection { return control.Selection{PID: a.pid()} }

func (a *adopting) which() adopt.Selection { return adopt.Selection{PID: a.pid()} }

// kill ends a daemon as it is: what it adopted is stored.
func (a *adopting) kill(d *daemon) {
	a.t.Helper()
	d.signal(syscall.SIGKILL)
	<-d.done
}

// What is adopted is adopted again by the next daemon: after one that was killed,
// and after one that was stopped, with the interface lost meanwhile; and by one
// that takes over.
func storyAdoptedByTheNextDaemon(t *testing.T, program string) {
	bothFamilies(t, func(t *testing.T, f family) {
		a := newAdopting(t, program, f)
		d := a.start()
		name := d.adopt(control.AdoptionRequest{Selection: a.selection()}).Memberships[0]
		for n, end := range []func(){
			func() { a.kill(d) },
			func() {
				d.signal(syscall.SIGTERM)
				<-d.done
			},
		} {
			d.awaitMembership(name, inState(membership.StateJoined))
			end()
			a.wantUsers(1) // the program keeps what it has
			ok(t, a.Recreate("eth0", testnet.Veth{Index: a.index() * n}))
			a.awaitState(adopt.StateDeaf)
			d = a.start()
			d.awaitMembership(name, inState(membership.StateJoined))
			a.awaitState(adopt.StateJoined)
			a.wantUsers(1)
		}
		next := a.start("--takeover")
		<-d.done
		next.awaitMembership(name, inState(membership.StateJoined))
		a.wantUsers(1)
		ok(t, a.Recreate("eth0", testnet.Veth{}))
		next.awaitMembership(name, inPlaceOf(1))
		a.awaitState(adopt.StateJoined)
		a.wantUsers(1)
	})
}

// A daemon that is killed at any moment of a re-creation leaves the program with
// what it had, or joined anew, or, between two calls, with neither: never with
// something that the next daemon does not make good.
func storyAdoptedKilledAnytime(t *testing.T, program string) {
	bothFamilies(t, func(t *testing.T, f family) {
		a := newAdopting(t, program, f)
		d := a.start()
		d.adopt(control.AdoptionRequest{Selection: a.selection()})
		for n := range 10 {
			killed := make(chan error)
			time.AfterFunc(time.Duration(rand.N(6000))*time.Microsecond, func() { killed <- d.cmd.Process.Kill() })
			ok(t, a.Recreate("eth0", testnet.Veth{Index: a.index() * (n % 2)}))
			ok(t, <-killed)
			<-d.done
			d = a.start()
			ok(t, testnet.Eventually(a.ctx, func() error {
				rows, err := adopt.List(a.which())
				if err == nil && len(rows) == 1 && rows[0].State == adopt.StateJoined && rows[0].Ifindex == a.index() || err == nil && len(rows) == 0 {
					return nil
				}
				return fmt.Errorf("the program has %+v, %v", rows, err)
			}))
			if rows, err := adopt.List(a.which()); err == nil && len(rows) == 0 {
				t.Logf("after %d re-creations it was killed between two calls", n+1)
				return
			}
		}
	})
}

// The rules of an adoption are about the interface that was lost, also where the
// daemon was killed before it was.
func storyAdoptedRulesRemember(t *testing.T, program string) {
	t.Parallel()
	a := newAdopting(t, program, v4)
	d := a.start()
	name := d.adopt(control.AdoptionRequest{Selection: a.selection(), Rules: json.RawMessage(`{"reattach": {"policy": "same", "same": ["mac"]}}`)}).Memberships[0]
	d.awaitMembership(name, inState(membership.StateJoined))
	a.kill(d)
	ok(t, a.Recreate("eth0", testnet.Veth{MAC: "02:00:00:00:07:07"}))
	d = a.start()
	d.awaitMembership(name, inState(membership.StateDetached, "mac"))
	a.wantUsers(0)
}

// With few rights, those of the documentation, a daemon that is nobody's adopts a
// program of the superuser's; without them it says what is missing.
func storyAdoptedWithFewRights(t *testing.T, program string) {
	t.Parallel()
	for name, capabilities := range map[string]string{"none": "-all", "enough": "-all,+sys_ptrace,+dac_read_search,+net_raw"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const nobody = 65534
			a := newAdopting(t, program, v4)
			own(t, a.dir, nobody)
			args := []string{
				"--reuid", fmt.Sprint(nobody), "--regid", fmt.Sprint(nobody), "--clear-groups", "--no-new-privs",
				"--inh-caps", capabilities, "--ambient-caps", capabilities, "--bounding-set", capabilities, a.program,
			}
			d := startAs(a.lab, a.dir, exec.Command("setpriv", append(args, runArgs(a.dir)...)...), nil)
			if name == "none" {
				d.refuses(control.AdoptionRequest{Selection: a.selection()}, "it belongs to user 0: want CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH")
				return
			}
			one := d.adopt(control.AdoptionRequest{Selection: a.selection()})
			for n := range 3 {
				ok(t, a.Recreate("eth0", testnet.Veth{Index: a.index() * (n % 2)}))
				d.awaitMembership(one.Memberships[0], inPlaceOf(uint64(n+1)))
				a.awaitState(adopt.StateJoined)
				a.wantUsers(1)
			}
		})
	}
}

// refuses wants the daemon to refuse an adoption, with words.
func (d *daemon) refuses(r control.AdoptionRequest, words string) {
	d.t.Helper()
	var problem *control.Problem
	ok(d.t, testnet.Eventually(d.ctx, func() error { // its socket is there
		_, err := d.client.Adopt(d.ctx, r)
		var refused bool
		if problem, refused = errors.AsType[*control.Problem](err); refused {
			return nil
		}
		return fmt.Errorf("%v, want a refusal", err)
	}))
	if !strings.Contains(problem.Error(), words) {
		d.t.Errorf("%v, want %q", problem, words)
	}
}

// The daemon has nothing of the program but its pidfd, while nothing happens to
// it.
func storyAdoptedHoldsNothing(t *testing.T, program string) {
	t.Parallel()
	a := newAdopting(t, program, v4)
	d := a.start()
	d.adopt(control.AdoptionRequest{Selection: a.selection()})
	theirs := socketsOf(t, a.pid())
	if len(theirs) == 0 {
		t.Fatal("the program has no sockets")
	}
	pidfds, held, samples := 0, 0, 0
	inARow, most := 0, 0
	for began := time.Now(); time.Since(began) < 2500*time.Millisecond; samples++ { // two looks at least
		before := held
		for target, times := range linksOf(t, d.cmd.Process.Pid) {
			if theirs[target] > 0 {
				held++
			}
			if target == "anon_inode:[pidfd]" || strings.HasPrefix(target, "pidfd:") {
				pidfds = times
			}
		}
		if inARow++; held == before {
			inARow = 0
		}
		most = max(most, inARow)
	}
	// On a busy machine a look takes long, but it ends.
	if samples < 50 || held > samples/2 || most > samples/4 || pidfds != 1 {
		t.Errorf("at %d of %d times it held a socket, %d in a row, and %d pidfds", held, samples, most, pidfds)
	}
}

// linksOf returns what the descriptors of a process lead to, and how many.
func linksOf(t *testing.T, pid int) map[string]int {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	ok(t, err)
	links := make(map[string]int)
	for _, entry := range entries {
		if target, err := os.Readlink(filepath.Join(dir, entry.Name())); err == nil {
			links[target]++
		}
	}
	return links
}

// socketsOf is linksOf of sockets alone.
func socketsOf(t *testing.T, pid int) map[string]int {
	t.Helper()
	links := linksOf(t, pid)
	maps.DeleteFunc(links, func(target string, _ int) bool { return !strings.HasPrefix(target, "socket:") })
	return links
}
