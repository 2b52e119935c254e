package control

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"

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
func Inherit(path string, files []*os.File, mode fs.FileMode, group string) (*Listener, error) {
	l, err := inherit(path, files, mode, group)
	if err != nil {
		return nil, &ListenError{Path: path, Err: err, Hint: hint(err)}
	}
	return l, nil
}

func inherit(path string, files []*os.File, mode fs.FileMode, group string) (*Listener, error) {
	defer closeFiles(files)
	listener, err := net.FileListener(files[0])
	if err != nil {
		return nil, bare(err)
	}
	socket, ok := listener.(*net.UnixListener)
	if !ok {
		_ = listener.Close()
		return nil, fmt.Errorf("take over: %s is no unix socket", listener.Addr())
	}
	l := Activated(socket)
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
	l.abandoned.Store(false)
	if err := l.own(mode, group); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// own makes a socket that was another daemon's this one's.
func (l *Listener) own(mode fs.FileMode, group string) error {
	gid, err := lookUpGroup(group)
	if err != nil {
		return err
	}
	if err := l.publish(mode, gid); err != nil {
		return err
	}
	_, err = l.lock.take() // it says whose it is
	return err
}

// Activated returns the listener of a socket that the service manager made, and
// goes on listening on (systemd.socket(5)): its path, mode and group are not ours
// to change.
func Activated(socket *net.UnixListener) *Listener {
	socket.SetUnlinkOnClose(false)
	l := &Listener{UnixListener: socket, path: socket.Addr().String()}
	l.abandoned.Store(true)
	l.reserve.fill()
	return l
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}
