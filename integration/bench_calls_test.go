package integration

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/membership"
)

// holder is testdata/bare.c in Go: for where there is no compiler, and to tell
// what part of a ratio is x/net's.
type holder struct {
	sync.Mutex
	name      string
	channels  []membership.Channel
	perSocket int // channels
	domain    int
	open      func(domain int) (held int, join joiner, err error)

	index   int
	sockets []int
}

// joiner joins a channel on a socket.
type joiner func(index int, c membership.Channel) error

func contendBare(kind, name string, l load) error {
	h := &holder{name: name, channels: l.channels(), perSocket: groupsPerSocket * l.sources, domain: unix.AF_INET, open: openBare}
	if l.family == 6 {
		h.domain = unix.AF_INET6
	}
	if kind == kindXNet {
		h.open = openXNet
	}
	links, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open netlink: %w", err)
	}
	if err := unix.Bind(links, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: unix.RTMGRP_LINK}); err != nil {
		return fmt.Errorf("bind netlink: %w", err)
	}
	if i, err := net.InterfaceByName(name); err == nil {
		if err := h.joinAll(i.Index); err != nil {
			return err
		}
	}
	fmt.Println("ready")
	go h.obey()
	return h.follow(links)
}

func (h *holder) joinAll(index int) error {
	var join joiner
	for i, c := range h.channels {
		if i%h.perSocket == 0 {
			fd, with, err := h.open(h.domain)
			if err != nil {
				return fmt.Errorf("open socket: %w", err)
			}
			h.sockets, join = append(h.sockets, fd), with
		}
		if err := join(index, c); err != nil {
			return fmt.Errorf("join %v: %w", c, err)
		}
	}
	h.index = index
	return nil
}

func (h *holder) closeAll() {
	for _, fd := range slices.Backward(h.sockets) {
		_ = unix.Close(fd)
	}
	h.sockets = h.sockets[:0]
}

// obey does what signals ask for.
func (h *holder) obey() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGUSR1, unix.SIGUSR2, unix.SIGTERM)
	for s := range signals {
		h.Lock()
		switch s {
		case unix.SIGUSR1:
			h.closeAll()
			fmt.Println("left")
		case unix.SIGUSR2:
			if err := h.joinAll(h.index); err != nil {
				fmt.Println(err)
			}
			fmt.Println("joined")
		default:
			h.closeAll()
			os.Exit(0)
		}
		h.Unlock()
	}
}

// follow joins when the interface is up, and leaves when it is gone.
func (h *holder) follow(links int) error {
	buffer := make([]byte, 1<<16)
	for {
		n, _, err := unix.Recvfrom(links, buffer, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read netlink: %w", err)
		}
		messages, err := syscall.ParseNetlinkMessage(buffer[:n])
		if err != nil {
			return fmt.Errorf("parse netlink: %w", err)
		}
		h.Lock()
		for _, m := range messages {
			if err := h.take(m); err != nil {
				return err
			}
		}
		h.Unlock()
	}
}

func (h *holder) take(m syscall.NetlinkMessage) error {
	info := (*unix.IfInfomsg)(unsafe.Pointer(&m.Data[0]))
	index := int(info.Index)
	switch {
	case info.Family != unix.AF_UNSPEC:
	case m.Header.Type == unix.RTM_DELLINK && index == h.index:
		h.closeAll()
		h.index = 0
		fmt.Println("left")
	case m.Header.Type == unix.RTM_NEWLINK && info.Flags&unix.IFF_UP != 0 && index != h.index && nameIn(m) == h.name:
		if err := h.joinAll(index); err != nil {
			return err
		}
		fmt.Println("joined")
	}
	return nil
}

func nameIn(m syscall.NetlinkMessage) string {
	attrs, err := syscall.ParseNetlinkRouteAttr(&m)
	if err != nil {
		return ""
	}
	for _, a := range attrs {
		if a.Attr.Type == unix.IFLA_IFNAME {
			return unix.ByteSliceToString(a.Value)
		}
	}
	return ""
}

// openBare opens a socket on which channels are joined by the system call.
func openBare(domain int) (int, joiner, error) {
	fd, err := unix.Socket(domain, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	level := unix.IPPROTO_IP
	if domain == unix.AF_INET6 {
		level = unix.IPPROTO_IPV6
	}
	const groupAt, sourceAt, size = 8, 8 + 128, 8 + 2*128 // of struct group_source_req
	var request [size]byte
	return fd, func(index int, c membership.Channel) error {
		binary.NativeEndian.PutUint32(request[:], uint32(index))
		putAddress(request[groupAt:], c.Group)
		putAddress(request[sourceAt:], c.Source)
		_, _, errno := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(fd), uintptr(level), unix.MCAST_JOIN_SOURCE_GROUP,
			uintptr(unsafe.Pointer(&request)), size, 0)
		if errno != 0 {
			return errno
		}
		return nil
	}, err
}

// putAddress writes a struct sockaddr_in or sockaddr_in6.
func putAddress(to []byte, a netip.Addr) {
	if a.Is4() {
		four := a.As4()
		binary.NativeEndian.PutUint16(to, unix.AF_INET)
		copy(to[4:], four[:])
		return
	}
	sixteen := a.As16()
	binary.NativeEndian.PutUint16(to, unix.AF_INET6)
	copy(to[8:], sixteen[:])
}

// openXNet opens a socket on which channels are joined as any program does
// that uses golang.org/x/net.
func openXNet(domain int) (int, joiner, error) {
	fd, err := unix.Socket(domain, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, nil, err
	}
	join := ipv4.NewPacketConn(descriptor{fd: fd}).JoinSourceSpecificGroup
	if domain == unix.AF_INET6 {
		join = ipv6.NewPacketConn(descriptor{fd: fd}).JoinSourceSpecificGroup
	}
	return fd, func(index int, c membership.Channel) error {
		return join(&net.Interface{Index: index}, &net.IPAddr{IP: c.Group.AsSlice()}, &net.IPAddr{IP: c.Source.AsSlice()})
	}, nil
}

// descriptor lets x/net set options on a socket that is none of the runtime's.
// x/net takes it for a net.UDPConn, and calls nothing but Control.
type descriptor struct {
	*net.UDPConn
	fd int
}

func (d descriptor) SyscallConn() (syscall.RawConn, error) { return rawDescriptor(d.fd), nil }

type rawDescriptor int

func (d rawDescriptor) Control(f func(fd uintptr)) error { f(uintptr(d)); return nil }
func (rawDescriptor) Read(func(uintptr) bool) error      { return errors.ErrUnsupported }
func (rawDescriptor) Write(func(uintptr) bool) error     { return errors.ErrUnsupported }
