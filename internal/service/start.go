package service

import (
	"net"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"
)

// Passed is what the service manager passed to this start. Whoever takes
// something out closes it.
type Passed struct {
	Sockets []*net.UnixListener // to listen on, by socket activation
	Stored  map[string][]int    // descriptors that an earlier run stored, by name
}

// Start takes what was passed, and its description out of the environment.
// Descriptors of the given names are those that an earlier run stored; the unix
// sockets that listen are for clients; what is neither is closed.
func Start(stored ...string) Passed {
	p := Passed{Stored: make(map[string][]int)}
	for _, f := range activation.Files(true) {
		if slices.Contains(stored, f.Name()) {
			// The number outlives the file, which closes its own.
			if fd, err := duplicate(f); err == nil {
				p.Stored[f.Name()] = append(p.Stored[f.Name()], fd)
			}
		} else if l, err := net.FileListener(f); err == nil {
			if unixListener, ok := l.(*net.UnixListener); ok {
				unixListener.SetUnlinkOnClose(false) // the service manager's
				p.Sockets = append(p.Sockets, unixListener)
			} else {
				_ = l.Close()
			}
		}
		_ = f.Close()
	}
	return p
}

// Take takes the socket of a kind, as package net has it, and a path out, nil
// where there is none.
func (p *Passed) Take(network, path string) *net.UnixListener {
	n := slices.IndexFunc(p.Sockets, func(l *net.UnixListener) bool {
		return l.Addr().Network() == network && l.Addr().String() == path
	})
	if n < 0 {
		return nil
	}
	taken := p.Sockets[n]
	p.Sockets = slices.Delete(p.Sockets, n, n+1)
	return taken
}

// WatchdogInterval returns within which time the service manager wants to hear
// that the daemon is alive; zero where it does not ask.
func WatchdogInterval() time.Duration {
	interval, err := daemon.SdWatchdogEnabled(true)
	if err != nil {
		return 0 // as good as not asked for
	}
	return interval
}

func duplicate(f *os.File) (int, error) {
	return unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
}

// StoreSize returns how many descriptors the service manager keeps for the next
// start at most (FDSTORE in systemd.exec(5), since version 254).
func StoreSize() int {
	size, err := strconv.Atoi(os.Getenv("FDSTORE"))
	if err != nil {
		return 0
	}
	return max(0, size)
}
