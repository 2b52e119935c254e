package adopt

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrEnded is wrapped where there is no such process, or it has ended.
var ErrEnded = errors.New("no such process")

// Process is one life of a process, held by its pidfd: another process that
// comes to have its number is never taken for it. Close it.
type Process struct {
	PID   int
	pidfd *os.File
}

// openProcess returns the process of a number, if it is alive.
func openProcess(pid int) (*Process, error) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	switch {
	case errors.Is(err, unix.ESRCH):
		return nil, fmt.Errorf("process %d: %w", pid, ErrEnded)
	case errors.Is(err, unix.EINVAL):
		return nil, fmt.Errorf("process %d: it is none, or the number of a thread", pid)
	case err != nil:
		return nil, fmt.Errorf("process %d: pidfd_open: %w", pid, err)
	}
	return &Process{PID: pid, pidfd: os.NewFile(uintptr(fd), "pidfd")}, nil
}

// Close lets go of the process. It ends Wait.
func (p *Process) Close() { _ = p.pidfd.Close() }

// Wait returns when the process has ended, or was closed.
func (p *Process) Wait() {
	conn, err := p.pidfd.SyscallConn()
	if err != nil {
		return
	}
	_ = conn.Read(func(fd uintptr) bool { return hasEnded(int(fd)) })
}

// ended reports whether the process has ended, or was closed.
func (p *Process) ended() bool {
	ended := true
	_ = p.control(func(fd int) error {
		ended = hasEnded(fd)
		return nil
	})
	return ended
}

// hasEnded reports whether a pidfd can be read from, as pidfd_open(2) says.
func hasEnded(pidfd int) bool {
	poll := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(poll, 0)
		if !errors.Is(err, unix.EINTR) {
			return n > 0
		}
	}
}

func (p *Process) control(f func(fd int) error) error {
	conn, err := p.pidfd.SyscallConn()
	if err != nil {
		return err
	}
	if closed := conn.Control(func(fd uintptr) { err = f(int(fd)) }); closed != nil {
		return closed
	}
	return err
}

// path is of something below the process's directory in /proc. What is read
// there is the process's only if it has not ended afterwards.
func (p *Process) path(name string) string { return filepath.Join("/proc", strconv.Itoa(p.PID), name) }

// Name is what the process calls itself, as ps(1) shows it.
func (p *Process) Name() string { return commOf(p.path("comm")) }

func commOf(path string) string {
	name, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(bytes.TrimSuffix(name, []byte("\n")))
}

// Life tells one life of a process from every other that has its number in this
// run of the machine.
type Life struct {
	Born  uint64 `json:"born,omitempty"`  // ticks of the machine's clock since its start (proc_pid_stat(5)); several may fall into one
	PidFS uint64 `json:"pidfs,omitempty"` // inode of its pidfd, which is given once until the next start; 0 where nobody knows it, as before Linux 6.9
}

// same reports whether two lives can be one.
func (l Life) same(o Life) bool {
	return l.Born == o.Born && (l.PidFS == o.PidFS || l.PidFS == 0 || o.PidFS == 0)
}

// life is that of the process.
func (p *Process) life() (Life, error) {
	born, err := p.born()
	if err != nil {
		return Life{}, err
	}
	return Life{born, p.inode()}, nil
}

// born is when the process was. The name before it may have spaces and brackets.
func (p *Process) born() (uint64, error) {
	text, err := os.ReadFile(p.path("stat"))
	if err != nil {
		return 0, p.refusal(err)
	}
	const field, afterName = 22, 3
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) <= field-afterName || p.ended() {
		return 0, fmt.Errorf("process %d: %w", p.PID, ErrEnded)
	}
	return strconv.ParseUint(fields[field-afterName], 10, 64)
}

// inode is that of the pidfd, 0 where all pidfds share one, or nobody may ask.
func (p *Process) inode() (inode uint64) {
	_ = p.control(func(fd int) error {
		var fs unix.Statfs_t
		var stat unix.Stat_t
		if unix.Fstatfs(fd, &fs) == nil && fs.Type == unix.PID_FS_MAGIC && unix.Fstat(fd, &stat) == nil {
			inode = stat.Ino
		}
		return nil
	})
	return inode
}

// mostDescriptors bounds what one process can cost.
const mostDescriptors = 65536

// sockets returns the descriptors of the process that are sockets, by inode.
// Where several are one socket the lowest counts.
func (p *Process) sockets() (map[uint64]int, error) {
	dir, err := os.Open(p.path("fd"))
	if err != nil {
		return nil, p.refusal(err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(mostDescriptors)
	if err != nil && len(names) == 0 && !p.ended() {
		return nil, p.refusal(err)
	}
	sockets := make(map[uint64]int)
	for _, name := range names {
		fd, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		target, err := os.Readlink(p.path("fd/" + name))
		if errors.Is(err, fs.ErrPermission) {
			return nil, p.refusal(err)
		}
		inode, ok := socketInode(target)
		if err != nil || !ok {
			continue // closed meanwhile, or something else
		}
		if lowest, found := sockets[inode]; !found || fd < lowest {
			sockets[inode] = fd
		}
	}
	if p.ended() {
		return nil, fmt.Errorf("process %d: %w", p.PID, ErrEnded)
	}
	return sockets, nil
}

// socketInode reads what a descriptor of a socket leads to, as socket:[123].
func socketInode(target string) (uint64, bool) {
	number, found := strings.CutPrefix(target, "socket:[")
	if !found {
		return 0, false
	}
	inode, err := strconv.ParseUint(strings.TrimSuffix(number, "]"), 10, 64)
	return inode, err == nil
}

// fetch returns a duplicate of a descriptor of the process, to be closed.
func (p *Process) fetch(fd int) (duplicate int, err error) {
	err = p.control(func(pidfd int) (err error) {
		duplicate, err = unix.PidfdGetfd(pidfd, fd, 0)
		return err
	})
	switch {
	case errors.Is(err, unix.ESRCH), errors.Is(err, os.ErrClosed):
		return -1, fmt.Errorf("process %d: %w", p.PID, ErrEnded)
	case err != nil:
		return -1, p.refusal(err)
	}
	return duplicate, nil
}
