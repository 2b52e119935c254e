package adopt

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/ssmd-project/ssmd/internal/testnet"
)

func TestMain(m *testing.M) {
	if os.Getenv(puppetVariable) != "" {
		obey()
	}
	if err := testnet.Isolate(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// family is IPv4 or IPv6 with a channel that the far side sends, and another one.
type family struct {
	name          string
	source, group netip.Addr
	other         netip.Addr // another group
}

const port, from = 5000, 6000

var (
	v4 = family{"v4", testnet.Source4, netip.MustParseAddr("232.1.1.1"), netip.MustParseAddr("232.1.2.2")}
	v6 = family{"v6", testnet.Source6, netip.MustParseAddr("ff3e::8000:1"), netip.MustParseAddr("ff3e::8000:2")}
)

func bothFamilies(t *testing.T, test func(*testing.T, family)) {
	t.Parallel()
	for _, f := range []family{v4, v6} {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			test(t, f)
		})
	}
}

// lab is a network with a puppet on the near side.
type lab struct {
	*testnet.Network
	*puppet
	family
	t   testing.TB
	ctx context.Context
}

func newLab(t testing.TB, f family) *lab {
	t.Helper()
	n, err := testnet.NewNetwork(testnet.Veth{})
	ok(t, err)
	t.Cleanup(n.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return &lab{n, newPuppet(t, n.Near, nil), f, t, ctx}
}

func (l *lab) index() int {
	l.t.Helper()
	index, err := l.Near.Index("eth0")
	ok(l.t, err)
	return index
}

// open has the puppet open a socket for the family's group.
func (l *lab) open() int {
	l.t.Helper()
	return l.do(order{Do: "open", Group: l.group, Port: port})
}

// joinOn has the puppet join the family's channel on an index.
func (l *lab) joinOn(fd, index int) {
	l.t.Helper()
	l.do(order{Do: "join", FD: fd, Index: index, Group: l.group, Source: l.source})
}

// joined has the puppet open a socket and join the family's channel on eth0.
func (l *lab) joined() int {
	l.t.Helper()
	fd := l.open()
	l.joinOn(fd, l.index())
	return fd
}

// rows lists what the puppet has.
func (l *lab) rows() []Row {
	l.t.Helper()
	rows, err := List(Selection{PID: l.pid})
	ok(l.t, err)
	return rows
}

// onThread runs f on a thread that ends with it.
func onThread(t testing.TB, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		f()
	}()
	<-done
}
