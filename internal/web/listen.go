package web

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
)

// Listener listens on http.listen.
type Listener struct {
	*net.TCPListener
	address, host string // as configured
}

// Host returns the host of the address as configured, empty for every address.
func (l *Listener) Host() string { return l.host }

// Configured returns the address as Listen was given it.
func (l *Listener) Configured() string { return l.address }

// Inherit returns the listener of an earlier process, of which the file is a
// duplicate, with the address as that one was given it.
func Inherit(file *os.File, address string) (*Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("http.listen %s: %w", address, err)
	}
	l, err := net.FileListener(file)
	if err != nil {
		return nil, fmt.Errorf("http.listen %s: %w", address, bare(err))
	}
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		_ = l.Close()
		return nil, fmt.Errorf("http.listen %s: was handed over as %s", address, l.Addr().Network())
	}
	return &Listener{tcp, address, host}, nil
}

// Listen listens on HOST:PORT; without a host on every address. A name is
// looked up, which can take as long as the resolver does, or until ctx ends.
func Listen(ctx context.Context, address string) (*Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("http.listen %s: %w", address, err)
	}
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("http.listen %s: %w%s", address, bare(err), hint(err))
	}
	return &Listener{l.(*net.TCPListener), address, host}, nil // what tcp gives
}

// bare drops what net puts around an errno: the address is said already.
func bare(err error) error {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno
	}
	return err
}

// hint says what would help.
func hint(err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return ": another program listens there: stop it, or choose another port"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return ": no interface has this address"
	case errors.Is(err, syscall.EACCES):
		return ": ports below 1024 take a privilege: choose another port"
	}
	return ""
}

func (l *Listener) isLoopback() bool {
	a, ok := l.Addr().(*net.TCPAddr)
	return ok && a.IP.IsLoopback()
}
