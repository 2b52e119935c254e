package monitor

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// place is what a socket is bound to.
type place struct {
	namespace ifwatch.Namespace // zero: the monitor's own
	address   netip.AddrPort
	index     int // of the interface, where the address has a meaning only there
}

// socket hears a group on a port, on whatever interfaces and from whatever sources
// others joined it: it joins nothing. A join of its own would keep the group where
// the manager's was lost, and keep a re-announcement from being reported.
//
// It is bound to the group: one that is bound to every address would take the
// unicast datagrams of the port from a receiver.
type socket struct {
	place
	fd    int
	flows map[origin][]*flow
	users int

	drops   uint32 // as the kernel counted them when they were looked at last; it wraps
	dropped uint64 // all of them
}

// buffer is asked for, in bytes: the kernel gives what net.core.rmem_max allows.
const buffer = 4 << 20

func openSocket(p place) (*socket, error) {
	s := &socket{place: p, flows: make(map[origin][]*flow)}
	open := func() (err error) {
		s.fd, err = unix.Socket(domainOf(p.address.Addr()), unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		return err
	}
	if err := within(p.namespace, open); err != nil {
		return nil, fmt.Errorf("open socket for %s: %w", p.address, err)
	}
	if err := s.prepare(); err != nil {
		_ = unix.Close(s.fd)
		return nil, err
	}
	return s, nil
}

// within runs a function in a network namespace.
func within(n ifwatch.Namespace, f func() error) error {
	if n == (ifwatch.Namespace{}) {
		return f()
	}
	return n.Do(f)
}

func (s *socket) prepare() error {
	for _, o := range optionsOf(s.address.Addr()) {
		if err := unix.SetsockoptInt(s.fd, o.level, o.name, o.value); err != nil {
			return fmt.Errorf("set socket options for %s: %w", s.address, err)
		}
	}
	// More than net.core.rmem_max needs CAP_NET_ADMIN, and is not needed.
	if unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, buffer) != nil {
		_ = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, buffer)
	}
	err := unix.Bind(s.fd, s.sockaddr())
	if errors.Is(err, unix.EADDRINUSE) {
		return fmt.Errorf("bind to %s: %w by a receiver without SO_REUSEADDR: it has to set that before it binds", s.address, err)
	}
	if err != nil {
		return fmt.Errorf("bind to %s: %w", s.address, err)
	}
	return nil
}

type option struct{ level, name, value int }

// optionsOf shares the port with receivers that set SO_REUSEADDR, and with those of
// the same user that set SO_REUSEPORT: of what is sent to a group, unlike unicast,
// each socket has a copy with either.
func optionsOf(group netip.Addr) []option {
	shared := []option{{unix.SOL_SOCKET, unix.SO_REUSEADDR, 1}, {unix.SOL_SOCKET, unix.SO_REUSEPORT, 1}, {unix.SOL_SOCKET, unix.SO_TIMESTAMPNS_NEW, 1}}
	if group.Is4() {
		return append(shared, option{unix.IPPROTO_IP, unix.IP_PKTINFO, 1}, option{unix.IPPROTO_IP, unix.IP_MULTICAST_ALL, 1})
	}
	return append(shared, option{unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1}, option{unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1},
		option{unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_ALL, 1})
}

func domainOf(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func (p place) sockaddr() unix.Sockaddr {
	a := p.address
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16(), ZoneId: uint32(p.index)}
}

func (f *flow) origin() origin { return origin{f.channel.Source, f.at.Index} }

// include has a flow counted from now on. What was dropped before is no matter of
// it.
func (s *socket) include(f *flow) {
	s.countDropped()
	s.flows[f.origin()] = append(s.flows[f.origin()], f)
	s.users++
	f.socket, f.droppedBefore = s, s.dropped
}

// exclude ends that.
func (s *socket) exclude(f *flow) {
	s.countDropped()
	f.unread = f.unreadNow()
	from := f.origin()
	s.flows[from] = slices.DeleteFunc(s.flows[from], func(o *flow) bool { return o == f })
	if len(s.flows[from]) == 0 {
		delete(s.flows, from)
	}
	s.users--
	f.socket = nil
}

// skMeminfoDrops is the kernel's SK_MEMINFO_DROPS, skMeminfoVars how many there
// are (linux/sock_diag.h).
const (
	skMeminfoDrops = 8
	skMeminfoVars  = 9
)

// countDropped asks how many datagrams found the socket's buffer full.
func (s *socket) countDropped() {
	if info, err := meminfo(s.fd); err == nil {
		s.noteDrops(info[skMeminfoDrops])
	}
}

func (s *socket) noteDrops(drops uint32) {
	s.dropped += uint64(drops - s.drops)
	s.drops = drops
}
