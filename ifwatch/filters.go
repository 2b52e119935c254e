package ifwatch

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strconv"
)

// Filter is one source of one group that some socket is a member of, on an
// interface.
type Filter struct {
	Index         int
	Group, Source netip.Addr
}

// VisitFilters calls visit for each filter of a family that the kernel lists in
// the network namespace that the calling thread is in.
//
// The list begins at the first interface whose newest group has a source, and
// is whole from there on: as a rule it is not. Whoever joins a channel on the
// first interface of all, the loopback one, and is shown that, has seen
// everything. As with [ListGroups], what came or went meanwhile, or any other
// filter then, may be missing or listed twice.
func VisitFilters(f Family, visit func(Filter)) error {
	path := "/proc/thread-self/net/mcfilter"
	if f == IPv6 {
		path += "6"
	}
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("list filters: %w", err)
	}
	defer file.Close()
	if err := parseFilters(file, visit); err != nil {
		return fmt.Errorf("list filters: %s: %w", path, err)
	}
	return nil
}

// parseFilters reads index, name, group, source, and how many sockets include
// and exclude it. Addresses are hexadecimal digits in network byte order, of
// IPv4 behind "0x".
func parseFilters(r io.Reader, visit func(Filter)) error {
	lines := bufio.NewScanner(r)
	lines.Scan() // the heading
	var fields [][]byte
	for lines.Scan() {
		fields = slices.AppendSeq(fields[:0], bytes.FieldsSeq(lines.Bytes()))
		if len(fields) < 6 {
			return fmt.Errorf("malformed line %q", lines.Bytes())
		}
		fields = append(fields[:1], fields[len(fields)-4:]...) // a name may have spaces
		if string(fields[3]) == "0" {
			continue // excluded only
		}
		index, err := strconv.Atoi(string(fields[0]))
		if err != nil {
			return err
		}
		group, err := parseHexAddr(fields[1])
		if err != nil {
			return err
		}
		source, err := parseHexAddr(fields[2])
		if err != nil {
			return err
		}
		visit(Filter{index, group, source})
	}
	return lines.Err()
}

func parseHexAddr(s []byte) (netip.Addr, error) {
	var address [16]byte
	digits := bytes.TrimPrefix(s, []byte("0x"))
	if len(digits) != 2*4 && len(digits) != 2*16 {
		return netip.Addr{}, fmt.Errorf("malformed address %q", s)
	}
	n, err := hex.Decode(address[:], digits)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("malformed address %q: %w", s, err)
	}
	a, _ := netip.AddrFromSlice(address[:n])
	return a, nil
}
