package ifwatch

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// errOverrun says that events were lost: the kernel found the receive buffer
// full, or a message was longer than what can be read at once.
var errOverrun = errors.New("netlink receive buffer overrun")

// groups are the multicast groups of links and addresses. One socket for all
// of them keeps their events in order.
const groups = 1<<(unix.RTNLGRP_LINK-1) | 1<<(unix.RTNLGRP_IPV4_IFADDR-1) | 1<<(unix.RTNLGRP_IPV6_IFADDR-1)

// skipStatistics is RTEXT_FILTER_SKIP_STATS of linux/rtnetlink.h, a flag of
// IFLA_EXT_MASK.
const skipStatistics = 1 << 3

const defaultReceiveBuffer = 4 << 20

// socket is one rtnetlink socket, subscribed to links and addresses.
type socket struct {
	file   *os.File
	conn   syscall.RawConn
	portID uint32
	seq    uint32
	buffer []byte
}

// openSocket takes the buffer to receive into, which may be that of a closed
// socket.
func openSocket(o Options, buffer []byte) (*socket, error) {
	fd := -1
	open := func() (err error) {
		fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
		return err
	}
	within := o.Within
	if within == nil {
		within = func(f func() error) error { return f() }
	}
	if err := within(open); err != nil {
		if fd >= 0 {
			_ = unix.Close(fd) // within failed after it
		}
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	s := &socket{file: os.NewFile(uintptr(fd), "rtnetlink"), buffer: buffer}
	if err := s.prepare(fd, o.ReceiveBuffer); err != nil {
		_ = s.file.Close() // nothing was written
		return nil, err
	}
	return s, nil
}

func (s *socket) prepare(fd, receiveBuffer int) (err error) {
	if receiveBuffer == 0 {
		receiveBuffer = defaultReceiveBuffer
	}
	// The forced size needs privilege; the other is cut to net.core.rmem_max.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) != nil {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer); err != nil {
			return fmt.Errorf("set netlink receive buffer: %w", err)
		}
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		return fmt.Errorf("subscribe to links and addresses: %w", err)
	}
	address, err := unix.Getsockname(fd)
	if err != nil {
		return fmt.Errorf("get netlink port: %w", err)
	}
	s.portID = address.(*unix.SockaddrNetlink).Pid
	s.conn, err = s.file.SyscallConn()
	return err
}

func (s *socket) close() { _ = s.file.Close() } // a read under way returns os.ErrClosed

// requestDump asks for all links or all addresses. The answer comes among the
// events.
func (s *socket) requestDump(kind uint16) error {
	request := nl.NewNetlinkRequest(int(kind), unix.NLM_F_DUMP)
	s.seq++
	request.Seq = s.seq
	if kind == unix.RTM_GETLINK {
		request.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
		request.AddData(nl.NewRtAttr(unix.IFLA_EXT_MASK, nl.Uint32Attr(skipStatistics)))
	} else {
		request.AddData(nl.NewIfAddrmsg(unix.AF_UNSPEC))
	}
	message := request.Serialize()
	var sendErr error
	err := s.conn.Write(func(fd uintptr) bool {
		sendErr = unix.Sendto(int(fd), message, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
		return sendErr != unix.EAGAIN
	})
	if err = errors.Join(err, sendErr); err != nil {
		return fmt.Errorf("request dump: %w", err)
	}
	return nil
}

// receive waits for messages of the kernel. What it returns is valid until the
// next call.
func (s *socket) receive() ([]syscall.NetlinkMessage, error) {
	for {
		if messages, err := s.read(func(err error) bool { return err != unix.EAGAIN }); messages != nil || err != nil {
			return messages, err
		}
	}
}

// receiveQueued is receive without waiting: it returns nil where nothing is
// queued.
func (s *socket) receiveQueued() ([]syscall.NetlinkMessage, error) {
	return s.read(func(error) bool { return true })
}

// read tries until enough says so, and returns nil where there was nothing, or
// nothing of the kernel's.
func (s *socket) read(enough func(error) bool) ([]syscall.NetlinkMessage, error) {
	var n int
	var from unix.Sockaddr
	var readErr error
	err := s.conn.Read(func(fd uintptr) bool {
		n, from, readErr = unix.Recvfrom(int(fd), s.buffer, unix.MSG_TRUNC)
		return enough(readErr)
	})
	switch {
	case err != nil:
		return nil, err
	case errors.Is(readErr, unix.ENOBUFS):
		return nil, errOverrun
	case readErr == unix.EINTR || readErr == unix.EAGAIN:
		return nil, nil
	case readErr != nil:
		return nil, fmt.Errorf("receive from netlink: %w", readErr)
	case n > len(s.buffer):
		s.buffer = make([]byte, 2*n)
		return nil, errOverrun
	}
	if sender, ok := from.(*unix.SockaddrNetlink); !ok || sender.Pid != 0 {
		return nil, nil // not the kernel
	}
	messages, err := syscall.ParseNetlinkMessage(s.buffer[:n])
	if err != nil {
		return nil, fmt.Errorf("parse netlink messages: %w", err)
	}
	return messages, nil
}

// answers reports whether a message belongs to the dump that was requested
// last. Events bear the port and sequence number of the request that led to
// them, which may be the same by chance where that came from another namespace.
func (s *socket) answers(h syscall.NlMsghdr) bool {
	return h.Pid == s.portID && h.Seq == s.seq && (h.Flags&unix.NLM_F_MULTI != 0 || h.Type == unix.NLMSG_ERROR)
}
