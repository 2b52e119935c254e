package testnet

import (
	"encoding/hex"
	"fmt"
	"maps"
	"net/netip"
	"strconv"
	"strings"
)

// Groups tells which groups the kernel holds in a namespace: by interface
// index, by group, the number of its users, which are sockets and the kernel
// itself. /proc/net/igmp and igmp6 are the only lists that are complete. The
// kernel hands them out in parts, and a group that comes in between shows
// another one twice or not at all: so they are read until they tell the same
// twice.
func Groups(n *Namespace) (map[int]map[netip.Addr]int, error) {
	before, err := readGroups(n)
	for err == nil {
		var now map[int]map[netip.Addr]int
		if now, err = readGroups(n); maps.EqualFunc(before, now, maps.Equal) {
			return now, err
		}
		before = now
	}
	return nil, err
}

func readGroups(n *Namespace) (map[int]map[netip.Addr]int, error) {
	groups := map[int]map[netip.Addr]int{}
	v4, err := n.readProc("igmp")
	if err != nil {
		return nil, fmt.Errorf("list groups: %w", err)
	}
	if err := parseIGMP(v4, groups, nil); err != nil {
		return nil, fmt.Errorf("list groups: %w", err)
	}
	v6, err := n.readProc("igmp6")
	if err != nil {
		return nil, fmt.Errorf("list groups: %w", err)
	}
	if err := parseIGMP6(v6, groups); err != nil {
		return nil, fmt.Errorf("list groups: %w", err)
	}
	return groups, nil
}

// Queriers tells for each interface index which version of IGMP the querier
// speaks, as "V3" or "V2".
func Queriers(n *Namespace) (map[int]string, error) {
	queriers := map[int]string{}
	v4, err := n.readProc("igmp")
	if err != nil {
		return nil, fmt.Errorf("list queriers: %w", err)
	}
	if err := parseIGMP(v4, map[int]map[netip.Addr]int{}, queriers); err != nil {
		return nil, fmt.Errorf("list queriers: %w", err)
	}
	return queriers, nil
}

// parseIGMP reads /proc/net/igmp: a line for each interface, which begins
// with its index and ends with the querier, and below it, indented, one for
// each of its groups.
func parseIGMP(content string, groups map[int]map[netip.Addr]int, queriers map[int]string) error {
	index := 0
	for line := range strings.Lines(content) {
		f := strings.Fields(line)
		switch {
		case len(f) < 4 || f[0] == "Idx":
		case line[0] != '\t':
			var err error
			if index, err = strconv.Atoi(f[0]); err != nil {
				return fmt.Errorf("read %q: %w", line, err)
			}
			if queriers != nil {
				queriers[index] = f[len(f)-1]
			}
		default:
			b, err := hex.DecodeString(f[0])
			users, err2 := strconv.Atoi(f[1])
			if err != nil || err2 != nil || len(b) != 4 {
				return fmt.Errorf("read %q: not a group and its users", line)
			}
			// The kernel prints the address as a number of the machine's own
			// byte order, which is little-endian wherever this runs.
			addUsers(groups, index, netip.AddrFrom4([4]byte{b[3], b[2], b[1], b[0]}), users)
		}
	}
	return nil
}

// parseIGMP6 reads /proc/net/igmp6: index, name, group, users, flags, timer.
func parseIGMP6(content string, groups map[int]map[netip.Addr]int) error {
	for line := range strings.Lines(content) {
		f := strings.Fields(line)
		if len(f) < 4 {
			continue
		}
		index, err := strconv.Atoi(f[0])
		b, err2 := hex.DecodeString(f[2])
		users, err3 := strconv.Atoi(f[3])
		if err != nil || err2 != nil || err3 != nil || len(b) != 16 {
			return fmt.Errorf("read %q: not a group and its users", line)
		}
		addUsers(groups, index, netip.AddrFrom16([16]byte(b)), users)
	}
	return nil
}

func addUsers(groups map[int]map[netip.Addr]int, index int, group netip.Addr, users int) {
	if groups[index] == nil {
		groups[index] = map[netip.Addr]int{}
	}
	groups[index][group] += users
}
