package membership

import (
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// lifeProbe tells whether the life of a protocol on an interface that it was
// made for has ended.
type lifeProbe interface {
	ended() bool
	close()
	// handle is false where there is none to hand over.
	handle() (h handle, ok bool)
}

// sysctlProbe is an open file of /proc/sys/net/ipv?/conf/NAME/. The kernel
// makes that directory with the protocol's state on the interface and removes
// it with that: from then on reading says ENOENT, also where an interface of
// the same name and index lives again. It pins neither interface nor
// namespace. A rename ends it too, so it is opened again after one.
//
// It is a bare descriptor: such a file can be polled, so an os.File would join
// the runtime's poller and wake it once more while joins are due.
type sysctlProbe int

// endedProbe is that of an interface that is not there: the watcher is yet to
// say so, or to tell of its new name.
type endedProbe struct{}

func (k linux) probe(name string, f ifwatch.Family) lifeProbe {
	conf, file := "/proc/sys/net/ipv4/conf/", "/tag"
	if f == ifwatch.IPv6 {
		conf, file = "/proc/sys/net/ipv6/conf/", "/disable_ipv6"
	}
	if strings.Contains(name, "/") {
		return nil
	}
	var fd int
	var noSysctls error
	err := k.within(func() (err error) {
		if fd, err = unix.Open(conf+name+file, unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
			_, noSysctls = os.Stat(conf + "all")
		}
		return err
	})
	switch {
	case err == nil:
		return sysctlProbe(fd)
	case errors.Is(err, unix.ENOENT) && noSysctls == nil:
		return endedProbe{}
	}
	return nil
}

func (p sysctlProbe) ended() bool {
	var first [1]byte
	_, err := unix.Pread(int(p), first[:], 0)
	return errors.Is(err, unix.ENOENT)
}

func (p sysctlProbe) close() { _ = unix.Close(int(p)) }

func (endedProbe) ended() bool { return true }
func (endedProbe) close()      {}

func (endedProbe) handle() (handle, bool) { return handle{}, false }
