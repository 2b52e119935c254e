package firewall

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

var protocolNames = map[uint8]string{unix.IPPROTO_UDP: "udp", unix.IPPROTO_IGMP: "igmp", unix.IPPROTO_ICMPV6: "ipv6-icmp"}

// rpfilter is a condition without an option. What --loose makes of it is not known.
const rpfilter = "rpfilter"

// holds reports whether a packet has what a condition wants. What is not known
// of the packet, and conditions that are not known here, may hold.
func (t test) holds(p Packet) answer {
	switch t.option {
	case "-i":
		return answerOf(p.Direction == In && nameMatches(t.value, p.Interface))
	case "-o":
		return answerOf(p.Direction == Out && nameMatches(t.value, p.Interface))
	case "-s":
		return inPrefix(t.value, p.source())
	case "-d":
		return inPrefix(t.value, p.Destination)
	case "-p":
		return answerOf(t.value == protocolNames[p.Protocol] || t.value == strconv.Itoa(int(p.Protocol)) || t.value == "all")
	case "--dport", "--dports":
		return inPorts(t.value, p.Port)
	case "--icmpv6-type":
		return answerOf(t.value == strconv.Itoa(int(p.Type)))
	case "--pkt-type":
		if p.Direction == In {
			return answerOf(t.value == "multicast")
		}
	case rpfilter:
		return p.returns()
	case "--ctstate", "--state":
		state := "NEW"
		switch {
		case p.untracked == perhaps:
			return perhaps
		case p.untracked == yes || p.Protocol == unix.IPPROTO_ICMPV6:
			state = "UNTRACKED"
		}
		return answerOf(slices.Contains(strings.Split(t.value, ","), state))
	}
	return perhaps
}

// nameMatches compares as iptables does: + at the end stands for anything.
func nameMatches(pattern, name string) bool {
	if prefix, wild := strings.CutSuffix(pattern, "+"); wild {
		return strings.HasPrefix(name, prefix)
	}
	return pattern == name
}

func inPrefix(text string, a netip.Addr) answer {
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		one, err := netip.ParseAddr(text)
		if err != nil {
			return perhaps
		}
		prefix = netip.PrefixFrom(one, one.BitLen())
	}
	if !a.IsValid() {
		if prefix.Bits() == 0 {
			return yes
		}
		return perhaps
	}
	return answerOf(prefix.Contains(a))
}

// inPorts reads a port, FROM:TO, or a list of these.
func inPorts(text string, port uint16) answer {
	if port == 0 {
		return perhaps
	}
	for part := range strings.SplitSeq(text, ",") {
		from, to, isRange := strings.Cut(part, ":")
		if !isRange {
			to = from
		}
		low, err1 := strconv.ParseUint(from, 10, 16)
		high, err2 := strconv.ParseUint(to, 10, 16)
		if err1 != nil || err2 != nil {
			return perhaps
		}
		if uint64(port) >= low && uint64(port) <= high {
			return yes
		}
	}
	return no
}
