package wire

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/ssmd-project/ssmd/internal/testnet"
)

func TestMain(m *testing.M) {
	if err := testnet.Isolate(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

var (
	data4 = netip.MustParseAddrPort("232.1.1.1:5000")
	data6 = netip.MustParseAddrPort("[ff3e::8000:1]:5000")

	someGroups = []netip.AddrPort{
		data4, netip.MustParseAddrPort("232.1.1.2:5000"), netip.MustParseAddrPort("232.1.1.3:5000"),
	}
)

// ok ends the test on an error.
func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// patience returns a context that ends after more time than anything here
// should take, and with the test.
func patience(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func network(t testing.TB) *testnet.Network {
	t.Helper()
	n, err := testnet.NewNetwork(testnet.Veth{})
	ok(t, err)
	t.Cleanup(n.Close)
	return n
}

// capture captures for as long as the test.
func capture(t testing.TB, n *testnet.Namespace) *Capture {
	t.Helper()
	c, err := NewCapture(n)
	ok(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		_ = c.Close()
	})
	return c
}
