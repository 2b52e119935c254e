package membership

import (
	"encoding/binary"
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// groupRequest is the kernel's struct group_source_req, whose first part is its
// struct group_req. It is filled anew for each call instead of made anew:
// golang.org/x/net makes 370 bytes of garbage a join, which takes as long as a
// quarter of the join.
type groupRequest struct {
	bytes  [sourceSize]byte
	filter []byte // struct group_filter, of all sources of a group

	// What set needs, so that no closure is made for each call.
	level, option uintptr
	value         []byte
	errno         syscall.Errno
	set           func(fd uintptr)
}

const (
	storageAt   = int(unsafe.Sizeof(uintptr(0))) // the index before it is padded
	storageSize = 128                            // of a struct sockaddr_storage
	groupSize   = storageAt + storageSize        // of a struct group_req
	sourceSize  = groupSize + storageSize        // of a struct group_source_req
)

func newGroupRequest() *groupRequest {
	r := new(groupRequest)
	r.set = func(fd uintptr) {
		_, _, r.errno = unix.Syscall6(unix.SYS_SETSOCKOPT, fd, r.level, r.option, uintptr(unsafe.Pointer(&r.value[0])), uintptr(len(r.value)), 0)
	}
	return r
}

func (r *groupRequest) fill(index int, c Channel) {
	binary.NativeEndian.PutUint32(r.bytes[:], uint32(index))
	putSockaddr(r.bytes[storageAt:], c.Group)
	putSockaddr(r.bytes[groupSize:], c.Source)
}

// do sets an option of a socket to a value that is not empty.
func (r *groupRequest) do(conn syscall.RawConn, f ifwatch.Family, option int, value []byte) error {
	r.level, r.option, r.value, r.errno = levelOf(f), uintptr(option), value, 0
	if err := conn.Control(r.set); err != nil {
		return err
	}
	if r.errno != 0 {
		return r.errno
	}
	return nil
}

func putSockaddr(to []byte, a netip.Addr) {
	clear(to[:unix.SizeofSockaddrInet6])
	if a.Is4() {
		binary.NativeEndian.PutUint16(to, unix.AF_INET)
		four := a.As4()
		copy(to[4:], four[:]) // behind family and port
		return
	}
	binary.NativeEndian.PutUint16(to, unix.AF_INET6)
	sixteen := a.As16()
	copy(to[8:], sixteen[:]) // behind these and the flow label
}

func levelOf(f ifwatch.Family) uintptr {
	if f == ifwatch.IPv6 {
		return unix.IPPROTO_IPV6
	}
	return unix.IPPROTO_IP
}
