package control

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
)

// ErrInUse is wrapped by the error of Listen where another process has the
// socket.
var ErrInUse = errors.New("in use")

var errNotOurs = errors.New("not removed") // what Listen leaves alone

// groupError says that the file is made, but not for the group.
type groupError struct {
	key string
	err error
}

func (e *groupError) Error() string { return fmt.Sprintf("set %s: %v", e.key, e.err) }
func (e *groupError) Unwrap() error { return e.err }

// ListenError says why nobody listens at an endpoint. Unwrap gives the cause, so
// that errors.Is finds fs.ErrPermission and the like.
type ListenError struct {
	At   Endpoint
	Path string
	Err  error
	Hint string // what to do about it; may be empty
}

// Error returns the path, the cause and what to do.
func (e *ListenError) Error() string {
	text := fmt.Sprintf("%s socket %s: %v", e.At.name, e.Path, e.Err)
	if e.Hint != "" {
		text += ": " + e.Hint
	}
	return text
}

// Unwrap returns the cause.
func (e *ListenError) Unwrap() error { return e.Err }

func (e Endpoint) failed(path string, err error) *ListenError {
	return &ListenError{At: e, Path: path, Err: err, Hint: e.hint(err)}
}

// hint says what to do about an error of Listen.
func (e Endpoint) hint(err error) string {
	choose := fmt.Sprintf("choose another path by --%s-socket, SSMD_%s_SOCKET or %s.socket", e.name, strings.ToUpper(e.name), e.name)
	_, noGroup := errors.AsType[*groupError](err)
	switch {
	case errors.Is(err, ErrInUse):
		return "stop it, or " + choose
	case noGroup:
		return "run as root, or choose a group that the user is in"
	case errors.Is(err, fs.ErrPermission):
		return "run as root, or " + choose + e.forExample()
	case errors.Is(err, errNotOurs):
		return "move it away, or " + choose
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.EROFS), errors.Is(err, syscall.ENOTDIR):
		return "make its directory, or " + choose + e.forExample()
	}
	return ""
}

// forExample names a place where a user without privileges can have a socket.
func (e Endpoint) forExample() string {
	name := "ssmd.sock"
	if e != API {
		name = "ssmd-" + e.name + ".sock"
	}
	return fmt.Sprintf(", for example --%s-socket %s/%s", e.name, cmp.Or(os.Getenv("XDG_RUNTIME_DIR"), os.TempDir()), name)
}
