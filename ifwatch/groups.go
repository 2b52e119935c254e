package ifwatch

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// Groups are the multicast groups of one family that the kernel lists in a
// network namespace, and how many sockets are members of each. The kernel
// hands its list out in parts: a group that came or went meanwhile, or any
// other then, may be missing or listed twice.
type Groups struct {
	Users map[GroupKey]int
	// Interfaces has the indexes on which there is any group. One that is on
	// its way out of the namespace is listed no more, sooner than its life
	// ends.
	Interfaces map[int]bool
	// OldQueriers has the interfaces on which IGMP speaks an older version
	// than 3, by index, as "V2": reports name no sources there.
	OldQueriers map[int]string
}

func newGroups() Groups {
	return Groups{Users: make(map[GroupKey]int), Interfaces: make(map[int]bool), OldQueriers: make(map[int]string)}
}

func (g *Groups) add(index int, group netip.Addr, users int) {
	g.Users[GroupKey{index, group}] = users
	g.Interfaces[index] = true
}

// GroupKey is a group on an interface.
type GroupKey struct {
	Index int
	Group netip.Addr
}

// ListGroups reads the groups of a family in the network namespace that the
// calling thread is in.
func ListGroups(f Family) (Groups, error) {
	path, parse := "/proc/thread-self/net/igmp", parseIGMP
	if f == IPv6 {
		path, parse = "/proc/thread-self/net/igmp6", parseIGMP6
	}
	file, err := os.Open(path)
	if err != nil {
		return Groups{}, fmt.Errorf("list groups: %w", err)
	}
	defer file.Close()
	groups := newGroups()
	if err := parse(file, &groups); err != nil {
		return Groups{}, fmt.Errorf("list groups: %s: %w", path, err)
	}
	return groups, nil
}

// parseIGMP reads /proc/net/igmp: a line for each interface, with the version
// of its querier last, and below it an indented one for each group, in
// hexadecimal digits of the number that is the address in network byte order.
func parseIGMP(r io.Reader, groups *Groups) error {
	lines := bufio.NewScanner(r)
	lines.Scan() // the heading
	index := 0
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 {
			continue
		}
		if !strings.HasPrefix(lines.Text(), "\t") {
			var err error
			if index, err = strconv.Atoi(fields[0]); err != nil {
				return err
			}
			if version := fields[len(fields)-1]; version != "V3" {
				groups.OldQueriers[index] = version
			}
			continue
		}
		number, err := strconv.ParseUint(fields[0], 16, 32)
		if err != nil {
			return err
		}
		users, err := strconv.Atoi(fields[1])
		if err != nil {
			return err
		}
		var group [4]byte
		binary.NativeEndian.PutUint32(group[:], uint32(number))
		groups.add(index, netip.AddrFrom4(group), users)
	}
	return lines.Err()
}

// parseIGMP6 reads /proc/net/igmp6: index, name, group, users and more.
func parseIGMP6(r io.Reader, groups *Groups) error {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || len(fields[2]) != 32 {
			continue
		}
		index, err := strconv.Atoi(fields[0])
		if err != nil {
			return err
		}
		users, err := strconv.Atoi(fields[3])
		if err != nil {
			return err
		}
		var group [16]byte
		for n := range group {
			octet, err := strconv.ParseUint(fields[2][2*n:2*n+2], 16, 8)
			if err != nil {
				return err
			}
			group[n] = byte(octet)
		}
		groups.add(index, netip.AddrFrom16(group), users)
	}
	return lines.Err()
}
