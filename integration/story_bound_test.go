package integration

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/ssmd-project/ssmd/internal/testnet"
	"github.com/ssmd-project/ssmd/membership"
	"github.com/ssmd-project/ssmd/reattach"
	"golang.org/x/sys/unix"
)

// bound opens an application's socket that hears only what is joined on it, and
// binds it to an address. prepare, if not nil, comes before that.
func (l *lab) bound(addr netip.Addr, prepare func(fd int) error) *net.UDPConn {
	l.t.Helper()
	var s *socket
	ok(l.t, l.Near.Do(func() (err error) { s, err = openSocket(l.family); return err }))
	defer s.close()
	var conn net.PacketConn
	ok(l.t, s.do(func(fd int) (err error) {
		option := unix.IP_MULTICAST_ALL
		if addr.Is6() {
			option = unix.IPV6_MULTICAST_ALL
		}
		if err := unix.SetsockoptInt(fd, l.level, option, 0); err != nil {
			return err
		}
		if prepare != nil {
			if err := prepare(fd); err != nil {
				return err
			}
		}
		if err := unix.Bind(fd, sockaddrOf(addr, port)); err != nil {
			return err
		}
		file := os.NewFile(uintptr(dup(l.t, fd)), "udp")
		defer file.Close()
		conn, err = net.FilePacketConn(file)
		return err
	}))
	l.t.Cleanup(func() { _ = conn.Close() })
	return conn.(*net.UDPConn)
}

func dup(t testing.TB, fd int) int {
	t.Helper()
	other, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	ok(t, err)
	return other
}

func sockaddrOf(a netip.Addr, port int) unix.Sockaddr {
	if a.Is4() {
		return &unix.SockaddrInet4{Port: port, Addr: a.As4()}
	}
	return &unix.SockaddrInet6{Port: port, Addr: a.As16()}
}

// heardOn waits for a datagram that is sent from now on.
func (l *lab) heardOn(conn *net.UDPConn) {
	l.t.Helper()
	since := time.Now()
	ok(l.t, conn.SetReadDeadline(since.Add(20*time.Second)))
	var b [16]byte
	var sent time.Time
	for sent.Before(since) {
		_, _, err := conn.ReadFrom(b[:])
		ok(l.t, err)
		sent = time.Unix(0, int64(binary.BigEndian.Uint64(b[8:])))
	}
}

// unheardOn wants nothing to be on the socket, though datagrams were sent.
func (l *lab) unheardOn(conn *net.UDPConn) {
	l.t.Helper()
	ok(l.t, l.listener(l.marker).WaitNew(l.ctx, 12))
	ok(l.t, conn.SetReadDeadline(time.Now().Add(time.Millisecond)))
	var b [16]byte
	if _, from, err := conn.ReadFrom(b[:]); err == nil {
		l.t.Errorf("datagram %d came from %s", binary.BigEndian.Uint64(b[:]), from)
	}
}

func (f family) anywhere() netip.Addr {
	if f.name == v4.name {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

func feedOn(f family, name string, conn syscall.Conn) membership.Membership {
	feed := onEth0(name, channelOf(f.channel))
	feed.Socket = conn
	return feed
}

// However the application's socket is bound, it hears in each life of the
// interface.
func TestStoryBoundSocket(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		for how, open := range map[string]func(*lab) *net.UDPConn{
			"to the group":    func(l *lab) *net.UDPConn { return l.bound(f.channel.group, nil) },
			"to all":          func(l *lab) *net.UDPConn { return l.bound(f.anywhere(), nil) },
			"to the device":   func(l *lab) *net.UDPConn { return l.bound(f.anywhere(), toDevice) },
			"to the source":   connected,
			"to both of them": func(l *lab) *net.UDPConn { return l.bound(f.channel.group, toDevice) },
		} {
			for name, again := range lives {
				t.Run(how+", "+name, func(t *testing.T) {
					t.Parallel()
					l := newLab(t, f)
					conn := open(l)
					s := onStage(l, noOptions, feedOn(f, "feed", conn))
					s.wait("feed", membership.StateJoined)
					s.heardOn(conn)
					for n := range 2 {
						again(l)
						s.reattached(uint64(n + 1))
						s.wantUsers(1)
						s.heardOn(conn)
					}
					if reason := s.status("feed").Reason; len(reason) > 100 {
						t.Errorf("there is something to remark: %s", reason)
					}
				})
			}
		}
	})
}

func toDevice(fd int) error { return unix.BindToDevice(fd, "eth0") }

const sourcePort = 4444

// connected is bound to the group and connected to a source, of which it hears
// nothing but what is sent from that port.
func connected(l *lab) *net.UDPConn {
	l.t.Helper()
	from := testnet.NewSender(l.Far, testnet.SenderConfig{To: []netip.AddrPort{l.listen()}, Port: sourcePort})
	background(l.t, from.Run)
	conn := l.bound(l.channel.group, nil)
	connect(l, conn)
	return conn
}

func connect(l *lab, conn *net.UDPConn) {
	l.t.Helper()
	raw, err := conn.SyscallConn()
	ok(l.t, err)
	ok(l.t, raw.Control(func(fd uintptr) { err = unix.Connect(int(fd), sockaddrOf(l.channel.source, sourcePort)) }))
	ok(l.t, err)
}

// A socket that follows its device from one name to another.
func TestStoryBoundSocketChangesDevice(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		conn := l.bound(f.channel.group, toDevice)
		feed := feedOn(f, "feed", conn)
		feed.Rules.Selector.Name = []string{"eth*"}
		s := onStage(l, noOptions, feed)
		s.wait("feed", membership.StateJoined)
		s.heardOn(conn)
		ok(t, s.Cut("eth0"))
		ok(t, s.Connect(testnet.Veth{Name: "eth7"}))
		s.reattached(1)
		s.heardOn(conn)
		var bound int
		raw, err := conn.SyscallConn()
		ok(t, err)
		ok(t, raw.Control(func(fd uintptr) { bound, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX) }))
		ok(t, err)
		if bound != l.indexOf("eth7") {
			t.Errorf("bound to %d, want %d", bound, l.indexOf("eth7"))
		}
	})
}

// And one that is asked to by other rules, though its device lives on.
func TestStoryBoundSocketOfOtherRules(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		ok(t, l.Connect(testnet.Veth{Name: "eth7", PeerName: "far7", MAC: "02:00:00:00:07:02", PeerMAC: "02:00:00:00:07:01",
			Addresses: []string{"10.7.0.2/24", "2001:db8:7::2/64"}, PeerAddresses: []string{"10.7.0.1/24", "2001:db8:7::1/64"}}))
		conn := l.bound(f.channel.group, toDevice)
		feed := feedOn(f, "feed", conn)
		s := onStage(l, noOptions, feed)
		s.wait("feed", membership.StateJoined)
		s.heardOn(conn)
		feed.Rules.Selector = reattach.ByName("eth7")
		ok(t, s.manager.Put(s.ctx, feed))
		s.wait("feed", membership.StateJoined)
		raw, err := conn.SyscallConn()
		ok(t, err)
		var bound int
		ok(t, raw.Control(func(fd uintptr) { bound, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX) }))
		ok(t, err)
		if bound != l.indexOf("eth7") {
			t.Errorf("bound to %d, want %d", bound, l.indexOf("eth7"))
		}
	})
}

// Who is bound to a device and may not be bound to another is told so, in a way
// to act on; who is bound to none needs no right.
func TestStoryBoundSocketWithoutTheRight(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		l := newLab(t, f)
		conn := l.bound(f.anywhere(), func(fd int) error { return errors.Join(shared(fd), toDevice(fd)) })
		free := l.bound(f.channel.group, shared)
		s := onStage(l, noOptions, feedOn(f, "feed", withoutNetRaw{conn}), feedOn(f, "free", withoutNetRaw{free}))
		s.wait("feed", membership.StateJoined)
		s.heardOn(conn)
		ok(t, s.Recreate("eth0", testnet.Veth{}))
		status := s.wait("feed", membership.StateDegraded, "needs CAP_NET_RAW", "EPERM")
		wantErrno(t, "the status", status.Err, unix.EPERM)
		s.wait("free", membership.StateJoined)
		s.heardOn(free)
		ok(t, s.manager.Put(s.ctx, feedOn(f, "feed", conn))) // the same socket, with the right
		s.wait("feed", membership.StateJoined)
		s.heardOn(conn)
	})
}

func shared(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) }

// withoutNetRaw is a socket whose every option is set without CAP_NET_RAW.
type withoutNetRaw struct{ conn *net.UDPConn }

func (w withoutNetRaw) SyscallConn() (syscall.RawConn, error) {
	raw, err := w.conn.SyscallConn()
	return withoutNetRawConn{raw}, err
}

type withoutNetRawConn struct{ syscall.RawConn }

func (w withoutNetRawConn) Control(f func(fd uintptr)) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var all [2]unix.CapUserData
	if err := unix.Capget(&header, &all[0]); err != nil {
		return err
	}
	less := all
	less[0].Effective &^= 1 << unix.CAP_NET_RAW
	if err := unix.Capset(&header, &less[0]); err != nil {
		return err
	}
	defer func() {
		if unix.Capset(&header, &all[0]) != nil {
			runtime.LockOSThread() // no other goroutine runs on it
		}
	}()
	return w.RawConn.Control(f)
}

// A socket that is bound to the interface's address, or to another group, is
// joined and hears nothing; and that is said.
func TestStoryBoundSocketThatHearsNothing(t *testing.T) {
	bothFamilies(t, func(t *testing.T, f family) {
		for how, open := range map[string]func(*lab) *net.UDPConn{
			"to an address":                  func(l *lab) *net.UDPConn { return l.bound(nearAddress(f), nil) },
			"to another group":               func(l *lab) *net.UDPConn { return l.bound(f.spare(1).group, nil) },
			"to all, and then to the source": connectedAnywhere,
		} {
			t.Run(how, func(t *testing.T) {
				t.Parallel()
				l := newLab(t, f)
				conn := open(l)
				s := onStage(l, noOptions, feedOn(f, "feed", conn))
				address := conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
				if how == "to all, and then to the source" {
					address = nearAddress(f) // the kernel chose it
				}
				s.wait("feed", membership.StateJoined, "is bound to "+address.String()+" and receives nothing that is sent to "+f.channel.group.String())
				s.wantUsers(1)
				s.unheardOn(conn)
			})
		}
	})
}

// connectedAnywhere is bound to every address first: to connect it gives it one.
func connectedAnywhere(l *lab) *net.UDPConn {
	l.t.Helper()
	conn := l.bound(l.anywhere(), nil)
	connect(l, conn)
	return conn
}

// Each of two sockets that share a port by SO_REUSEPORT has a membership of its
// own, and gets all of the datagrams: to share them out is for unicast.
func TestStorySocketsOfAReusePortGroup(t *testing.T) {
	eachLife(t, func(l *lab, again func(*lab)) {
		reuse := func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) }
		a, b := l.bound(l.channel.group, reuse), l.bound(l.channel.group, reuse)
		s := onStage(l, noOptions, feedOn(l.family, "feed", a), feedOn(l.family, "b", b))
		for n := range 2 {
			s.wait("b", membership.StateJoined)
			s.heardOn(a)
			s.heardOn(b)
			s.wantUsers(2)
			again(l)
			s.reattached(uint64(n + 1))
		}
		s.wait("b", membership.StateJoined)
		ok(l.t, s.manager.Delete(s.ctx, "b"))
		s.wantUsers(1)
		// Over IPv4 the kernel may now give a's to b, which is of its
		// group: where one socket alone is a member it takes the way of
		// unicast, which shares out.
		if l.name == v4.name {
			ok(l.t, b.Close())
		}
		s.heardOn(a)
	})
}
