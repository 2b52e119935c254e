package membership

import (
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/ifwatch"
)

func here(f func() error) error { return f() }

// descriptor is a socket that nobody made into a Conn.
func descriptor(t *testing.T, domain, kind int) *os.File {
	t.Helper()
	fd, err := unix.Socket(domain, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Skipf("socket: %v", err)
	}
	file := os.NewFile(uintptr(fd), "socket")
	t.Cleanup(func() { _ = file.Close() })
	return file
}

func TestLinuxCaller(t *testing.T) {
	only6 := descriptor(t, unix.AF_INET6, unix.SOCK_DGRAM)
	if err := unix.SetsockoptInt(int(only6.Fd()), unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
		t.Fatal(err)
	}
	pipe, other, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	defer pipe.Close()
	closed := descriptor(t, unix.AF_INET, unix.SOCK_DGRAM)
	_ = closed.Close()
	const nothing4, nothing6 = "it receives nothing of IPv4", "it receives nothing of IPv6"
	for name, test := range map[string]struct {
		conn         syscall.Conn
		want4, want6 string // parts of the errors
	}{
		"IPv4":      {descriptor(t, unix.AF_INET, unix.SOCK_DGRAM), "", nothing6},
		"IPv6":      {descriptor(t, unix.AF_INET6, unix.SOCK_DGRAM), "", ""},
		"IPv6 only": {only6, nothing4, ""},
		"TCP":       {descriptor(t, unix.AF_INET, unix.SOCK_STREAM), "no datagram socket", "no datagram socket"},
		"unix":      {descriptor(t, unix.AF_UNIX, unix.SOCK_DGRAM), nothing4, nothing6},
		"pipe":      {pipe, "socket operation on non-socket", "socket operation on non-socket"},
		"closed":    {closed, "closed", "closed"},
		"zero":      {&net.UDPConn{}, "invalid argument", "invalid argument"},
	} {
		for f, want := range map[ifwatch.Family]string{ifwatch.IPv4: test.want4, ifwatch.IPv6: test.want6} {
			s, err := newLinux(here).caller(f, test.conn)
			if (err == nil) != (want == "") || !strings.Contains(errorText(err), want) {
				t.Errorf("%s, %s: %v, want %q", name, f, err, want)
			}
			if err == nil && s.cookie() == 0 {
				t.Errorf("%s, %s: no cookie", name, f)
			}
			if name == "closed" && !isClosed(err) {
				t.Errorf("not known as closed: %v", err)
			}
		}
	}
}

// A socket has one cookie under every name, and no other socket has it.
func TestLinuxCookie(t *testing.T) {
	conn, err := net.ListenUDP("udp4", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	file, err := conn.File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var cookies []cookie
	for _, c := range []syscall.Conn{conn, file, descriptor(t, unix.AF_INET, unix.SOCK_DGRAM)} {
		s, err := newLinux(here).caller(ifwatch.IPv4, c)
		if err != nil {
			t.Fatal(err)
		}
		cookies = append(cookies, s.cookie())
	}
	if cookies[0] != cookies[1] || cookies[0] == cookies[2] {
		t.Errorf("cookies %v", cookies)
	}
}

func TestLinuxSocketRefusals(t *testing.T) {
	const nowhere = 1 << 30 // no such index
	for _, c := range []Channel{one, six} {
		s, err := newLinux(here).open(c.Family())
		if err != nil {
			t.Skip(err)
		}
		if err := s.join(nowhere, c); err != unix.ENODEV {
			t.Errorf("join: %v", err)
		}
		if err := s.leave(nowhere, c); err == nil {
			t.Error("left what was never joined")
		}
		if err := s.leaveGroup(nowhere, c.Group); err != unix.EADDRNOTAVAIL {
			t.Errorf("leave group: %v", err)
		}
		if s.occupied(nowhere) || !s.occupied(1) {
			t.Error("index 1 is that of lo")
		}
		s.close()
	}
}

func TestLinuxProbe(t *testing.T) {
	k := newLinux(here)
	for _, f := range bothFamilies {
		lo := k.probe("lo", f)
		if lo == nil || lo.ended() {
			t.Errorf("%s of lo: %v", f, lo)
			continue
		}
		lo.close()
		if p := k.probe("no-such-one", f); p == nil || !p.ended() {
			t.Errorf("%s of none: %v", f, p)
		}
		if p := k.probe("../all", f); p != nil {
			t.Errorf("%s of no name: %v", f, p)
		}
	}
}

func TestLimits(t *testing.T) {
	k := newLinux(here)
	for _, test := range []struct {
		err    error
		family ifwatch.Family
		want   []string
	}{
		{unix.EMFILE, ifwatch.IPv4, []string{"RLIMIT_NOFILE="}},
		{unix.ENFILE, ifwatch.IPv4, []string{"fs.file-max="}},
		{unix.ENOBUFS, ifwatch.IPv4, []string{"net.ipv4.igmp_max_memberships=", "net.ipv4.igmp_max_msf=", "net.core.optmem_max="}},
		{unix.ENOMEM, ifwatch.IPv6, []string{"net.ipv6.mld_max_msf=", "net.core.optmem_max="}},
		{unix.EINVAL, ifwatch.IPv6, nil},
	} {
		got := k.limits(test.err, test.family)
		if test.want == nil && got != "" {
			t.Errorf("%v: %s", test.err, got)
		}
		for _, want := range test.want {
			if !strings.Contains(got, want) {
				t.Errorf("%v: %s, want %s", test.err, got, want)
			}
		}
	}
}
