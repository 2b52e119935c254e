package membership

import (
	"errors"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// The limits that the kernel puts on one socket's memberships.
var (
	limitsIPv4 = []string{"net.ipv4.igmp_max_memberships", "net.ipv4.igmp_max_msf", "net.core.optmem_max"}
	limitsIPv6 = []string{"net.ipv6.mld_max_msf", "net.core.optmem_max"}
)

func (k linux) limits(err error, f ifwatch.Family) string {
	switch {
	case errors.Is(err, unix.EMFILE):
		return "RLIMIT_NOFILE=" + openFilesLimit()
	case errors.Is(err, unix.ENFILE):
		return k.sysctls("fs.file-max")
	case fullness(err) && f == ifwatch.IPv4:
		return k.sysctls(limitsIPv4...)
	case fullness(err):
		return k.sysctls(limitsIPv6...)
	}
	return ""
}

func openFilesLimit() string {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return "?"
	}
	return strconv.FormatUint(limit.Cur, 10)
}

// sysctls returns "NAME=VALUE" for each, as the namespace has it.
func (k linux) sysctls(names ...string) string {
	var parts []string
	_ = k.within(func() error {
		for _, name := range names {
			value, err := os.ReadFile("/proc/sys/" + strings.ReplaceAll(name, ".", "/"))
			if err != nil {
				value = []byte("?")
			}
			parts = append(parts, name+"="+strings.TrimSpace(string(value)))
		}
		return nil
	})
	return strings.Join(parts, " ")
}
