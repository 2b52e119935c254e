package handoffd

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/handoff"
)

// message is one request as it came. Its descriptors are the receiver's.
type message struct {
	body      []byte
	fds       []int
	truncated bool // it was longer than any request may be
	missing   bool // descriptors came for which there was no room
}

// buffers are lent to whoever has something to read: who waits has none.
var buffers = sync.Pool{New: func() any { return new([handoff.MaxMessage]byte) }}

// receive waits for the next message. It returns io.EOF where the other end is
// closed, or sends nothing any more; an empty message looks the same.
func receive(c *net.UnixConn) (message, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return message{}, err
	}
	var m message
	var size int
	err = errors.Join(raw.Read(func(fd uintptr) bool {
		m, size, err = receiveNow(int(fd))
		return !errors.Is(err, unix.EAGAIN)
	}), err)
	switch {
	case errors.Is(err, unix.ECONNRESET):
		err = io.EOF // it was closed with something unread
	case err == nil && size == 0:
		err = io.EOF
	}
	if err != nil {
		closeAll(m.fds)
		return message{}, err
	}
	return m, nil
}

// receiveNow is receive, or says EAGAIN.
func receiveNow(fd int) (m message, size int, err error) {
	buffer := buffers.Get().(*[handoff.MaxMessage]byte)
	defer buffers.Put(buffer)
	var control [64]byte // one descriptor more than there should be
	size, controlled, flags, _, err := unix.Recvmsg(fd, buffer[:], control[:unix.CmsgSpace(2*4)], unix.MSG_CMSG_CLOEXEC|unix.MSG_DONTWAIT)
	if err != nil {
		return message{}, 0, err
	}
	if m.fds, err = descriptorsIn(control[:controlled]); err != nil {
		return m, 0, fmt.Errorf("read control message: %w", err)
	}
	m.truncated, m.missing = flags&unix.MSG_TRUNC != 0, flags&unix.MSG_CTRUNC != 0
	m.body = append(m.body, buffer[:size]...)
	return m, size, nil
}

// descriptorsIn returns what came in SCM_RIGHTS, also with an error.
func descriptorsIn(control []byte) (fds []int, err error) {
	messages, err := unix.ParseSocketControlMessage(control)
	for _, m := range messages {
		some, err := unix.ParseUnixRights(&m)
		if err != nil {
			continue // something else
		}
		fds = append(fds, some...)
	}
	return fds, err
}

// hungUp reports whether the other end sends nothing any more, also where some of
// what it sent is still to be read.
func hungUp(c *net.UnixConn) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return true
	}
	poll := []unix.PollFd{{Events: unix.POLLRDHUP}}
	err = raw.Control(func(fd uintptr) {
		poll[0].Fd = int32(fd)
		_, _ = unix.Poll(poll, 0) // what it says is in Revents
	})
	return err != nil || poll[0].Revents != 0
}
