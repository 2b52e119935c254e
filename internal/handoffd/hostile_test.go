package handoffd

import (
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/control"
	"github.com/ssmd-project/ssmd/handoff"
)

// open returns a descriptor that the test closes.
func open(t *testing.T, fd int, err error) int {
	t.Helper()
	ok(t, err)
	t.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

// What is no UDP socket is refused in words, and closed.
func TestUnsuitableDescriptors(t *testing.T) {
	s := newStand(t, 8, quick())
	stream := s.dial()
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	null = open(t, null, err)
	dir, err := unix.Open("/", unix.O_PATH|unix.O_CLOEXEC, 0)
	dir = open(t, dir, err)
	tcp, err := unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	tcp = open(t, tcp, err)
	netlink, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	netlink = open(t, netlink, err)
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	open(t, pair[0], err)
	open(t, pair[1], nil)
	fd, _ := udp(t)
	before := openFiles(t)
	for name, test := range map[string]struct {
		fds  []int
		want string
	}{
		"none":         {nil, "no descriptor came"},
		"two":          {[]int{fd, fd}, "more than one"},
		"three":        {[]int{fd, fd, fd}, "more than one"},
		"250":          {repeat(fd, 250), "more than one"},
		"null":         {[]int{null}, "is no socket"},
		"path":         {[]int{dir}, "is no socket"},
		"tcp":          {[]int{tcp}, "stream socket of protocol 6"},
		"netlink":      {[]int{netlink}, "address family 16"},
		"seqpacket":    {[]int{pair[0]}, "address family 1"},
		"a connection": {[]int{duplicate(t, stream)}, "address family 1"},
	} {
		t.Run(name, func(t *testing.T) {
			c := s.dial()
			c.t = t
			c.send(request, test.fds...)
			c.wantRefused(handoff.ProblemDescriptor, test.want)
			_ = c.Close()
		})
	}
	eventually(t, func() error {
		if now := openFiles(t); now > before+1 { // the duplicate
			return fmt.Errorf("%d files are open, before %d", now, before)
		}
		return nil
	})
	if s.server.Totals().Total != 0 {
		t.Error("something was taken")
	}
}

func repeat(fd, times int) []int {
	all := make([]int, times)
	for n := range all {
		all[n] = fd
	}
	return all
}

// A socket that the client closes at once, and its own end of the connection that
// it sends in a loop, leave nothing behind.
func TestLoops(t *testing.T) {
	s := newStand(t, 8, quick())
	before := openFiles(t)
	c := s.dial()
	f, err := c.File()
	ok(t, err)
	c.send(request, int(f.Fd()))
	_ = f.Close()
	c.wantRefused(handoff.ProblemDescriptor)
	_ = c.Close()
	for range 20 { // never read, never waited for
		c := s.dial()
		fd, _ := udp(t)
		c.send(request, fd)
		_ = c.Close()
		_ = unix.Close(fd)
	}
	eventually(t, func() error {
		if now := openFiles(t); now > before || s.server.Totals().Now > 0 {
			return fmt.Errorf("%d files are open, before %d", now, before)
		}
		return nil
	})
}

func TestBadRequests(t *testing.T) {
	s := newStand(t, 8, quick())
	for name, test := range map[string]struct{ body, kind, want string }{
		"garbage":     {"\x00\xff\x01", control.TypeInvalid, "want a membership as a JSON object"},
		"yaml":        {"channels: 10.1.0.1@232.1.1.1\ninterface: eth0\n", control.TypeInvalid, "JSON"},
		"null":        {"null", control.TypeInvalid, ""},
		"list":        {"[]", control.TypeInvalid, ""},
		"empty":       {"{}", control.TypeInvalid, "channels"},
		"two":         {request + request, control.TypeInvalid, "JSON"},
		"unknown":     {strings.Replace(request, "{", `{"nam": 1, `, 1), control.TypeInvalid, `nam: unknown key`},
		"twice":       {strings.Replace(request, "{", `{"interface": "x", `, 1), control.TypeInvalid, "interface"},
		"name case":   {strings.Replace(request, "{", `{"Name": "x", `, 1), control.TypeInvalid, "Name"},
		"no name":     {strings.Replace(request, "{", `{"name": "", `, 1), control.TypeInvalid, "name"},
		"bad name":    {strings.Replace(request, "{", `{"name": "a/b", `, 1), control.TypeInvalid, "name"},
		"range":       {`{"channels": "10.1.0.1@239.1.1.1", "interface": "eth0"}`, control.TypeInvalid, "not source-specific"},
		"netns":       {strings.Replace(request, "{", `{"netns": "x", `, 1), control.TypeInvalid, "netns: given with a socket"},
		"attach":      {strings.Replace(request, "{", `{"attach": "all", `, 1), control.TypeInvalid, "attach: all, want one"},
		"deep":        {strings.Repeat("[", 30_000) + strings.Repeat("]", 30_000), control.TypeInvalid, ""},
		"deep enough": {strings.Repeat(`{"interface":`, 4000) + "1" + strings.Repeat("}", 4000), control.TypeInvalid, ""},
		"aliases":     {`{"channels": &a ["x"], "interface": *a}`, control.TypeInvalid, "JSON"},
		"too long":    {request + strings.Repeat(" ", handoff.MaxMessage), control.TypeBlank, "65536 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			c := s.dial()
			c.t = t
			fd, port := udp(t)
			begun := time.Now()
			c.send(test.body, fd)
			_ = unix.Close(fd)
			c.wantRefused(test.kind, test.want)
			isFree(t, port)
			if took := time.Since(begun); took > 5*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// Who says nothing, or only half of what is to be said, is not waited for.
func TestHalfOpen(t *testing.T) {
	s := newStand(t, 8, quick())
	silent := s.dial()
	silent.wantRefused(control.TypeBlank, "no request came within")
	closed := s.dial()
	ok(t, closed.CloseWrite())
	closed.wantEnd()
	empty := s.dial()
	fd, port := udp(t)
	empty.send("", fd)
	_ = unix.Close(fd)
	empty.wantEnd()
	isFree(t, port)
	c, one, port := s.handed("a")
	ok(t, c.CloseWrite())
	<-one.removed
	c.wantType(handoff.TypeEnded)
	c.wantEnd()
	isFree(t, port)
}

// Of a thousand connections as many are taken as may be; the others hear why, or
// are closed; and then there is room again.
func TestThousandConnections(t *testing.T) {
	const limit, many = 16, 1000
	l := defaultLimits
	s := newStand(t, limit, l)
	var mine []*client
	for range limit {
		c, _, _ := s.handed("")
		mine = append(mine, c)
	}
	told, mute := 0, 0
	for range many {
		c := s.dial()
		m, err := c.hear()
		switch {
		case err == nil && m.Problem.Type == control.TypeBusy && strings.Contains(m.Problem.Detail, "16 sockets that are handed over"):
			told++
		case errors.Is(err, io.EOF), errors.Is(err, unix.ECONNRESET):
			mute++
		default:
			t.Fatalf("heard %+v, %v", m, err)
		}
		if told+mute < many/2 {
			_ = c.Close()
		}
	}
	if told == 0 {
		t.Error("nobody heard why")
	}
	t.Logf("%d heard why, %d were closed", told, mute)
	mine[0].send(request)
	mine[0].wantType(handoff.TypeAnswer)
	for _, c := range mine {
		_ = c.Close()
	}
	eventually(t, func() error {
		if s.server.Totals().Now > 0 {
			return errors.New("they are still there")
		}
		return nil
	})
	s.handed("")
}

// A manager that does not answer is not waited for.
func TestManagerHangs(t *testing.T) {
	s := newStand(t, 8, quick())
	s.keeper.with(func() { s.keeper.hangs = true })
	c := s.dial()
	fd, port := udp(t)
	c.send(request, fd)
	_ = unix.Close(fd)
	c.wantRefused(control.TypeBusy, "no answer within 300ms")
	isFree(t, port)
}

// A daemon that has no descriptor left says so.
func TestNoDescriptorLeft(t *testing.T) {
	s := newStand(t, 8, quick())
	c := s.dial()
	fd, port := udp(t)
	other, _, _ := s.handed("a") // so the first one is accepted
	defer other.Close()
	var before unix.Rlimit
	ok(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &before))
	var spare []int
	low := before
	low.Cur = 64
	ok(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &low))
	for {
		fd, err := unix.Dup(fd)
		if err != nil {
			break
		}
		spare = append(spare, fd)
	}
	c.send(request, fd)
	m, err := c.hear()
	ok(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &before))
	closeAll(append(spare, fd))
	if err != nil || m.Problem.Type != control.TypeBusy || !strings.Contains(m.Problem.Detail, "open files") {
		t.Errorf("heard %+v, %v, want that there is no descriptor left", m, err)
	}
	isFree(t, port)
}

// The flags of the socket are the application's: that it blocks stays so.
func TestSocketStaysAsItIs(t *testing.T) {
	s := newStand(t, 8, quick())
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	fd = open(t, fd, err)
	before, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	ok(t, err)
	c := s.dial()
	c.send(request, fd)
	c.wantType(handoff.TypeAnswer)
	after, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil || after != before {
		t.Errorf("flags %#x, were %#x: %v", after, before, err)
	}
}

// A raw socket, which receives the datagrams of every port, is refused too.
func TestRawSocket(t *testing.T) {
	s := newStand(t, 8, quick())
	for _, domain := range []int{unix.AF_INET, unix.AF_INET6} {
		raw, err := unix.Socket(domain, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_UDP)
		if errors.Is(err, unix.EPERM) {
			t.Skip("raw sockets take CAP_NET_RAW")
		}
		c := s.dial()
		c.send(request, open(t, raw, err))
		c.wantRefused(handoff.ProblemDescriptor, "it is a raw socket of protocol 17, want a UDP socket")
	}
}

// A second server at a path is refused, and a socket that a killed one left is
// no obstacle.
func TestStaleSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unixpacket", path)
	ok(t, err)
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	if _, err := control.Handoff.Listen(path, 0o600, ""); !errors.Is(err, control.ErrInUse) {
		t.Errorf("%v, want that it is in use", err)
	}
	ok(t, l.Close())
	second, err := control.Handoff.Listen(path, 0o600, "")
	ok(t, err)
	_ = second.Close()
}

// FuzzRequest holds that no request is taken that is not valid, and none makes
// the daemon fail.
func FuzzRequest(f *testing.F) {
	for _, text := range []string{
		request, "{}", "null", `{"name":"a","groups":["232.1.1.0/28"],"sources":"10.1.0.1","interface":{"name":"ens*","kind":"physical"},"reattach":{"policy":"same","same":["mac"],"within":"10m"}}`,
		`{"netns":"x"}`, `{"attach":"all"}`, `[[[`, "\xff", `{"name":null}`, `{"name":"x","name":"y"}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := parseRequest(body, parseEntry)
		if err != nil {
			return
		}
		if m.Name == "" {
			m.Name = "some"
		}
		m.Socket = &descriptor{fd: -1}
		if err := m.Validate(); err != nil {
			t.Errorf("%q was taken, but is not valid: %v", body, err)
		}
	})
}

// Where a manager that hung lets nothing be removed, the socket is closed all the
// same, and what is left of it goes when the manager answers again.
func TestManagerHangsAtTheEnd(t *testing.T) {
	s := newStand(t, 8, quick())
	c, one, port := s.handed("a")
	s.keeper.with(func() { s.keeper.stuck = make(chan struct{}) })
	ok(t, c.Close())
	isFree(t, port)
	select {
	case <-one.removed:
		t.Error("it was removed by a manager that hangs")
	default:
	}
	close(s.keeper.stuck)
	<-one.removed
}
