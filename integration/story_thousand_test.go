package integration

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"testing"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/membership"
	"github.com/vishvananda/netlink"
)

// held is what a manager holds of the system. Other tests run beside, so only
// what belongs to this one's namespace, interface and label counts.
type held struct{ sockets, files, goroutines int }

// count counts. The interface's name and the label are used by nobody else.
func count(t testing.TB, n *testnet.Namespace, name string) held {
	t.Helper()
	return held{socketsIn(t, n), filesOf(t, name), goroutinesOf(t, name)}
}

// socketsIn counts the sockets of a namespace, bound or not.
func socketsIn(t testing.TB, n *testnet.Namespace) (used int) {
	t.Helper()
	ok(t, n.Do(func() error {
		b, err := os.ReadFile("/proc/thread-self/net/sockstat")
		if err == nil {
			_, err = fmt.Sscanf(string(b), "sockets: used %d", &used)
		}
		return err
	}))
	return used
}

// wantSockets waits until a namespace has so many sockets.
func wantSockets(t testing.TB, n *testnet.Namespace, want int) {
	t.Helper()
	eventually(t, func() error {
		if got := socketsIn(t, n); got != want {
			return fmt.Errorf("%d sockets in the namespace, want %d", got, want)
		}
		return nil
	})
}

// filesOf counts the open files below an interface's directories.
func filesOf(t testing.TB, name string) (files int) {
	t.Helper()
	all, err := filepath.Glob("/proc/self/fd/*")
	ok(t, err)
	for _, fd := range all {
		if to, err := os.Readlink(fd); err == nil && strings.Contains(to, "/"+name+"/") {
			files++
		}
	}
	return files
}

const labelKey = "story"

// goroutinesOf counts the goroutines with a label, which is what a goroutine
// inherits from the one that started it.
func goroutinesOf(t testing.TB, label string) (goroutines int) {
	t.Helper()
	var profile bytes.Buffer
	ok(t, pprof.Lookup("goroutine").WriteTo(&profile, 1))
	for stack := range strings.SplitSeq(profile.String(), "\n\n") {
		number := 0
		if strings.Contains(stack, fmt.Sprintf("%q:%q", labelKey, label)) {
			if _, err := fmt.Sscan(stack, &number); err != nil {
				t.Errorf("read %q: %v", stack, err)
			}
		}
		goroutines += number
	}
	return goroutines
}

// nextReattached waits for the event.
func nextReattached(t testing.TB, ctx context.Context, events *membership.Subscription) {
	t.Helper()
	for {
		e, err := events.Next(ctx)
		ok(t, err)
		if e.Type == membership.EventReattached {
			return
		}
	}
}

// TestStoryThousandLives re-creates an interface over and over, every other
// time with the index it had. What the manager holds stays the same.
func TestStoryThousandLives(t *testing.T) {
	t.Parallel()
	rounds := 1000
	if testing.Short() {
		rounds = 50
	}
	const name = "thousand0"
	ctx, near := t.Context(), newNamespace(t)
	add := func(index int) {
		// Both ends are here: no interface is made and removed more quickly.
		link := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name, Index: index}, PeerName: "peer0"}
		ok(t, near.Add(link, testnet.Up))
		ok(t, near.Set("peer0", testnet.Up))
	}
	add(0)
	feed := onEth0("feed", channelOf(v4.channel), channelOf(v6.channel))
	feed.Rules.Selector.Name = []string{name}
	m := membership.New(membership.Options{Watch: ifwatch.Options{Within: near.Do}})
	pprof.Do(ctx, pprof.Labels(labelKey, name), func(context.Context) { background(t, m.Run) })
	events := m.Subscribe()
	defer events.Close()
	ok(t, m.Apply(ctx, []membership.Membership{feed}))
	before := count(t, near, name)
	if before.sockets < 3 || before.files < 1 || before.goroutines < 2 {
		t.Fatalf("what the manager holds was not found: %+v", before)
	}

	for round := range rounds {
		index, err := near.Index(name)
		ok(t, err)
		ok(t, near.Set(name, testnet.Deleted))
		add(index * (round % 2))
		nextReattached(t, ctx, events)
	}

	status := awaitStatus(t, patience(t), inPlaceOf(uint64(rounds)), func() (membership.Status, error) { return m.StatusOf(ctx, "feed") })
	if c := status.Counters; c.Detaches != uint64(rounds) || c.Errors != 0 || status.Joined != 2 {
		t.Errorf("%d joined, %+v", status.Joined, c)
	}
	eventually(t, func() error {
		if after := count(t, near, name); after != before {
			return fmt.Errorf("the manager holds %+v, held %+v", after, before)
		}
		return nil
	})
	index, err := near.Index(name)
	ok(t, err)
	for _, f := range []family{v4, v6} {
		if got := usersOf(t, near, index, f.channel.group); got != 1 {
			t.Errorf("%d users of %s", got, f.channel.group)
		}
	}
}
