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
}

// sysctlProbe is an open file of /proc/sys/net/ipv?/conf/NAME/. The kernel
// makes that directory with the protocol's state on the interface and removes
// it with that: from then on reading says ENOENT, also where an interface of
// the same name and index lives again. It pins neither interface nor
// namespace. A rename ends it too, so it is opened again after one.
type sysctlProbe struct{ file *os.File }

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
	var open *os.File
	var noSysctls error
	err := k.within(func() (err error) {
		if open, err = os.Open(conf + name + file); err != nil {
			_, noSysctls = os.Stat(conf + "all")
		}
		return err
	})
	switch {
	case err == nil:
		return sysctlProbe{open}
	case errors.Is(err, unix.ENOENT) && noSysctls == nil:
		return endedProbe{}
	}
	return nil
}

func (p sysctlProbe) ended() bool {
	_, err := p.file.ReadAt(make([]byte, 1), 0)
	return errors.Is(err, unix.ENOENT)
}

func (p sysctlProbe) close() { _ = p.file.Close() }

func (endedProbe) ended() bool { return true }
func (endedProbe) close()      {}
