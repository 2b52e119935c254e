package testnet

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

func TestNamespaceDo(t *testing.T) {
	t.Parallel()
	a, b := namespace(t), namespace(t)
	ok(t, a.Add(Bridge("in-a")))
	ok(t, b.Add(Bridge("in-b")))
	see := func() string {
		var names []string
		interfaces, _ := net.Interfaces()
		for _, i := range interfaces {
			names = append(names, i.Name)
		}
		return strings.Join(names, " ")
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			var got []string
			err := a.Do(func() error {
				got = append(got, see())
				err := b.Do(func() error { got = append(got, see()); return nil })
				got = append(got, see())
				return err
			})
			if diff := cmp.Diff([]string{"lo in-a", "lo in-b", "lo in-a"}, got); diff != "" || err != nil {
				t.Error(err, diff)
			}
			if strings.Contains(see(), "in-") {
				t.Error("still inside")
			}
		})
	}
	wg.Wait()
	if err := a.Do(func() error { return os.ErrClosed }); !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
}

// A test may end inside, and its thread is restored.
func TestNamespaceDoGoexit(t *testing.T) {
	t.Parallel()
	n := namespace(t)
	ok(t, n.Add(Bridge("inside")))
	t.Run("inner", func(t *testing.T) {
		_ = n.Do(func() error { t.SkipNow(); return nil })
	})
	if _, err := net.InterfaceByName("inside"); err == nil {
		t.Error("still inside")
	}
}

func TestNamespaceStartAndPath(t *testing.T) {
	t.Parallel()
	n := namespace(t)
	var want string
	ok(t, n.Do(func() (err error) { want, err = netnsID(); return err }))
	cmd := exec.Command("readlink", "/proc/self/ns/net")
	var out strings.Builder
	cmd.Stdout = &out
	ok(t, n.Start(cmd))
	ok(t, cmd.Wait())
	if got := strings.TrimSpace(out.String()); got != want {
		t.Errorf("the child is in %s, not %s", got, want)
	}
	byPath, err := netns.GetFromPath(n.Path())
	ok(t, err)
	defer byPath.Close()
	if !byPath.Equal(n.Handle()) {
		t.Error("Path leads elsewhere")
	}
}

func TestSysctl(t *testing.T) {
	t.Parallel()
	n := namespace(t)
	ok(t, n.SetSysctl("net/ipv4/igmp_max_memberships", "33"))
	if got, err := n.Sysctl("net/ipv4/igmp_max_memberships"); got != "33" || err != nil {
		t.Error(got, err)
	}
	if _, err := n.Sysctl("net/no/such"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// A namespace dies, and its interfaces with it, when it is closed: the other
// end of its cable disappears.
func TestCloseEndsTheNamespace(t *testing.T) {
	t.Parallel()
	n, err := NewNetwork(Veth{})
	ok(t, err)
	defer n.Close()
	n.Far.Close()
	n.Far.Close()
	// The kernel ends namespaces one after the other, those of other tests too.
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	ok(t, Eventually(ctx, func() error {
		_, err := n.Near.Netlink.LinkByName("eth0")
		if _, gone := errors.AsType[netlink.LinkNotFoundError](err); gone {
			return nil
		}
		return errors.New("eth0 is still there")
	}))
}

// Everything that the package opens is closed again, and no thread stays in a
// namespace. This runs in a program of its own, where no other test opens files.
func TestNoFilesLeak(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestLeakAlone$", "-test.v")
	cmd.Env = append(os.Environ(), "SSMD_TESTNET_ALONE=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestLeakAlone") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestLeakAlone(t *testing.T) {
	t.Parallel()
	if os.Getenv("SSMD_TESTNET_ALONE") == "" {
		t.Skip("run by TestNoFilesLeak")
	}
	use := func() {
		n, err := NewNetwork(Veth{})
		ok(t, err)
		defer n.Close()
		ctx, cancel := context.WithCancel(patience(t))
		s := NewSender(n.Far, SenderConfig{To: append(someGroups, data6)})
		r, err := NewReceiver(n.Near, ReceiverConfig{Listen: data4, Join: "eth0", Source: Source4})
		ok(t, err)
		var wg sync.WaitGroup
		wg.Go(func() { _ = s.Run(ctx) })
		wg.Go(func() { _ = r.Run(ctx) })
		ok(t, r.WaitNew(ctx, 1))
		ok(t, n.Recreate("eth0", Veth{}))
		ok(t, n.Far.Ask("far0", QueryV3))
		cancel()
		wg.Wait()
		ok(t, r.Close())
	}
	use() // the runtime opens files of its own
	before := openFiles(t)
	for range 3 {
		use()
	}
	var wg sync.WaitGroup
	for range 100 { // so many that the main thread has its turn
		wg.Go(func() {
			n, err := New()
			n.Close()
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	here, err := netnsID()
	ok(t, err)
	if at := threadNamespaces(t); !cmp.Equal(at, []string{here}) {
		t.Errorf("the threads are in %v, the test is in %s", at, here)
	}
	ok(t, Eventually(patience(t), func() error {
		if diff := cmp.Diff(before, openFiles(t)); diff != "" {
			return errors.New(diff)
		}
		return nil
	}))
}

// openFiles lists the program's open files by kind.
func openFiles(t *testing.T) map[string]int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	ok(t, err)
	kinds := map[string]int{}
	for _, e := range entries {
		target, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err == nil {
			kind, _, _ := strings.Cut(target, ":")
			kinds[kind]++
		}
	}
	return kinds
}

// threadNamespaces lists the network namespaces that the program's threads are in.
func threadNamespaces(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob("/proc/self/task/*/ns/net")
	ok(t, err)
	var at []string
	for _, path := range paths {
		if target, err := os.Readlink(path); err == nil { // the thread may have ended
			at = append(at, target)
		}
	}
	slices.Sort(at)
	return slices.Compact(at)
}
