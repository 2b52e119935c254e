package integration

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/internal/testnet/wire"
	"github.com/ssmd-project/ssmd/membership"
	"github.com/ssmd-project/ssmd/reattach"
)

// abroad is a manager in one namespace and memberships in others, which have
// files.
type abroad struct {
	t       *testing.T
	ctx     context.Context
	dir     string
	far     *testnet.Namespace
	manager *membership.Manager
	events  *journal
}

func newAbroad(t *testing.T) *abroad {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute) // the kernel may be slow to end namespaces
	t.Cleanup(cancel)
	a := &abroad{t: t, ctx: ctx, dir: t.TempDir(), far: newNamespace(t)}
	own := newNamespace(t)
	a.manager = membership.New(membership.Options{Watch: ifwatch.Options{Within: own.Do}})
	a.events = newJournal(t, a.manager)
	background(t, a.manager.Run)
	return a
}

func (a *abroad) path(name string) string { return filepath.Join(a.dir, name) }

// make makes a namespace of that name with an eth0, whose far end is far-NAME.
// Only its file keeps it alive, and what is returned until it is closed.
func (a *abroad) make(name, mac string, f family) *testnet.Namespace {
	a.t.Helper()
	n, err := testnet.New()
	ok(a.t, err)
	a.t.Cleanup(n.Close)
	ok(a.t, testnet.AddVeth(n, a.far, testnet.Veth{
		Name: "eth0", MAC: mac, PeerName: "far-" + name,
		Addresses:     []string{"10.1.0.2/24", "2001:db8:1::2/64"},
		PeerAddresses: []string{"10.1.0.1/24", "2001:db8:1::1/64"},
	}))
	ok(a.t, n.Mount(a.path(name)))
	a.t.Cleanup(func() { _ = testnet.Unmount(a.path(name)) })
	return n
}

func (a *abroad) feed(name string, f family) membership.Membership {
	m := f.feed()
	m.Name, m.Namespace = name, a.path(name)
	m.Rules = reattach.Rules{Selector: reattach.ByName("eth0")}
	return m
}

func (a *abroad) wait(name string, state membership.State, words ...string) membership.Status {
	a.t.Helper()
	return awaitStatus(a.t, a.ctx, inState(state, words...), func() (membership.Status, error) { return a.manager.StatusOf(a.ctx, name) })
}

// hears checks that datagrams reach a plain receiver in a namespace.
func (a *abroad) hears(n *testnet.Namespace, name string, f family) {
	a.t.Helper()
	ctx, cancel := context.WithCancel(a.ctx)
	defer cancel()
	s := testnet.NewSender(a.far, testnet.SenderConfig{To: []netip.AddrPort{f.listen()}, Interface: "far-" + name})
	go func() { _ = s.Run(ctx) }()
	r := newReceiver(a.t, n, testnet.ReceiverConfig{Listen: f.listen()})
	ok(a.t, r.WaitNew(a.ctx, 3))
	_ = r.Close()
}

// gone waits until the far end of what was in a namespace is gone: the
// namespace is, and nothing keeps it. The kernel ends one namespace after the
// other, those of all tests on the machine, so the time counts from when it has
// ended one that nobody but the test had, and that was given up later.
func (a *abroad) gone(name string) {
	a.t.Helper()
	witness, err := testnet.New()
	ok(a.t, err)
	ok(a.t, testnet.AddVeth(witness, a.far, testnet.Veth{Name: "eth0", PeerName: "witness"}))
	witness.Close()
	isGone := func(far string) func() error {
		return func() error {
			if _, err := a.far.Index(far); err != nil {
				return nil
			}
			return fmt.Errorf("%s is still there", far)
		}
	}
	ctx, cancel := context.WithTimeout(a.t.Context(), 2*time.Minute)
	defer cancel()
	ok(a.t, testnet.Eventually(ctx, isGone("witness")))
	ctx, cancel = context.WithTimeout(a.t.Context(), time.Second)
	defer cancel()
	ok(a.t, testnet.Eventually(ctx, isGone("far-"+name)))
}

// A namespace that is not there yet, appears, is deleted, and is made again.
func TestStoryNamespaceComesAndGoes(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		a := newAbroad(t)
		feed := a.feed("blue", f)
		feed.Rules.Policy = reattach.Policy{Kind: reattach.PolicySame, Same: []reattach.Attribute{reattach.MAC}}
		ok(t, a.manager.Apply(a.ctx, []membership.Membership{feed}))
		a.wait("blue", membership.StateWaiting, "no such network namespace")

		const mac, other = "02:00:00:00:00:11", "02:00:00:00:00:12"
		blue := a.make("blue", mac, f)
		a.wait("blue", membership.StateJoined)
		a.hears(blue, "blue", f)
		blue.Close()
		ok(t, testnet.Unmount(a.path("blue")))
		a.wait("blue", membership.StateDetached, "no such network namespace")
		a.gone("blue")
		a.events.wait(t, membership.EventDetached, membership.CauseNamespace)

		a.make("blue", other, f).Close()
		a.wait("blue", membership.StateDetached, "same mac", other)
		ok(t, testnet.Unmount(a.path("blue")))
		a.gone("blue")
		blue = a.make("blue", mac, f)
		status := a.wait("blue", membership.StateJoined)
		if status.Counters.Reattaches != 1 || status.Attachments[0].Netns != a.path("blue") {
			t.Errorf("%+v", status)
		}
		a.hears(blue, "blue", f)
	})
}

// Two namespaces have nothing to do with each other, and one in which nothing
// is wished for any more is not held.
func TestStoryTwoNamespaces(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		a := newAbroad(t)
		blue, red := a.make("blue", "", f), a.make("red", "", f)
		ok(t, a.manager.Apply(a.ctx, []membership.Membership{a.feed("blue", f), a.feed("red", f)}))
		a.wait("blue", membership.StateJoined)
		a.wait("red", membership.StateJoined)
		capture := newCapture(t, a.far)
		a.hears(blue, "blue", f)
		a.hears(red, "red", f)
		reported := func() error {
			if capture.Count(func(r wire.Report) bool { return r.Interface == "far-blue" && r.Group == f.channel.group }) < 1 {
				return errors.New("no report")
			}
			return nil
		}
		ok(t, a.manager.Reannounce(a.ctx, "blue"))
		eventually(t, reported)

		red.Close()
		ok(t, testnet.Unmount(a.path("red")))
		a.gone("red")
		if n := usersOf(t, blue, index(t, blue, "eth0"), f.channel.group); n != 1 {
			t.Errorf("%d users in the other namespace", n)
		}
		if status := a.wait("blue", membership.StateJoined); status.Counters.Detaches != 0 {
			t.Errorf("%+v", status)
		}

		// It ends with its last membership, and then nothing holds it.
		ok(t, a.manager.Apply(a.ctx, nil))
		if all, err := a.manager.Interfaces(a.ctx); err != nil || len(all) != 1 {
			t.Errorf("%+v, %v", all, err)
		}
		blue.Close()
		ok(t, testnet.Unmount(a.path("blue")))
		a.gone("blue")
	})
}

func index(t *testing.T, n *testnet.Namespace, name string) int {
	t.Helper()
	i, err := n.Index(name)
	ok(t, err)
	return i
}

// Again and again, and nothing is left behind: no descriptor, no goroutine, no
// thread elsewhere.
func TestStoryNamespaceManyTimes(t *testing.T) {
	a := newAbroad(t)
	ok(t, a.manager.Apply(a.ctx, []membership.Membership{a.feed("blue", v4)}))
	once := func() {
		a.make("blue", "", v4).Close()
		a.wait("blue", membership.StateJoined)
		ok(t, testnet.Unmount(a.path("blue")))
		a.wait("blue", membership.StateDetached, "no such network namespace")
		a.gone("blue")
	}
	once()
	goroutines, files, elsewhere := runtime.NumGoroutine(), descriptors(t), threadsElsewhere(t)
	for range 50 {
		once()
	}
	eventually(t, func() error {
		if g, n := runtime.NumGoroutine(), descriptors(t); g > goroutines || n > files {
			return fmt.Errorf("%d goroutines and %d descriptors, were %d and %d", g, n, goroutines, files)
		}
		return nil
	})
	eventually(t, func() error {
		if n := threadsElsewhere(t); n > elsewhere {
			return fmt.Errorf("%d threads in another namespace, were %d", n, elsewhere)
		}
		return nil
	})
}

func descriptors(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	ok(t, err)
	return len(all)
}

// threadsElsewhere counts the threads in another network namespace than this
// one: the main thread may be, since it cannot end.
func threadsElsewhere(t *testing.T) int {
	t.Helper()
	home, err := os.Readlink("/proc/thread-self/ns/net")
	ok(t, err)
	tasks, err := os.ReadDir("/proc/self/task")
	ok(t, err)
	n := 0
	for _, task := range tasks {
		at, err := os.Readlink("/proc/self/task/" + task.Name() + "/ns/net")
		if err == nil && at != home {
			n++
		}
	}
	return n
}

// A file that is no namespace is told of, and so is one that becomes one.
func TestStoryNoNamespace(t *testing.T) {
	t.Parallel()
	a := newAbroad(t)
	ok(t, os.WriteFile(a.path("blue"), nil, 0o600))
	ok(t, a.manager.Apply(a.ctx, []membership.Membership{a.feed("blue", v4)}))
	a.wait("blue", membership.StateWaiting, "no such network namespace there")
	ok(t, os.Remove(a.path("blue")))
	a.make("blue", "", v4)
	a.wait("blue", membership.StateJoined)
}

// A membership that moves is left here before it is joined there, and begins
// anew.
func TestStoryMembershipMovesToANamespace(t *testing.T) {
	t.Parallel()
	a := newAbroad(t)
	blue := a.make("blue", "", v4)
	red := a.make("red", "", v4)
	feed := a.feed("blue", v4)
	ok(t, a.manager.Put(a.ctx, feed))
	a.wait("blue", membership.StateJoined)
	feed.Namespace = a.path("red")
	ok(t, a.manager.Put(a.ctx, feed))
	status := a.wait("blue", membership.StateJoined)
	if len(status.Attachments) != 1 || status.Attachments[0].Netns != a.path("red") || status.Counters.Detaches != 0 {
		t.Errorf("%+v", status)
	}
	if n := usersOf(t, blue, index(t, blue, "eth0"), v4.channel.group); n != 0 {
		t.Errorf("%d users where it was", n)
	}
	if n := usersOf(t, red, index(t, red, "eth0"), v4.channel.group); n != 1 {
		t.Errorf("%d users where it is", n)
	}
	ok(t, a.manager.Delete(a.ctx, "blue"))
	if _, err := a.manager.StatusOf(a.ctx, "blue"); !errors.Is(err, membership.ErrNotFound) {
		t.Errorf("%v", err)
	}
}

// 64 namespaces: where one goes and comes back, nothing happens in the others.
func TestStoryManyNamespaces(t *testing.T) {
	t.Parallel()
	a, many := newAbroad(t), 64
	if testing.Short() {
		many = 8
	}
	capture := newCapture(t, a.far)
	reports := func(name string, from int) (n int) {
		for _, r := range capture.Reports()[from:] {
			if r.Interface == "far-"+name && r.Group == v4.channel.group {
				n++
			}
		}
		return n
	}
	var set []membership.Membership
	var again *testnet.Namespace
	for n := range many {
		name := fmt.Sprint("n", n)
		again = a.make(name, "", v4)
		set = append(set, a.feed(name, v4))
	}
	ok(t, a.manager.Apply(a.ctx, set))
	for _, m := range set {
		a.wait(m.Name, membership.StateJoined)
	}
	eventually(t, func() error {
		for _, m := range set {
			if n := reports(m.Name, 0); n < 2 {
				return fmt.Errorf("%d reports in %s", n, m.Name)
			}
		}
		return nil
	})
	from, last := len(capture.Reports()), set[many-1].Name
	again.Close()
	ok(t, testnet.Unmount(a.path(last)))
	a.wait(last, membership.StateDetached, "no such network namespace")
	a.gone(last)
	again = a.make(last, "", v4)
	status := a.wait(last, membership.StateJoined)
	if status.Counters.Reattaches != 1 {
		t.Errorf("%+v", status)
	}
	a.hears(again, last, v4)
	eventually(t, func() error {
		if n := reports(last, from); n < 2 {
			return fmt.Errorf("%d reports in %s", n, last)
		}
		return nil
	})
	for _, m := range set[:many-1] {
		if n := reports(m.Name, from); n > 0 {
			t.Errorf("%d reports in %s", n, m.Name)
		}
		if status := a.wait(m.Name, membership.StateJoined); status.Counters.Attaches != 1 || status.Counters.Detaches != 0 || status.Counters.Reannounces != 0 {
			t.Errorf("%+v", status)
		}
	}
}

// Who asks while a namespace's last membership is removed gets an answer.
func TestStoryNamespaceAskedAtItsEnd(t *testing.T) {
	a := newAbroad(t)
	a.make("blue", "", v4)
	feed := a.feed("blue", v4)
	done := make(chan error, 1)
	go func() {
		var err error
		for n := 0; n < 100 && err == nil; n++ {
			if err = a.manager.Put(a.ctx, feed); err == nil {
				err = a.manager.Delete(a.ctx, feed.Name)
			}
		}
		done <- err
	}()
	for {
		select {
		case err := <-done:
			ok(t, err)
			return
		default:
		}
		_, err := a.manager.Status(a.ctx)
		ok(t, err)
		_, err = a.manager.Interfaces(a.ctx)
		ok(t, err)
		_, err = a.manager.Lives(a.ctx)
		ok(t, err)
		if _, err := a.manager.Explain(a.ctx, feed.Name); err != nil && !errors.Is(err, membership.ErrNotFound) {
			t.Fatal(err)
		}
		if _, err := a.manager.StatusOf(a.ctx, feed.Name); err != nil && !errors.Is(err, membership.ErrNotFound) {
			t.Fatal(err)
		}
	}
}
