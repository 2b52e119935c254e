package web

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
)

// Listener listens on http.listen.
type Listener struct {
	net.Listener
	host string // as configured
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
	return &Listener{l, host}, nil
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
