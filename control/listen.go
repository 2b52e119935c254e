package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ssmd-project/ssmd/internal/socketpath"
)

// Listener is a socket of a running daemon that clients connect to. It holds the
// lock file beside the socket.
type Listener struct {
	*net.UnixListener
	at    Endpoint
	path  string
	file  fs.FileInfo // the socket as we made it
	lock  *lock
	close sync.Once
	err   error

	abandoned atomic.Bool // the path and the lock are somebody else's
	before    fs.FileInfo // the socket as it was, until what was inherited is owned; nil for none

	reserve reserve
}

// Listen makes the endpoint's socket at path, with a mode and the name or number
// of a group; an empty group means the process's own. Nobody but the owner can
// connect before both are set. Where the parent directory is missing it is
// made, with mode 0755. Every error is a *ListenError.
//
// One daemon at a time has a path: it holds a lock on the file path.lock until
// Close, and the error for a second one wraps ErrInUse. A socket that a killed
// daemon left is replaced. Anything else at the path is refused and left alone.
func (e Endpoint) Listen(path string, mode fs.FileMode, group string) (*Listener, error) {
	l, err := e.listen(path, mode, group)
	if err != nil {
		return nil, e.failed(path, err)
	}
	return l, nil
}

func (e Endpoint) listen(path string, mode fs.FileMode, group string) (*Listener, error) {
	if err := socketpath.Validate(path); err != nil {
		return nil, err
	}
	gid, err := e.lookUpGroup(group)
	if err != nil {
		return nil, err
	}
	if err := makeParent(path); err != nil {
		return nil, err
	}
	lock, err := acquire(path + ".lock")
	if err != nil {
		return nil, err
	}
	l, err := e.bind(path, mode, gid)
	if err != nil {
		lock.release()
		return nil, err
	}
	l.lock = lock
	l.reserve.fill()
	return l, nil
}

// lookUpGroup returns the number of a group, -1 for none.
func (e Endpoint) lookUpGroup(group string) (int, error) {
	if group == "" {
		return -1, nil
	}
	g, err := findGroup(e.name+".group", group)
	if err != nil {
		return -1, err
	}
	return int(g.id), nil
}

func makeParent(path string) error {
	dir := filepath.Dir(path)
	err := os.Mkdir(dir, 0o755)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return os.Chmod(dir, 0o755) // whatever the umask is
}

// bind makes the socket. Its caller holds the lock.
func (e Endpoint) bind(path string, mode fs.FileMode, gid int) (*Listener, error) {
	if err := e.removeStale(path); err != nil {
		return nil, err
	}
	// The kernel gives the file of a socket the mode that the socket itself
	// had before bind, so that nobody else ever sees a wider one.
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		return errors.Join(c.Control(func(fd uintptr) { err = syscall.Fchmod(int(fd), 0o600) }), err)
	}}
	listener, err := config.Listen(context.Background(), e.network, path)
	if err != nil {
		return nil, bare(err)
	}
	l := &Listener{UnixListener: listener.(*net.UnixListener), at: e, path: path}
	l.SetUnlinkOnClose(false)
	if err := l.publish(mode, gid); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// publish opens the socket to whom it is meant for: first the group, then the
// mode.
func (l *Listener) publish(mode fs.FileMode, gid int) error {
	file, err := os.Lstat(l.path)
	if err != nil {
		return err
	}
	l.file = file
	if gid >= 0 {
		if err := os.Lchown(l.path, -1, gid); err != nil {
			return &groupError{key: l.at.name + ".group", err: bare(err)}
		}
	}
	return os.Chmod(l.path, mode.Perm())
}

// removeStale makes the path free, if what is there is a socket that nobody
// listens on.
func (e Endpoint) removeStale(path string) error {
	file, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if file.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("is there already, and is no socket but %s: %w", kindOf(file.Mode()), errNotOurs)
	}
	connection, err := net.DialTimeout(e.network, path, time.Second)
	if err == nil {
		_ = connection.Close() // nothing was written
	}
	if err == nil || errors.Is(err, syscall.EPROTOTYPE) { // a socket of another kind
		return fmt.Errorf("%w by another program, which listens there", ErrInUse)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("see whether anybody listens there: %w", bare(err))
	}
	return os.Remove(path)
}

func kindOf(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "a directory"
	case mode.IsRegular():
		return "a file"
	case mode&fs.ModeSymlink != 0:
		return "a symbolic link"
	}
	return "something else"
}

// bare drops what net puts around an errno: the path is said elsewhere.
func bare(err error) error {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno
	}
	return err
}

// Close stops listening, removes the socket if it is still the one that
// Listen made, and gives the lock back, unless it is abandoned. More calls do
// nothing more.
func (l *Listener) Close() error {
	l.close.Do(func() {
		abandoned := l.abandoned.Load()
		if l.before != nil {
			l.giveBack()
		}
		if file, err := os.Lstat(l.path); err == nil && !abandoned && os.SameFile(file, l.file) {
			l.err = os.Remove(l.path)
		}
		l.err = errors.Join(l.err, l.UnixListener.Close())
		l.reserve.close()
		switch {
		case l.lock == nil:
		case abandoned:
			_ = l.lock.file.Close() // the lock is on the open file
		default:
			l.lock.release()
		}
	})
	return l.err
}
