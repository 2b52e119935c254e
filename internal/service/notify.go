package service

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"
)

const socketVariable = "NOTIFY_SOCKET"

// These bound how long a message waits for room in the service manager's queue; one
// for which there is none is lost. Where one was lost the next ones hardly wait,
// until the service manager reads again.
const (
	patience   = 5 * time.Second
	impatience = 50 * time.Millisecond
)

// Notifier sends messages to the service manager, one after the other. The nil
// Notifier sends none.
type Notifier struct {
	conn *net.UnixConn

	sending  sync.Mutex
	patience time.Duration
	lost     bool // the last message
}

// NewNotifier returns a notifier to the socket that the environment names, nil
// where it names none. Children are not to have it: it is taken out there.
func NewNotifier() (*Notifier, error) {
	path := os.Getenv(socketVariable)
	if path == "" {
		return nil, nil
	}
	if err := os.Unsetenv(socketVariable); err != nil {
		return nil, err
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("notify the service manager: %w", err)
	}
	return &Notifier{conn: conn, patience: patience}, nil
}

// Close gives the socket up.
func (n *Notifier) Close() error {
	if n == nil {
		return nil
	}
	return n.conn.Close()
}

// Ready says that the daemon is up, or is so again after Reloading.
func (n *Notifier) Ready(status string) error {
	return n.send(nil, daemon.SdNotifyReady, "STATUS="+status)
}

// Status says in a line for people how things stand.
func (n *Notifier) Status(status string) error { return n.send(nil, "STATUS="+status) }

// Stopping says that the daemon ends.
func (n *Notifier) Stopping() error { return n.send(nil, daemon.SdNotifyStopping) }

// Alive feeds the watchdog.
func (n *Notifier) Alive() error { return n.send(nil, daemon.SdNotifyWatchdog) }

// Reloading says that the configuration is read anew, until Ready.
func (n *Notifier) Reloading() error {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return err
	}
	return n.send(nil, daemon.SdNotifyReloading, fmt.Sprintf("MONOTONIC_USEC=%d", now.Nano()/int64(time.Microsecond/time.Nanosecond)))
}

// mostDescriptors is how many the kernel takes with one message (SCM_MAX_FD,
// unix(7)).
const mostDescriptors = 253

// Store gives duplicates of descriptors to the service manager, which hands them
// to the next start under a name: letters, digits and "-". Those that it has no
// room for it closes. It does not watch them: what it would take for a hang-up
// means nothing here.
func (n *Notifier) Store(name string, descriptors ...int) error {
	for len(descriptors) > 0 {
		some := descriptors[:min(len(descriptors), mostDescriptors)]
		descriptors = descriptors[len(some):]
		if err := n.send(some, "FDSTORE=1", "FDPOLL=0", "FDNAME="+name); err != nil {
			return err
		}
	}
	return nil
}

// Remove has the service manager close what it stores under a name.
func (n *Notifier) Remove(name string) error { return n.send(nil, "FDSTOREREMOVE=1", "FDNAME="+name) }

// Barrier returns once the service manager has read all that was sent before, or
// with an error where ctx ends.
func (n *Notifier) Barrier(ctx context.Context) error {
	if n == nil {
		return nil
	}
	ours, theirs, err := os.Pipe()
	if err != nil {
		return err
	}
	defer ours.Close()
	err = n.send([]int{int(theirs.Fd())}, "BARRIER=1")
	if err := errors.Join(err, theirs.Close()); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = ours.SetReadDeadline(time.Unix(1, 0)) })()
	if _, err := ours.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("wait for the service manager: %w", context.Cause(ctx))
	}
	return nil // its end is closed
}

func (n *Notifier) send(descriptors []int, lines ...string) error {
	if n == nil {
		return nil
	}
	var rights []byte
	if len(descriptors) > 0 {
		rights = unix.UnixRights(descriptors...)
	}
	message := []byte(strings.Join(lines, "\n"))
	n.sending.Lock()
	defer n.sending.Unlock()
	wait := n.patience
	if n.lost {
		wait = min(wait, impatience)
	}
	_ = n.conn.SetWriteDeadline(time.Now().Add(wait)) // its errors are those of what follows
	raw, err := n.conn.SyscallConn()                  // WriteMsgUnix takes no connected socket of datagrams
	if err == nil {
		writeErr := raw.Write(func(fd uintptr) bool {
			err = unix.Sendmsg(int(fd), message, rights, nil, unix.MSG_NOSIGNAL)
			return !errors.Is(err, unix.EAGAIN)
		})
		err = cmp.Or(writeErr, err)
	}
	n.lost = errors.Is(err, os.ErrDeadlineExceeded)
	if err != nil {
		return fmt.Errorf("notify the service manager of %s: %w", lines[0], err)
	}
	return nil
}
