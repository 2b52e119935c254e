package doctor

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/membership"
)

// readLists reads the kernel's lists of groups and filters, twice: they can be
// torn, and what is in either is there.
func (f *Facts) readLists() {
	for _, family := range []ifwatch.Family{ifwatch.IPv4, ifwatch.IPv6} {
		f.Lists[family] = readFamily(family, f.Link.Index).with(readFamily(family, f.Link.Index))
	}
}

// with adds what only the other reading has.
func (l Lists) with(o Lists) Lists {
	if l.Err != nil || o.Err != nil {
		return Lists{Err: errors.Join(l.Err, o.Err)}
	}
	for key, users := range o.Groups.Users {
		l.Groups.Users[key] = max(l.Groups.Users[key], users)
	}
	for c, n := range o.Included {
		l.Included[c] = max(l.Included[c], n)
	}
	l.Whole = l.Whole && o.Whole
	return l
}

// readFamily reads the lists of one family. The list of filters begins at the
// first interface whose newest group has a source (K20). So a channel is joined
// on the first of all, the loopback interface, while it is read: where that is
// listed, all are.
func readFamily(family ifwatch.Family, index int) Lists {
	lantern := lightLantern(family)
	defer lantern.put()
	l := Lists{Included: make(map[membership.Channel]int)}
	if l.Groups, l.Err = ifwatch.ListGroups(family); l.Err != nil {
		return l
	}
	path := "/proc/thread-self/net/mcfilter"
	if family == ifwatch.IPv6 {
		path += "6"
	}
	l.Err = eachLine(path, func(line string) {
		at, c, included, err := parseFilter(line)
		if err != nil {
			return // the heading
		}
		if at == index {
			l.Included[c] = included
		}
		l.Whole = l.Whole || at == ifwatch.LoopbackIndex && c == lantern.channel
	})
	return l
}

// lantern is a channel on the loopback interface, of the host's own.
type lantern struct {
	channel membership.Channel
	socket  net.PacketConn // nil: it is not lit
}

func lightLantern(f ifwatch.Family) lantern {
	lo := &net.Interface{Index: ifwatch.LoopbackIndex}
	l := lantern{channel: membership.Channel{Source: netip.MustParseAddr("127.0.0.1"), Group: netip.MustParseAddr("232.0.0.1")}}
	if f == ifwatch.IPv6 {
		l.channel = membership.Channel{Source: netip.IPv6Loopback(), Group: netip.MustParseAddr("ff31::8000:1")}
	}
	group, source := &net.UDPAddr{IP: l.channel.Group.AsSlice()}, &net.UDPAddr{IP: l.channel.Source.AsSlice()}
	var err error
	if f == ifwatch.IPv4 {
		if l.socket, err = net.ListenPacket("udp4", "127.0.0.1:0"); err == nil {
			err = ipv4.NewPacketConn(l.socket).JoinSourceSpecificGroup(lo, group, source)
		}
	} else if l.socket, err = net.ListenPacket("udp6", "[::1]:0"); err == nil {
		err = ipv6.NewPacketConn(l.socket).JoinSourceSpecificGroup(lo, group, source)
	}
	if err != nil {
		l.put()
		l.socket = nil
	}
	return l
}

func (l lantern) put() {
	if l.socket != nil {
		_ = l.socket.Close()
	}
}

// eachLine calls visit for each line of a file.
func eachLine(path string, visit func(string)) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("read the kernel's lists: %w", err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		visit(lines.Text())
	}
	return lines.Err()
}

// parseFilter reads index, name, group, source, and how many sockets include
// and exclude it. A name may have spaces.
func parseFilter(line string) (index int, c membership.Channel, included int, err error) {
	words := strings.Fields(line)
	if len(words) < 6 {
		return 0, c, 0, fmt.Errorf("malformed line %q", line)
	}
	last := words[len(words)-4:]
	index, err = strconv.Atoi(words[0])
	if err != nil {
		return 0, c, 0, err
	}
	included, err = strconv.Atoi(last[2])
	var groupErr, sourceErr error
	c.Group, groupErr = parseHex(last[0])
	c.Source, sourceErr = parseHex(last[1])
	return index, c, included, errors.Join(err, groupErr, sourceErr)
}

// parseHex reads hexadecimal digits in network byte order.
func parseHex(digits string) (netip.Addr, error) {
	digits = strings.TrimPrefix(digits, "0x")
	bytes := make([]byte, 0, 16)
	for n := 0; n+1 < len(digits); n += 2 {
		b, err := strconv.ParseUint(digits[n:n+2], 16, 8)
		if err != nil {
			return netip.Addr{}, err
		}
		bytes = append(bytes, byte(b))
	}
	a, ok := netip.AddrFromSlice(bytes)
	if !ok {
		return netip.Addr{}, fmt.Errorf("malformed address %q", digits)
	}
	return a, nil
}
