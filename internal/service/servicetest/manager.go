// Package servicetest plays the service manager's part for tests, over a real
// notify socket: it keeps the descriptors that a daemon stores, and passes them
// to the next one.
package servicetest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Manager is a service manager of one service.
type Manager struct {
	conn *net.UnixConn
	path string
	done chan struct{}

	mu       sync.Mutex
	messages []string
	stored   []stored // the newest first, as systemd has them
	most     int
	listen   []*os.File
}

type stored struct {
	name string
	file *os.File
}

// New listens on a socket in a directory. It keeps at most so many descriptors.
// Close it.
func New(dir string, mostStored int) (*Manager, error) {
	path := filepath.Join(dir, "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, err
	}
	m := &Manager{conn: conn, path: path, done: make(chan struct{}), most: mostStored}
	go m.serve()
	return m, nil
}

// Close forgets everything.
func (m *Manager) Close() error {
	err := m.conn.Close()
	<-m.done
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.stored {
		err = errors.Join(err, s.file.Close())
	}
	m.stored = nil
	for _, f := range m.listen {
		err = errors.Join(err, f.Close())
	}
	return err
}

// Listen has one more socket passed to each start, as socket activation does.
func (m *Manager) Listen(l *net.UnixListener) error {
	f, err := l.File()
	if err == nil {
		m.listen = append(m.listen, f)
	}
	return err
}

// Messages returns what was notified so far, a message each with its lines.
func (m *Manager) Messages() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.messages)
}

// Stored returns the names of what is stored.
func (m *Manager) Stored() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	for _, s := range m.stored {
		names = append(names, s.name)
	}
	return names
}

// Command returns a command that is started as the service manager does: with
// its socket, and with duplicates of what is stored, which Release closes.
func (m *Manager) Command(name string, args ...string) *exec.Cmd {
	m.mu.Lock()
	defer m.mu.Unlock()
	// LISTEN_PID is the number of the process that runs the program.
	cmd := exec.Command("/bin/sh", append([]string{"-c", `LISTEN_PID=$$ exec "$0" "$@"`, name}, args...)...)
	var names []string
	for _, f := range m.listen {
		names, cmd.ExtraFiles = append(names, "ssmd.socket"), append(cmd.ExtraFiles, duplicate(f))
	}
	for _, s := range m.stored {
		names, cmd.ExtraFiles = append(names, s.name), append(cmd.ExtraFiles, duplicate(s.file))
	}
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+m.path,
		fmt.Sprintf("FDSTORE=%d", m.most), fmt.Sprintf("LISTEN_FDS=%d", len(names)), "LISTEN_FDNAMES="+strings.Join(names, ":"))
	return cmd
}

// Release closes what a started command was passed, on this side.
func Release(cmd *exec.Cmd) {
	for _, f := range cmd.ExtraFiles {
		_ = f.Close()
	}
}

func duplicate(f *os.File) *os.File {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		panic(err) // the test is short of descriptors
	}
	return os.NewFile(uintptr(fd), f.Name())
}

func (m *Manager) serve() {
	defer close(m.done)
	buffer, control := make([]byte, 1<<16), make([]byte, 1<<16)
	for {
		n, size, _, _, err := m.conn.ReadMsgUnix(buffer, control)
		if err != nil {
			return
		}
		var files []*os.File
		if messages, err := unix.ParseSocketControlMessage(control[:size]); err == nil {
			for _, c := range messages {
				if descriptors, err := unix.ParseUnixRights(&c); err == nil {
					for _, fd := range descriptors {
						files = append(files, os.NewFile(uintptr(fd), "passed"))
					}
				}
			}
		}
		m.take(string(buffer[:n]), files)
	}
}

// take does what a message asks for. Descriptors of a message that stores nothing
// are closed, as that of a barrier.
func (m *Manager) take(message string, files []*os.File) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.messages = append(m.messages, message)
	lines := strings.Split(message, "\n")
	name := "stored"
	for _, l := range lines {
		if n, found := strings.CutPrefix(l, "FDNAME="); found {
			name = n
		}
	}
	switch {
	case slices.Contains(lines, "FDSTORE=1"):
		for _, f := range files {
			if len(m.stored) == m.most {
				_ = f.Close()
				continue
			}
			m.stored = slices.Insert(m.stored, 0, stored{name, f})
		}
		return
	case slices.Contains(lines, "FDSTOREREMOVE=1"):
		m.stored = slices.DeleteFunc(m.stored, func(s stored) bool {
			if s.name == name {
				_ = s.file.Close()
			}
			return s.name == name
		})
	}
	for _, f := range files {
		_ = f.Close()
	}
}
