// Package integration tests the whole against the real kernel, in network
// namespaces of its own.
package integration

import (
	"context"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/internal/testnet/wire"
)

func TestMain(m *testing.M) {
	if holding := os.Getenv(holdVariable); holding != "" {
		os.Exit(hold(holding))
	}
	if kind := os.Getenv(contendVariable); kind != "" {
		os.Exit(contend(kind))
	}
	if err := testnet.Isolate(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	waitTogether()
	code := m.Run()
	printTable(os.Stdout)
	os.Exit(code)
}

// waitTogether lets more stories run at a time than there are processors, unless
// -parallel says how many: the most of a story is waiting.
func waitTogether() {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		_ = flag.Set("test.parallel", strconv.Itoa(2*runtime.GOMAXPROCS(0)))
	}
}

// needs skips the test, with a reason, where the kernel lacks something. With
// SSMD_NO_SKIP=1 in the environment the test fails instead.
func needs(t testing.TB, what string, err error) {
	t.Helper()
	switch {
	case err == nil:
	case os.Getenv("SSMD_NO_SKIP") == "1":
		t.Fatalf("this kernel has no %s: %v", what, err)
	default:
		t.Skipf("this kernel has no %s: %v", what, err)
	}
}

// own gives a path to a second user.
func own(t testing.TB, path string, user int) {
	t.Helper()
	needs(t, "second user in this user namespace", os.Chown(path, user, user))
}

// ok ends the test on an error.
func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// patience returns a context that ends after more time than anything should
// take, and with the test.
func patience(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// eventually waits until f returns nil.
func eventually(t testing.TB, f func() error) {
	t.Helper()
	ok(t, testnet.Eventually(patience(t), f))
}

// background runs something until the test ends.
func background(t testing.TB, run func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func newNamespace(t testing.TB) *testnet.Namespace {
	t.Helper()
	n, err := testnet.New()
	ok(t, err)
	t.Cleanup(n.Close)
	return n
}

func newNetwork(t testing.TB) *testnet.Network {
	t.Helper()
	n, err := testnet.NewNetwork(testnet.Veth{})
	ok(t, err)
	t.Cleanup(n.Close)
	return n
}

func newSender(t testing.TB, n *testnet.Network, to ...netip.AddrPort) *testnet.Sender {
	t.Helper()
	s := testnet.NewSender(n.Far, testnet.SenderConfig{To: to})
	background(t, s.Run)
	return s
}

func newReceiver(t testing.TB, n *testnet.Namespace, c testnet.ReceiverConfig) *testnet.Receiver {
	t.Helper()
	r, err := testnet.NewReceiver(n, c)
	ok(t, err)
	t.Cleanup(func() { _ = r.Close() })
	background(t, r.Run)
	return r
}

func newCapture(t testing.TB, n *testnet.Namespace) *wire.Capture {
	t.Helper()
	c, err := wire.NewCapture(n)
	ok(t, err)
	t.Cleanup(func() { _ = c.Close() })
	background(t, c.Run)
	return c
}
