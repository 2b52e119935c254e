package testnet

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		os.Exit(play(role))
	}
	if err := Isolate(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

var (
	data4 = netip.MustParseAddrPort("232.1.1.1:5000")
	data6 = netip.MustParseAddrPort("[ff3e::8000:1]:5000")
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

func namespace(t testing.TB) *Namespace {
	t.Helper()
	n, err := New()
	ok(t, err)
	t.Cleanup(n.Close)
	return n
}

func network(t testing.TB) *Network {
	t.Helper()
	n, err := NewNetwork(Veth{})
	ok(t, err)
	t.Cleanup(n.Close)
	return n
}

// run runs something for as long as the test.
func run(t testing.TB, f func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func sender(t testing.TB, n *Network, to ...netip.AddrPort) *Sender {
	t.Helper()
	s := NewSender(n.Far, SenderConfig{To: to})
	run(t, s.Run)
	return s
}

func receiver(t testing.TB, n *Namespace, c ReceiverConfig) *Receiver {
	t.Helper()
	r, err := NewReceiver(n, c)
	ok(t, err)
	t.Cleanup(func() { _ = r.Close() })
	run(t, r.Run)
	return r
}
