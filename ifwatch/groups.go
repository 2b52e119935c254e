package ifwatch

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strconv"
)

// Groups are the multicast groups of one family that the kernel lists in a
// network namespace, and how many sockets are members of each. The kernel
// hands its list out in parts: a group that came or went meanwhile, or any
// other then, may be missing or listed twice.
type Groups struct {
	Users map[GroupKey]int
	// Up has the indexes of the interfaces that are up, for as much as
	// concerns groups. One that is on its way out of the namespace is listed
	// no more, sooner than its life ends.
	Up map[int]bool
	// OldQueriers has the interfaces on which IGMP speaks an older version
	// than 3, by index, as "V2": reports name no sources there.
	OldQueriers map[int]string
}

func newGroups() Groups {
	return Groups{Users: make(map[GroupKey]int), Up: make(map[int]bool), OldQueriers: make(map[int]string)}
}

// allHosts and allNodes are the groups that every host is in. The kernel is in the
// first while the interface is up.
var (
	allHosts = netip.MustParseAddr("224.0.0.1")
	allNodes = netip.MustParseAddr("ff02::1")
)

// loaded says in the flags of an IPv6 group that its interface was not set down
// since the group came.
const loaded = 0x04 // MAF_LOADED

// GroupKey is a group on an interface.
type GroupKey struct {
	Index int
	Group netip.Addr
}

// ListGroups reads the groups of a family in the network namespace that the
// calling thread is in.
func ListGroups(f Family) (Groups, error) { return ListGroupsIn(f, "/proc/thread-self/net") }

// ListGroupsIn is ListGroups in the network namespace whose lists are in a
// directory, as /proc/PID/net of a process that is in it.
func ListGroupsIn(f Family, dir string) (Groups, error) {
	path, parse := dir+"/igmp", parseIGMP
	if f == IPv6 {
		path, parse = dir+"/igmp6", parseIGMP6
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
	var fields [][]byte
	for lines.Scan() {
		fields = slices.AppendSeq(fields[:0], bytes.FieldsSeq(lines.Bytes()))
		if len(fields) < 2 {
			continue
		}
		if !bytes.HasPrefix(lines.Bytes(), []byte("\t")) {
			var err error
			if index, err = strconv.Atoi(string(fields[0])); err != nil {
				return err
			}
			if version := string(fields[len(fields)-1]); version != "V3" {
				groups.OldQueriers[index] = version
			}
			continue
		}
		number, err := strconv.ParseUint(string(fields[0]), 16, 32)
		if err != nil {
			return err
		}
		users, err := strconv.Atoi(string(fields[1]))
		if err != nil {
			return err
		}
		var group [4]byte
		binary.NativeEndian.PutUint32(group[:], uint32(number))
		key := GroupKey{index, netip.AddrFrom4(group)}
		groups.Users[key] = users
		if key.Group == allHosts {
			groups.Up[index] = true
		}
	}
	return lines.Err()
}

// parseIGMP6 reads /proc/net/igmp6: index, name, group, users, flags and more.
func parseIGMP6(r io.Reader, groups *Groups) error {
	lines := bufio.NewScanner(r)
	var fields [][]byte
	for lines.Scan() {
		fields = slices.AppendSeq(fields[:0], bytes.FieldsSeq(lines.Bytes()))
		if len(fields) < 5 || len(fields[2]) != 2*16 {
			continue
		}
		flags, err := strconv.ParseUint(string(fields[4]), 16, 32)
		if err != nil {
			return err
		}
		index, err := strconv.Atoi(string(fields[0]))
		if err != nil {
			return err
		}
		users, err := strconv.Atoi(string(fields[3]))
		if err != nil {
			return err
		}
		group, err := parseHexAddr(fields[2])
		if err != nil {
			return err
		}
		key := GroupKey{index, group}
		groups.Users[key] = users
		if key.Group == allNodes && flags&loaded != 0 {
			groups.Up[index] = true
		}
	}
	return lines.Err()
}
