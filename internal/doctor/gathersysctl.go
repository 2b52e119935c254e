package doctor

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// The settings that concern an interface; %s is it, or all.
var sysctlsOf = []string{
	"net/ipv4/conf/%s/rp_filter", "net/ipv4/conf/%s/force_igmp_version", "net/ipv4/conf/%s/accept_local",
	"net/ipv6/conf/%s/disable_ipv6", "net/ipv6/conf/%s/force_mld_version", "net/ipv6/conf/%s/addr_gen_mode",
}

// readSysctls reads what the calling thread's namespace has set. What is not
// there is left out.
func (f *Facts) readSysctls(name string) {
	paths := []string{"net/ipv4/igmp_qrv"}
	for _, path := range sysctlsOf {
		paths = append(paths, fmt.Sprintf(path, "all"), fmt.Sprintf(path, name))
	}
	for _, path := range paths {
		if text, err := os.ReadFile("/proc/sys/" + path); err == nil {
			f.Sysctls[path] = string(bytes.TrimSpace(text))
		}
	}
}

// setting returns a number of the interface's, and that of all.
func (f *Facts) setting(format string) (own, all int) {
	own, _ = strconv.Atoi(f.Sysctls[fmt.Sprintf(format, f.Link.Name)])
	all, _ = strconv.Atoi(f.Sysctls[fmt.Sprintf(format, "all")])
	return own, all
}

// greater returns the greater of the two, which is what counts of some.
func (f *Facts) greater(format string) int {
	own, all := f.setting(format)
	return max(own, all)
}

// set is the command that sets a setting. With slashes a name may have dots.
func set(format, name string, value int) string {
	path := fmt.Sprintf(format, name)
	if strings.Contains(path, "=") { // which is the end of a name for sysctl
		return "sh -c " + quote(fmt.Sprintf("echo %d >%s", value, quote("/proc/sys/"+path)))
	}
	if !strings.Contains(path, ".") {
		path = strings.ReplaceAll(path, "/", ".")
	}
	return fmt.Sprintf("sysctl -w %s=%d", quote(path), value)
}

// dotted is the name of a setting for people.
func dotted(format, name string) string {
	return strings.ReplaceAll(fmt.Sprintf(format, name), "/", ".")
}

func readLimits(pid int) Limits {
	return Limits{
		GroupsIPv4:  readNumber("net/ipv4/igmp_max_memberships"),
		SourcesIPv4: readNumber("net/ipv4/igmp_max_msf"),
		SourcesIPv6: readNumber("net/ipv6/mld_max_msf"),
		Memory:      readNumber("net/core/optmem_max"),
		Files:       filesLimit(pid),
	}
}

func readNumber(path string) *int {
	text, err := os.ReadFile("/proc/sys/" + path)
	if err != nil {
		return nil
	}
	n, err := strconv.Atoi(string(bytes.TrimSpace(text)))
	if err != nil {
		return nil
	}
	return &n
}

// filesLimit is how many descriptors a process may have, and nil where that
// cannot be read, as of another user's.
func filesLimit(pid int) *int {
	var limit unix.Rlimit
	if unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &limit) != nil {
		return nil
	}
	n := int(min(limit.Cur, 1<<30))
	return &n
}
