package membership

import (
	"errors"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// kernel is what the manager asks of the network namespace that it works in.
type kernel interface {
	// open returns a new socket that receives nothing.
	open(ifwatch.Family) (holdingSocket, error)
	// caller returns a caller's socket for one family, or an error where
	// nothing of that family can ever be received on it.
	caller(ifwatch.Family, syscall.Conn) (callersMemberSocket, error)
	// netns tells the network namespace from every other, zero where nobody
	// can tell.
	netns() uint64
	// limits names the kernel's limits, with their values, that may be behind
	// a refusal; empty where none is.
	limits(err error, f ifwatch.Family) string
	// groups lists the groups of a family.
	groups(ifwatch.Family) (ifwatch.Groups, error)
	// filters calls visit for each filter of a family, and reports whether
	// those were all.
	filters(f ifwatch.Family, visit func(ifwatch.Filter)) (whole bool, err error)
	// leftBehind is what managers that ended could not close without taking
	// memberships from others.
	leftBehind() *leftBehind
	// warmUp makes the next rejoin quick.
	warmUp(ifwatch.Family)
	// place names the namespace, different for each that ever was on any
	// machine; empty where nobody can tell.
	place() string
	// probe returns a probe of the present life of a protocol on an
	// interface, one that has ended where there is no such interface, nil
	// where nobody can tell.
	probe(name string, f ifwatch.Family) lifeProbe
}

// memberSocket is a socket on which channels are joined. Every call names the
// index: a socket's entries are of (index, group), alive or dead.
type memberSocket interface {
	join(index int, c Channel) error
	leave(index int, c Channel) error
	// rejoin leaves and joins with nothing in between, and says how long
	// that took. After an error there is no membership.
	rejoin(index int, c Channel) (time.Duration, error)
	// leaveGroup frees the entry of all sources, also one of a dead life.
	leaveGroup(index int, group netip.Addr) error
	// occupied reports whether an interface lives at the index on which the
	// socket's protocol is alive. Closing or leaving an entry of a dead
	// life at such an index takes a membership from whoever holds it now.
	occupied(index int) bool
}

// holdingSocket is a memberSocket of the manager's own.
type holdingSocket interface {
	memberSocket
	close()
	// setSources makes these the sources of a group that is joined on the
	// socket. After an error they are what they were.
	setSources(index int, group netip.Addr, sources []netip.Addr) error
	// handle is false where there is none to hand over.
	handle() (h handle, ok bool)
}

// linux is the kernel itself, in the namespace that within enters.
type linux struct {
	within  func(func() error) error
	request *groupRequest
}

func newLinux(within func(func() error) error) linux {
	return linux{within: within, request: newGroupRequest()}
}

// linuxSocket joins on a descriptor, the manager's own or a caller's.
type linuxSocket struct {
	family  ifwatch.Family
	conn    syscall.RawConn
	request *groupRequest
}

func newLinuxSocket(f ifwatch.Family, c syscall.Conn, r *groupRequest) (*linuxSocket, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	return &linuxSocket{family: f, conn: raw, request: r}, nil
}

func (s *linuxSocket) join(index int, c Channel) error {
	s.request.fill(index, c)
	return s.request.do(s.conn, s.family, unix.MCAST_JOIN_SOURCE_GROUP, s.request.bytes[:])
}

func (s *linuxSocket) leave(index int, c Channel) error {
	s.request.fill(index, c)
	return s.request.do(s.conn, s.family, unix.MCAST_LEAVE_SOURCE_GROUP, s.request.bytes[:])
}

func (s *linuxSocket) leaveGroup(index int, group netip.Addr) error {
	s.request.fill(index, Channel{Group: group})
	return s.request.do(s.conn, s.family, unix.MCAST_LEAVE_GROUP, s.request.bytes[:groupSize])
}

func (s *linuxSocket) occupied(index int) bool {
	occupied := true // where nobody can tell, nobody is to be robbed
	err := s.conn.Control(func(fd uintptr) {
		occupied = indexOccupied(int(fd), index, s.family)
	})
	return occupied && !isClosed(err) // a closed socket has no entries to leave
}

func indexOccupied(fd, index int, f ifwatch.Family) bool {
	request, err := unix.NewIfreq("ssmd")
	if err != nil {
		return true
	}
	request.SetUint32(uint32(index))
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFNAME, request); err != nil {
		return !errors.Is(err, unix.ENODEV)
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFMTU, request); err != nil {
		return true
	}
	return int(request.Uint32()) >= f.MinMTU()
}

// rawFD is a descriptor of the manager's own. It stays out of the runtime's
// poller: nothing is ever read from it. One goroutine uses it.
type rawFD int

func (fd rawFD) SyscallConn() (syscall.RawConn, error)    { return fd, nil }
func (fd rawFD) Control(f func(fd uintptr)) error         { f(uintptr(fd)); return nil }
func (fd rawFD) Read(func(fd uintptr) (done bool)) error  { return errors.ErrUnsupported }
func (fd rawFD) Write(func(fd uintptr) (done bool)) error { return errors.ErrUnsupported }

// ownedSocket is unbound, so that no datagram is ever delivered to it.
type ownedSocket struct {
	*linuxSocket
	fd rawFD
}

func (s ownedSocket) close() { _ = unix.Close(int(s.fd)) }

func (k linux) open(f ifwatch.Family) (holdingSocket, error) {
	var fd int
	err := k.within(func() (err error) {
		fd, err = unix.Socket(domainOf(f), unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return nil, err
	}
	return ownSocket(f, fd, k.request)
}

func ownSocket(f ifwatch.Family, fd int, r *groupRequest) (holdingSocket, error) {
	s, err := newLinuxSocket(f, rawFD(fd), r)
	if err != nil {
		return nil, err
	}
	return ownedSocket{s, rawFD(fd)}, nil
}

func domainOf(f ifwatch.Family) int {
	if f == ifwatch.IPv6 {
		return unix.AF_INET6
	}
	return unix.AF_INET
}
