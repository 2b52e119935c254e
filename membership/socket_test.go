package membership

import (
	"errors"
	"net"
	"os"
	"syscall"
	"testing"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

func loopbackConn(t *testing.T, network string) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP(network, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func cookieOf(t *testing.T, c syscall.Conn) (number uint64) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { number, err = unix.GetsockoptUint64(int(fd), unix.SOL_SOCKET, unix.SO_COOKIE) })
	}
	if err != nil {
		t.Fatal(err)
	}
	return number
}

// Whatever a connection is called, it is the same socket, and the same value.
func TestSocketOf(t *testing.T) {
	t.Parallel()
	c4, c6 := loopbackConn(t, "udp4"), loopbackConn(t, "udp6")
	file, err := c4.File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for name, x := range map[string]struct {
		conn any
		want *net.UDPConn
	}{
		"UDPConn":            {c4, c4},
		"net.PacketConn":     {net.PacketConn(c6), c6},
		"net.Conn":           {net.Conn(c4), c4},
		"ipv4.PacketConn":    {ipv4.NewPacketConn(c4), c4},
		"ipv6.PacketConn":    {ipv6.NewPacketConn(c6), c6},
		"one in another":     {ipv4.NewPacketConn(ipv6.NewPacketConn(c6).PacketConn), c6},
		"File":               {file, c4},
		"embedded":           {struct{ *net.UDPConn }{c4}, c4},
		"UDPConn, in itself": {syscall.Conn(c6), c6},
	} {
		socket, err := SocketOf(x.conn)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		again, _ := SocketOf(x.conn)
		if cookieOf(t, socket) != cookieOf(t, x.want) || again != socket {
			t.Errorf("%s: %v, then %v", name, socket, again)
		}
	}
}

func TestSocketOfNothing(t *testing.T) {
	t.Parallel()
	closed := loopbackConn(t, "udp4")
	_ = closed.Close()
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	_ = file.Close()
	hidden := struct{ net.PacketConn }{closed}
	for name, x := range map[string]struct {
		conn any
		want error // nil: none in particular
	}{
		"nil":                    {nil, nil},
		"no UDPConn":             {(*net.UDPConn)(nil), nil},
		"no ipv4.PacketConn":     {(*ipv4.PacketConn)(nil), nil},
		"an empty one":           {&ipv6.PacketConn{}, nil},
		"something else":         {"eth0", errors.ErrUnsupported},
		"hidden":                 {hidden, errors.ErrUnsupported},
		"closed":                 {closed, net.ErrClosed},
		"closed, in another one": {ipv4.NewPacketConn(closed), net.ErrClosed},
		"a closed file":          {file, net.ErrClosed},
	} {
		socket, err := SocketOf(x.conn)
		if socket != nil || err == nil || x.want != nil && !errors.Is(err, x.want) {
			t.Errorf("%s: %v, %v", name, socket, err)
		}
	}
}
