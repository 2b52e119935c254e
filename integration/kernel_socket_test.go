package integration

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/ssmd-project/ssmd/internal/testnet"
	"golang.org/x/sys/unix"
)

// channel is a source and a group. Without a source it is any source's.
type channel struct{ source, group netip.Addr }

func (c channel) String() string { return c.source.String() + "@" + c.group.String() }

// socket is a plain socket whose memberships the kernel's facts are about.
type socket struct {
	conn  syscall.RawConn
	level int
	close func() error
}

// newSocket opens an unbound UDP socket in a namespace: it holds memberships
// and receives nothing.
func newSocket(t testing.TB, n *testnet.Namespace, f family) *socket {
	t.Helper()
	var s *socket
	ok(t, n.Do(func() (err error) { s, err = openSocket(f); return err }))
	t.Cleanup(func() { _ = s.close() })
	return s
}

func openSocket(f family) (*socket, error) {
	domain := unix.AF_INET
	if f.level == unix.IPPROTO_IPV6 {
		domain = unix.AF_INET6
	}
	fd, err := unix.Socket(domain, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	return wrap(fd, f)
}

func wrap(fd int, f family) (*socket, error) {
	file := os.NewFile(uintptr(fd), "membership")
	conn, err := file.SyscallConn()
	return &socket{conn, f.level, file.Close}, err
}

// newSocketFrom takes over a descriptor.
func newSocketFrom(t testing.TB, fd int, f family) *socket {
	t.Helper()
	s, err := wrap(fd, f)
	ok(t, err)
	t.Cleanup(func() { _ = s.close() })
	return s
}

// readIn reads a file as it is inside the namespace.
func readIn(t testing.TB, n *testnet.Namespace, path string) string {
	t.Helper()
	var b []byte
	ok(t, n.Do(func() (err error) { b, err = os.ReadFile(path); return err }))
	return string(b)
}

// socketOf is a receiver's own socket.
func socketOf(t testing.TB, r *testnet.Receiver) *socket {
	t.Helper()
	conn, err := r.Conn().SyscallConn()
	ok(t, err)
	level := unix.IPPROTO_IP
	if r.Conn().LocalAddr().(*net.UDPAddr).IP.To4() == nil {
		level = unix.IPPROTO_IPV6
	}
	return &socket{conn, level, r.Conn().Close}
}

func (s *socket) do(f func(fd int) error) error {
	var err error
	if failure := s.conn.Control(func(fd uintptr) { err = f(int(fd)) }); failure != nil {
		return failure
	}
	return err
}

// join and leave are the protocol-independent options of RFC 3678, section
// 5.1, with an interface by index and nothing in between.
func (s *socket) join(ifindex int, c channel) error {
	if !c.source.IsValid() {
		return s.change(unix.MCAST_JOIN_GROUP, ifindex, c.group)
	}
	return s.change(unix.MCAST_JOIN_SOURCE_GROUP, ifindex, c.group, c.source)
}

func (s *socket) leave(ifindex int, c channel) error {
	return s.change(unix.MCAST_LEAVE_SOURCE_GROUP, ifindex, c.group, c.source)
}

func (s *socket) leaveGroup(ifindex int, group netip.Addr) error {
	return s.change(unix.MCAST_LEAVE_GROUP, ifindex, group)
}

func (s *socket) change(option, ifindex int, addrs ...netip.Addr) error {
	request := binary.NativeEndian.AppendUint64(nil, 0) // the index, and padding
	binary.NativeEndian.PutUint32(request, uint32(ifindex))
	for _, a := range addrs {
		request = append(request, storage(a)...)
	}
	return s.do(func(fd int) error {
		return unix.SetsockoptString(fd, s.level, option, string(request))
	})
}

// storage is an address as a struct sockaddr_storage.
func storage(a netip.Addr) []byte {
	b := make([]byte, unix.SizeofSockaddrAny+16)
	if a.Is4() {
		binary.NativeEndian.PutUint16(b, unix.AF_INET)
		copy(b[4:], a.AsSlice())
	} else {
		binary.NativeEndian.PutUint16(b, unix.AF_INET6)
		copy(b[8:], a.AsSlice())
	}
	return b
}

// filter is what the socket believes: its mode, MCAST_INCLUDE or
// MCAST_EXCLUDE, and how many sources it has for a group.
func (s *socket) filter(ifindex int, group netip.Addr) (mode uint32, sources int, err error) {
	request := binary.NativeEndian.AppendUint64(nil, 0)
	binary.NativeEndian.PutUint32(request, uint32(ifindex))
	request = append(request, storage(group)...)
	request = append(request, make([]byte, 8)...)
	size := uint32(len(request))
	err = s.do(func(fd int) error {
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), uintptr(s.level), unix.MCAST_MSFILTER,
			uintptr(unsafe.Pointer(&request[0])), uintptr(unsafe.Pointer(&size)), 0)
		if errno != 0 {
			return errno
		}
		return nil
	})
	const modeAt = 8 + 128
	return binary.NativeEndian.Uint32(request[modeAt:]), int(binary.NativeEndian.Uint32(request[modeAt+4:])), err
}

// pending returns and clears the socket's error.
func (s *socket) pending() (errno int, err error) {
	err = s.do(func(fd int) (err error) {
		errno, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
		return err
	})
	return errno, err
}

// bindToDevice sets SO_BINDTODEVICE.
func (s *socket) bindToDevice(name string) error {
	return s.do(func(fd int) error { return unix.BindToDevice(fd, name) })
}

// holdVariable makes the test program be another process that holds a
// membership: "INDEX SOURCE GROUP".
const holdVariable = "SSMD_TEST_HOLD"

// hold joins, prints the socket's descriptor, and ends with its input.
func hold(what string) int {
	var ifindex int
	var source, group string
	if _, err := fmt.Sscan(what, &ifindex, &source, &group); err != nil {
		fmt.Println(err)
		return 1
	}
	c := channel{netip.MustParseAddr(source), netip.MustParseAddr(group)}
	s, err := openSocket(familyOf(c.group))
	if err == nil {
		err = s.join(ifindex, c)
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	_ = s.do(func(fd int) error { fmt.Println(fd); return nil })
	_, _ = os.Stdin.Read(make([]byte, 1))
	_ = s.close()
	return 0
}

// process is another process in the namespace that holds a membership.
type process struct {
	pid, fd int
	end     func() // ends it, and with it its membership; returns afterwards
}

func newProcess(t testing.TB, n *testnet.Namespace, ifindex int, c channel) process {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %s %s", holdVariable, ifindex, c.source, c.group))
	in, err := cmd.StdinPipe()
	ok(t, err)
	out, err := cmd.StdoutPipe()
	ok(t, err)
	ok(t, n.Start(cmd))
	var said string
	if _, err := fmt.Fscanln(out, &said); err != nil {
		t.Errorf("the other process said %q: %v", said, err)
	}
	p := process{pid: cmd.Process.Pid}
	if _, err := fmt.Sscan(strings.TrimSpace(said), &p.fd); err != nil {
		t.Errorf("the other process said %q", said)
	}
	ended := false
	p.end = func() {
		if !ended {
			ended = true
			_ = in.Close()
			_ = cmd.Wait()
		}
	}
	t.Cleanup(p.end)
	return p
}
