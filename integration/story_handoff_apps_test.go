package integration

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/membership"
	"golang.org/x/sys/unix"
)

// receiverInC compiles the C client as its users do, with whatever finds a fault
// where there is such a thing.
func receiverInC(t *testing.T) []string {
	t.Helper()
	_, err := exec.LookPath("cc")
	needs(t, "C compiler", err)
	program := filepath.Join(openDir(t), "receiver")
	words := []string{"-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-O1", "-g", "-o", program, "../handoff/c/receiver.c", "../handoff/c/ssmd_handoff.c"}
	if exec.Command("cc", append([]string{"-fsanitize=address,undefined"}, words...)...).Run() == nil {
		return []string{program}
	}
	if out, err := exec.Command("cc", words...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return []string{program}
}

func receiverInPython(t *testing.T) []string {
	t.Helper()
	python, err := exec.LookPath("python3")
	needs(t, "Python", err)
	return []string{python, "-B", "../handoff/python/receiver.py"}
}

// Programs in other languages hear through re-creations, and through the ends
// of daemons.
func storyHandoffApps(t *testing.T, program string) {
	receivers := map[string][]string{"c": receiverInC(t), "python": receiverInPython(t)}
	bothFamilies(t, func(t *testing.T, f family) {
		for name, words := range receivers {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				h := newHouse(t, f, program)
				a := h.run(words...)
				a.says("handed over")
				a.says("attached")
				a.hears()
				for n := range 3 {
					ok(t, h.Recreate("eth0", testnet.Veth{Index: h.index() * (n % 2)}))
					h.reattached(uint64(n + 1))
					a.hears()
				}
				h.end(unix.SIGKILL)
				a.says("lost")
				a.hears()
				h.start()
				a.says("handed over")
				ok(t, h.Recreate("eth0", testnet.Veth{}))
				h.reattached(1)
				a.hears()
				h.leave()
				a.says("ended")
			})
		}
	})
}

// The application is killed, at any moment: nothing of it is left, and its port
// is free at once.
func storyHandoffOwnerDies(t *testing.T, program string) {
	inC := receiverInC(t)
	bothFamilies(t, func(t *testing.T, f family) {
		for name, die := range map[string]func(*house, *app){
			"while it is joined": func(h *house, a *app) { a.kill() },
			"while its interface is away": func(h *house, a *app) {
				away := newNamespace(h.t)
				ok(h.t, h.Near.Set("eth0", testnet.MoveTo(away)))
				h.daemon.await(inState(membership.StateDetached))
				a.kill()
				h.gone()
				h.isFree()
				ok(h.t, away.Set("eth0", testnet.MoveTo(h.Near)))
				ok(h.t, h.Near.Set("eth0", testnet.Address("10.1.0.2/24", "2001:db8:1::2/64"), testnet.Up))
			},
			"at the same time as its interface": func(h *house, a *app) {
				a.kill()
				h.again()
			},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				h := newHouse(t, f, program)
				a := h.run(inC...)
				a.says("handed over")
				a.hears()
				die(h, a)
				h.gone()
				h.isFree()
				h.wantUsers(0)
				b := h.run(inC...)
				b.says("handed over")
				b.hears()
			})
		}
		t.Run("between request and answer", func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, f, program)
			h.daemon.stop()
			a := h.run(inC...)
			eventually(t, func() error { // the request lies in the queue
				if threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", a.cmd.Process.Pid)); err != nil || len(threads) < 5 {
					return errors.New("it has not connected yet")
				}
				return nil
			})
			a.kill()
			h.daemon.cont()
			h.isFree()
			h.wantUsers(0)
			b := h.run(inC...)
			b.says("handed over")
			b.hears()
		})
	})
}
