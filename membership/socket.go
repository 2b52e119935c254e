package membership

import (
	"errors"
	"fmt"
	"net"
	"reflect"
	"syscall"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// SocketOf returns the socket of a connection as a [Membership] takes it. A
// connection is anything with a method SyscallConn, as *net.UDPConn, *net.IPConn
// and *os.File are, mostly in a net.PacketConn; or a *ipv4.PacketConn or
// *ipv6.PacketConn of golang.org/x/net around one. It opens nothing: closing the
// connection closes the socket, and each call for one connection returns the
// same.
//
// The error wraps errors.ErrUnsupported where the type has no socket to be
// reached, as wrappers that hide it have not, and net.ErrClosed where it has
// none any more. Whether the socket receives multicast is found out when it is
// joined on.
func SocketOf(conn any) (syscall.Conn, error) {
	socket, err := socketOf(conn)
	if err != nil {
		return nil, fmt.Errorf("take socket of %T: %w", conn, err)
	}
	raw, err := socket.SyscallConn()
	if err == nil {
		err = callersConn{raw}.Control(func(uintptr) {})
	}
	if err != nil {
		return nil, fmt.Errorf("take socket of %T: %w", conn, err)
	}
	return socket, nil
}

var errNilConn = errors.New("it is nil, want an open one")

func socketOf(conn any) (syscall.Conn, error) {
	if v := reflect.ValueOf(conn); !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
		return nil, errNilConn
	}
	var inner net.PacketConn
	switch c := conn.(type) {
	case syscall.Conn:
		return c, nil
	case *ipv4.PacketConn:
		inner = c.PacketConn
	case *ipv6.PacketConn:
		inner = c.PacketConn
	default:
		return nil, fmt.Errorf("%w: it has no method SyscallConn, want the connection that it was made from", errors.ErrUnsupported)
	}
	return socketOf(inner)
}
