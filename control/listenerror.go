package control

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// ErrInUse is wrapped by the error of Listen where another process has the
// socket.
var ErrInUse = errors.New("in use")

var (
	errNotOurs = errors.New("not removed")       // what Listen leaves alone
	errGroup   = errors.New("set control.group") // the file is made, but not for the group
)

// ListenError says why there is no control socket. Unwrap gives the cause, so
// that errors.Is finds fs.ErrPermission and the like.
type ListenError struct {
	Path string
	Err  error
	Hint string // what to do about it; may be empty
}

// Error returns the path, the cause and what to do.
func (e *ListenError) Error() string {
	text := fmt.Sprintf("control socket %s: %v", e.Path, e.Err)
	if e.Hint != "" {
		text += ": " + e.Hint
	}
	return text
}

// Unwrap returns the cause.
func (e *ListenError) Unwrap() error { return e.Err }

// hint says what to do about an error of Listen.
func hint(err error) string {
	const choose = "choose another path by --control-socket, SSMD_CONTROL_SOCKET or control.socket"
	switch {
	case errors.Is(err, ErrInUse):
		return "stop it, or " + choose
	case errors.Is(err, errGroup):
		return "run as root, or choose a group that the user is in"
	case errors.Is(err, fs.ErrPermission):
		return "run as root, or " + choose + forExample()
	case errors.Is(err, errNotOurs):
		return "move it away, or " + choose
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.EROFS), errors.Is(err, syscall.ENOTDIR):
		return "make its directory, or " + choose + forExample()
	}
	return ""
}

// forExample names a place where a user without privileges can have a socket.
func forExample() string {
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		return ", for example --control-socket " + dir + "/ssmd.sock"
	}
	return ", for example --control-socket " + os.TempDir() + "/ssmd.sock"
}
