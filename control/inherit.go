package control

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Files returns what a daemon that takes over needs for Inherit. They are the
// caller's to close.
func (l *Listener) Files() ([]*os.File, error) {
	socket, err := l.File()
	if err != nil {
		return nil, fmt.Errorf("hand over %s: %w", l.path, bare(err))
	}
	if l.lock == nil {
		return []*os.File{socket}, nil
	}
	lock, err := unix.FcntlInt(l.lock.file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		_ = socket.Close()
		return nil, fmt.Errorf("hand over the lock of %s: %w", l.path, err)
	}
	return []*os.File{socket, os.NewFile(uintptr(lock), l.lock.file.Name())}, nil
}

// Abandon has Close leave the path and the lock to whoever has the Files.
func (l *Listener) Abandon() { l.abandoned.Store(true) }

// Inherit returns the listener of the daemon that handed over its Files, with
// the mode and the group as Listen sets them. It closes the files in any case.
// Until Own the path and the lock are that daemon's: Close leaves them as they
// were.
func (e Endpoint) Inherit(path string, files []*os.File, mode fs.FileMode, group string) (*Listener, error) {
	l, err := e.inherit(path, files, mode, group)
	if err != nil {
		return nil, e.failed(path, err)
	}
	return l, nil
}

func (e Endpoint) inherit(path string, files []*os.File, mode fs.FileMode, group string) (*Listener, error) {
	defer closeFiles(files)
	if len(files) == 0 {
		return nil, errors.New("take over: no socket came")
	}
	listener, err := net.FileListener(files[0])
	if err != nil {
		return nil, bare(err)
	}
	socket, ok := listener.(*net.UnixListener)
	if !ok || socket.Addr().Network() != e.network {
		_ = listener.Close()
		return nil, fmt.Errorf("take over: %s is no %s socket", listener.Addr(), e.network)
	}
	l := e.Activated(socket)
	if len(files) == 1 {
		return l, nil
	}
	// The lock is on the open file, which all duplicates are of (flock(2)).
	duplicate, err := unix.FcntlInt(files[1].Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		_ = l.Close()
		return nil, err
	}
	l.path, l.lock = path, &lock{file: os.NewFile(uintptr(duplicate), path+".lock")}
	if err := l.borrow(mode, group); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// borrow opens a socket that is another daemon's to whom it is meant for now.
func (l *Listener) borrow(mode fs.FileMode, group string) error {
	gid, err := l.at.lookUpGroup(group)
	if err != nil {
		return err
	}
	if l.before, err = os.Lstat(l.path); err != nil {
		return err
	}
	return l.publish(mode, gid)
}

// giveBack has the socket open to whom it was before.
func (l *Listener) giveBack() {
	if before, ok := l.before.Sys().(*syscall.Stat_t); ok {
		_ = os.Lchown(l.path, -1, int(before.Gid)) // where it may not, it did not
	}
	_ = os.Chmod(l.path, l.before.Mode().Perm())
}

// Own makes what was inherited this daemon's, once the other one has abandoned
// it.
func (l *Listener) Own() error {
	if l.before == nil {
		return nil // the service manager's
	}
	l.before = nil
	l.abandoned.Store(false)
	_, err := l.lock.take() // it says whose it is
	return err
}

// Activated returns the listener of a socket that the service manager made, and
// goes on listening on (systemd.socket(5)): its path, mode and group are not ours
// to change.
func (e Endpoint) Activated(socket *net.UnixListener) *Listener {
	socket.SetUnlinkOnClose(false)
	l := &Listener{UnixListener: socket, at: e, path: socket.Addr().String()}
	l.abandoned.Store(true)
	l.reserve.fill()
	return l
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}
