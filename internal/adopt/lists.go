package adopt

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// lists are what the kernel says of a network namespace.
type lists struct {
	groups  map[place]bool // with a user
	names   map[int]string // of interfaces, by index
	highest int            // index
}

// listsOf reads the lists of the namespace that a process is in.
func listsOf(p *Process) (lists, error) {
	l := lists{groups: make(map[place]bool), names: make(map[int]string)}
	for _, f := range []ifwatch.Family{ifwatch.IPv4, ifwatch.IPv6} {
		groups, err := ifwatch.ListGroupsIn(f, p.path("net"))
		if errors.Is(err, fs.ErrNotExist) && !p.ended() {
			continue // a kernel without IPv6
		}
		if err != nil {
			return lists{}, p.refusal(err)
		}
		for key := range groups.Users {
			l.highest = max(l.highest, key.Index)
			if !isKernels(key.Group) {
				l.groups[place{key.Group, key.Index}] = true
			}
		}
	}
	text, err := os.ReadFile(p.path("net/igmp"))
	if err != nil {
		return lists{}, p.refusal(err)
	}
	l.readNames(string(text))
	return l, nil
}

// readNames reads the indexes and names in /proc/net/igmp, which has a line for
// each interface and, behind a tab, one for each group.
func (l *lists) readNames(igmp string) {
	for line := range strings.Lines(igmp) {
		fields := strings.Fields(line)
		if len(fields) < 2 || strings.HasPrefix(line, "\t") {
			continue
		}
		if index, err := strconv.Atoi(fields[0]); err == nil {
			l.names[index] = strings.TrimSuffix(fields[1], ":")
			l.highest = max(l.highest, index)
		}
	}
}

// solicitedNodes are the groups of RFC 4291, section 2.7.1.
var solicitedNodes = netip.MustParsePrefix("ff02::1:ff00:0/104")

// isKernels reports whether a group is one that the kernel itself is in, on each
// interface, and that no program joins.
func isKernels(group netip.Addr) bool {
	switch group {
	case netip.AddrFrom4([4]byte{224, 0, 0, 1}), netip.MustParseAddr("ff01::1"), netip.MustParseAddr("ff02::1"):
		return true
	}
	return solicitedNodes.Contains(group)
}
