package monitor

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// meminfo asks for SO_MEMINFO, socket(7), for which x/sys has no call.
func meminfo(fd int) (info [skMeminfoVars]uint32, err error) {
	size := uint32(unsafe.Sizeof(info))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO, uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return info, errno
	}
	return info, nil
}
