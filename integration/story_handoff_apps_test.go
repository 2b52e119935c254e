package integration

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/membership"
	"golang.org/x/sys/unix"
)

// receivers are programs in other languages that hand their socket over.
var receivers = map[string]func(*testing.T) []string{
	"c":      receiverInC,
	"python": receiverInPython,
}

var compiled = sync.OnceValues(func() (func(dir string) error, error) {
	_, err := exec.LookPath("cc")
	return func(dir string) error { return compile(dir) }, err
})

// compile compiles the C client as its users do, with whatever finds a fault
// where there is such a thing.
func compile(dir string) error {
	words := []string{"-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-O1", "-g", "-o", filepath.Join(dir, "receiver"), "../handoff/c/receiver.c", "../handoff/c/ssmd_handoff.c"}
	if exec.Command("cc", append([]string{"-fsanitize=address,undefined"}, words...)...).Run() == nil {
		return nil
	}
	out, err := exec.Command("cc", words...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

func receiverInC(t *testing.T) []string {
	t.Helper()
	build, err := compiled()
	needs(t, "C compiler", err)
	dir := openDir(t)
	ok(t, build(dir))
	return []string{filepath.Join(dir, "receiver")}
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
	bothFamilies(t, func(t *testing.T, f family) {
		for name, receiver := range receivers {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				words := receiver(t)
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
				a := h.run(receiverInC(t)...)
				a.says("handed over")
				a.hears()
				die(h, a)
				h.gone()
				h.isFree()
				h.wantUsers(0)
				b := h.run(receiverInC(t)...)
				b.says("handed over")
				b.hears()
			})
		}
		t.Run("between request and answer", func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, f, program)
			h.daemon.stop()
			a := h.run(receiverInC(t)...)
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
			b := h.run(receiverInC(t)...)
			b.says("handed over")
			b.hears()
		})
	})
}
