package membership

import (
	"errors"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// rejoin makes two system calls of which Go's scheduler knows nothing, and no
// other goroutine, and no collection of garbage, comes
// between the leave and the join.
func (s *linuxSocket) rejoin(index int, c Channel) (gap time.Duration, err error) {
	s.request.fill(index, c)
	controlErr := s.conn.Control(func(fd uintptr) { gap, err = leaveAndJoin(fd, s.family, s.request) })
	return gap, errors.Join(controlErr, err)
}

func leaveAndJoin(fd uintptr, f ifwatch.Family, r *groupRequest) (time.Duration, error) {
	option := func(number uintptr) syscall.Errno {
		_, _, errno := unix.RawSyscall6(unix.SYS_SETSOCKOPT, fd, levelOf(f), number, uintptr(unsafe.Pointer(&r.bytes)), uintptr(sourceSize), 0)
		return errno
	}
	began := time.Now()
	left := option(unix.MCAST_LEAVE_SOURCE_GROUP)
	if left != 0 && left != unix.EADDRNOTAVAIL { // which says that it was not joined
		return 0, left
	}
	joined := option(unix.MCAST_JOIN_SOURCE_GROUP)
	gap := time.Since(began)
	if joined != 0 {
		return gap, joined
	}
	return gap, nil
}

// warmUp leaves and joins on the loopback interface: with cold caches the gap is
// 20 us, and 6 us with warm ones.
func (k linux) warmUp(f ifwatch.Family) {
	s, err := k.open(f)
	if err != nil {
		return // it is only slower
	}
	defer s.close()
	c := loopbackChannel(f)
	if s.join(ifwatch.LoopbackIndex, c) != nil {
		return
	}
	for range 3 {
		_, _ = s.rejoin(ifwatch.LoopbackIndex, c)
	}
}
