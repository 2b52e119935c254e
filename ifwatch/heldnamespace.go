package ifwatch

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// HeldNamespace is the network namespace of a socket. It is kept alive until
// Release, as it is by the socket itself.
type HeldNamespace struct {
	Namespace
	fd int
}

// HoldNamespace returns the network namespace of a socket. It needs
// CAP_NET_ADMIN over that namespace.
func HoldNamespace(socket syscall.Conn) (HeldNamespace, error) {
	raw, err := socket.SyscallConn()
	if err != nil {
		return HeldNamespace{}, err
	}
	var fd int
	var ioctlErr error
	err = raw.Control(func(s uintptr) {
		fd, ioctlErr = unix.IoctlRetInt(int(s), unix.SIOCGSKNS)
	})
	if err != nil {
		return HeldNamespace{}, err
	}
	if errors.Is(ioctlErr, unix.EPERM) {
		return HeldNamespace{}, fmt.Errorf("find its network namespace, which is another one: %w (needs CAP_NET_ADMIN there)", ioctlErr)
	}
	if ioctlErr != nil {
		return HeldNamespace{}, fmt.Errorf("find its network namespace: %w", ioctlErr)
	}
	unix.CloseOnExec(fd)
	n, err := FindNamespace(fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil {
		_ = unix.Close(fd)
		return HeldNamespace{}, err
	}
	return HeldNamespace{n, fd}, nil
}

// Release lets go of the namespace.
func (h HeldNamespace) Release() { _ = unix.Close(h.fd) }

// Name returns what ip-netns(8) calls the namespace, or else what lsns(8) shows.
func (h HeldNamespace) Name() string {
	files, _ := os.ReadDir(namespaceDir)
	for _, file := range files {
		n, err := FindNamespace(filepath.Join(namespaceDir, file.Name()))
		if err == nil && n.dev == h.dev && n.ino == h.ino {
			return file.Name()
		}
	}
	return fmt.Sprintf("net:[%d]", h.ino)
}
