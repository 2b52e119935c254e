package adopt

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/internal/groupoption"
	"github.com/ssmd-project/ssmd/internal/testnet"
)

// puppetVariable makes the test's binary a process that does as it is told: an
// application that knows nothing of ssmd.
const puppetVariable = "SSMD_ADOPT_PUPPET"

// order is what a puppet is told to do with one of its descriptors.
type order struct {
	Do     string // open, join, leave, leaveGroup, joinAny, bind, connect, close, dup, name, hear, exec, chroot, churn, openAside
	FD, To int
	Index  int
	Group  netip.Addr
	Source netip.Addr
	Port   uint16
	Name   string
}

// reply is what came of it: a descriptor, or a number of datagrams.
type reply struct {
	Value int
	Error string
}

// obey is the puppet's main.
func obey() {
	orders := json.NewDecoder(os.Stdin)
	replies := json.NewEncoder(os.Stdout)
	for {
		var o order
		if orders.Decode(&o) != nil {
			os.Exit(0)
		}
		value, err := o.carryOut()
		r := reply{Value: value}
		if err != nil {
			r.Error = err.Error()
		}
		if replies.Encode(r) != nil {
			os.Exit(1)
		}
	}
}

func (o order) carryOut() (int, error) {
	p := place{o.Group, o.Index}
	switch o.Do {
	case "open":
		return openSocket(netip.AddrPortFrom(o.Group, o.Port), sharing(o.Name))
	case "join":
		return 0, sourceRequest(o.FD, unix.MCAST_JOIN_SOURCE_GROUP, p, o.Source)
	case "leave":
		return 0, sourceRequest(o.FD, unix.MCAST_LEAVE_SOURCE_GROUP, p, o.Source)
	case "leaveGroup":
		return 0, groupRequest(o.FD, unix.MCAST_LEAVE_GROUP, p)
	case "joinAny":
		return 0, groupRequest(o.FD, unix.MCAST_JOIN_GROUP, p)
	case "bind":
		return 0, unix.SetsockoptString(o.FD, unix.SOL_SOCKET, unix.SO_BINDTODEVICE, o.Name)
	case "connect":
		return 0, unix.Connect(o.FD, sockaddr(netip.AddrPortFrom(o.Source, o.Port)))
	case "close":
		return 0, unix.Close(o.FD)
	case "dup":
		return o.To, unix.Dup3(o.FD, o.To, 0)
	case "name":
		return 0, os.WriteFile("/proc/self/comm", []byte(o.Name), 0)
	case "hear":
		return drain(o.FD), nil
	case "chroot":
		return 0, unix.Chroot(o.Name)
	case "churn":
		go o.churn()
		return 0, nil
	case "openAside":
		return 0, o.openAside()
	case "exec":
		return 0, unix.Exec("/proc/self/exe", []string{"another-name"}, os.Environ())
	}
	return 0, fmt.Errorf("unknown order %q", o.Do)
}

// churn opens, joins, moves, leaves and closes sockets until the process ends, as
// fast as it can, on the other descriptors than its own.
func (o order) churn() {
	const first, many = 200, 40
	for n := 0; ; n++ {
		fd, err := openSocket(netip.AddrPortFrom(o.Group, o.Port), unix.SO_REUSEADDR)
		if err != nil {
			continue
		}
		to := first + n%many
		_ = sourceRequest(fd, unix.MCAST_JOIN_SOURCE_GROUP, place{o.Group, o.Index}, o.Source)
		_ = unix.Dup3(fd, to, 0) // closes what was there
		_ = unix.Close(fd)
		_ = groupRequest(to, unix.MCAST_LEAVE_GROUP, place{o.Group, o.Index})
		_ = sourceRequest(to, unix.MCAST_JOIN_SOURCE_GROUP, place{o.Group, o.Index}, o.Source)
	}
}

// openAside opens a socket, and joins on it, in a thread that has a table of
// descriptors of its own from now on.
func (o order) openAside() error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()              // for good
		if unix.Gettid() == unix.Getpid() { // whose table is the process's: another one
			done <- o.openAside()
			select {}
		}
		if err := unix.Unshare(unix.CLONE_FILES); err != nil {
			done <- err
			return
		}
		fd, err := openSocket(netip.AddrPortFrom(o.Group, o.Port), unix.SO_REUSEADDR)
		if err == nil {
			err = sourceRequest(fd, unix.MCAST_JOIN_SOURCE_GROUP, place{o.Group, o.Index}, o.Source)
		}
		done <- err
		select {}
	}()
	return <-done
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

// sharing is the option by which sockets have the same address. With SO_REUSEPORT,
// of IPv4, the kernel gives what one socket alone has joined to any of them.
func sharing(name string) int {
	if name == "reuseport" {
		return unix.SO_REUSEPORT
	}
	return unix.SO_REUSEADDR
}

// openSocket opens a UDP socket that shares its address and hears nothing but
// what it joined.
func openSocket(at netip.AddrPort, sharing int) (int, error) {
	domain, level, all := unix.AF_INET, unix.IPPROTO_IP, unix.IP_MULTICAST_ALL
	if at.Addr().Is6() {
		domain, level, all = unix.AF_INET6, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_ALL
	}
	fd, err := unix.Socket(domain, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return 0, err
	}
	for _, set := range []func() error{
		func() error { return unix.SetsockoptInt(fd, level, all, 0) },
		func() error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, sharing, 1) },
		func() error { return unix.Bind(fd, sockaddr(at)) },
	} {
		if err := set(); err != nil {
			return 0, err
		}
	}
	return fd, nil
}

func drain(fd int) (datagrams int) {
	buffer := make([]byte, 2048)
	for {
		if _, _, err := unix.Recvfrom(fd, buffer, unix.MSG_DONTWAIT); err != nil {
			return datagrams
		}
		datagrams++
	}
}

// groupRequest and sourceRequest set options as RFC 3678, section 5, has them.
func groupRequest(fd, option int, p place) error {
	request := make([]byte, groupoption.GroupAt+groupoption.StorageSize)
	binary.NativeEndian.PutUint32(request, uint32(p.index))
	groupoption.PutSockaddr(request[groupoption.GroupAt:], p.group)
	return unix.SetsockoptString(fd, int(groupoption.Level(p.group)), option, string(request))
}

func sourceRequest(fd, option int, p place, source netip.Addr) error {
	request := make([]byte, groupoption.GroupAt+2*groupoption.StorageSize)
	binary.NativeEndian.PutUint32(request, uint32(p.index))
	groupoption.PutSockaddr(request[groupoption.GroupAt:], p.group)
	groupoption.PutSockaddr(request[groupoption.GroupAt+groupoption.StorageSize:], source)
	return unix.SetsockoptString(fd, int(groupoption.Level(p.group)), option, string(request))
}

// puppet is such a process, seen from the test.
type puppet struct {
	t       testing.TB
	cmd     *exec.Cmd
	pid     int
	orders  *json.Encoder
	stdin   io.Closer
	replies *json.Decoder
}

// newPuppet starts one in a namespace.
func newPuppet(t testing.TB, n *testnet.Namespace, as *syscall.Credential) *puppet {
	t.Helper()
	return startPuppet(t, n, &syscall.SysProcAttr{Credential: as})
}

func startPuppet(t testing.TB, n *testnet.Namespace, how *syscall.SysProcAttr) *puppet {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), puppetVariable+"=1")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = how
	stdin, err := cmd.StdinPipe()
	ok(t, err)
	stdout, err := cmd.StdoutPipe()
	ok(t, err)
	ok(t, n.Start(cmd))
	p := &puppet{t, cmd, cmd.Process.Pid, json.NewEncoder(stdin), stdin, json.NewDecoder(bufio.NewReader(stdout))}
	t.Cleanup(p.end)
	return p
}

// end kills the process, if it is there yet.
func (p *puppet) end() {
	_ = p.stdin.Close()
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

func (p *puppet) try(o order) (int, error) {
	p.t.Helper()
	ok(p.t, p.orders.Encode(o))
	var r reply
	ok(p.t, p.replies.Decode(&r))
	if r.Error != "" {
		return 0, fmt.Errorf("%s", r.Error)
	}
	return r.Value, nil
}

func (p *puppet) do(o order) int {
	p.t.Helper()
	value, err := p.try(o)
	if err != nil {
		p.t.Fatalf("%s: %v", o.Do, err)
	}
	return value
}
