package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/ssmd-project/ssmd/internal/socketpath"
)

// ErrNoDaemon is found by errors.Is where nothing listens on the socket.
var ErrNoDaemon = errors.New("no daemon")

// ErrNoAnswer is found by errors.Is where a daemon has the socket and does not
// answer: it is stopped, or has far too much to do.
var ErrNoAnswer = errors.New("no answer")

// DialError says that the daemon could not be reached. errors.Is finds
// ErrNoDaemon where nothing listens there, and the cause always.
type DialError struct {
	Socket string
	Err    error
}

// Error says what is wrong and what to look at.
func (e *DialError) Error() string {
	if e.noDaemon() {
		return fmt.Sprintf("no daemon at %s: is ssmd running? (--socket, SSMD_CONTROL_SOCKET)", e.Socket)
	}
	text := fmt.Sprintf("connect to %s: %v", e.Socket, bare(e.Err))
	if errors.Is(e.Err, fs.ErrPermission) {
		text += ": want root, or what the daemon's control.mode, control.group and control.readers allow"
	}
	return text
}

// Unwrap returns the cause.
func (e *DialError) Unwrap() error { return e.Err }

// Is finds ErrNoDaemon.
func (e *DialError) Is(target error) bool { return target == ErrNoDaemon && e.noDaemon() }

func (e *DialError) noDaemon() bool {
	return errors.Is(e.Err, fs.ErrNotExist) || errors.Is(e.Err, syscall.ECONNREFUSED) || errors.Is(e.Err, syscall.ENOTDIR)
}

// noAnswerError is the ErrNoAnswer of one client.
type noAnswerError struct {
	socket string
	within time.Duration
}

// Error says what may be the matter.
func (e *noAnswerError) Error() string {
	return fmt.Sprintf("the daemon at %s does not answer within %s: is it stopped, or overloaded?", e.socket, e.within)
}

// Unwrap returns ErrNoAnswer.
func (e *noAnswerError) Unwrap() error { return ErrNoAnswer }

// dialSocket connects to a daemon, or says why that cannot be.
func dialSocket(ctx context.Context, path string) (net.Conn, error) {
	if err := socketpath.Validate(path); err != nil {
		return nil, err
	}
	connection, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if errors.Is(err, syscall.ECONNREFUSED) {
		// What is no socket refuses too.
		if file, statErr := os.Stat(path); statErr == nil && file.Mode().Type() != fs.ModeSocket {
			return nil, fmt.Errorf("%s, want the daemon's socket", kindOf(file.Mode()))
		}
	}
	return connection, err
}
