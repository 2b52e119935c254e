package doctor

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/membership"
)

// mostTests is how many groups the filter in the kernel compares; where there
// are more, all multicast passes it.
const mostTests = 64

// filterFor lets IGMP pass, IPv6 with hop-by-hop options, as MLD has, and UDP to
// the groups. A packet begins at its IP header.
func filterFor(channels []membership.Channel) []bpf.Instruction {
	groups := make(map[netip.Addr]bool)
	for _, c := range channels {
		groups[c.Group] = true
	}
	var v4, v6 []uint32
	for g := range groups {
		b := g.AsSlice()
		word := binary.BigEndian.Uint32(b[len(b)-4:]) // of IPv6 its end, which tells most apart
		if g.Is4() {
			v4 = append(v4, word)
		} else {
			v6 = append(v6, word)
		}
	}
	ipv4 := header{protocol: 9, signals: unix.IPPROTO_IGMP, group: 16, word: 16}.filter(v4)
	ipv6 := header{protocol: 6, signals: unix.IPPROTO_HOPOPTS, group: 24, word: 36}.filter(v6)
	program := []bpf.Instruction{
		bpf.LoadAbsolute{Off: 0, Size: 1},
		bpf.ALUOpConstant{Op: bpf.ALUOpShiftRight, Val: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 4, SkipTrue: 1},
		bpf.Jump{Skip: uint32(len(ipv4))},
	}
	return append(append(program, ipv4...), ipv6...)
}

// header is where a filter finds things in an IP header.
type header struct {
	protocol uint32
	signals  uint32 // the protocol of reports and queries, which pass
	group    uint32
	word     uint32 // of the group, the part to compare
}

func (h header) filter(words []uint32) []bpf.Instruction {
	take, pass := bpf.RetConstant{Val: snapshot}, bpf.RetConstant{Val: 0}
	program := []bpf.Instruction{
		bpf.LoadAbsolute{Off: h.protocol, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: h.signals, SkipTrue: 1},
		take,
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.IPPROTO_UDP, SkipTrue: 1},
		pass,
		bpf.LoadAbsolute{Off: h.group, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpGreaterOrEqual, Val: firstMulticast, SkipTrue: 1},
		pass,
	}
	if len(words) > mostTests {
		return append(program, take)
	}
	program = append(program, bpf.LoadAbsolute{Off: h.word, Size: 4})
	for _, w := range words {
		program = append(program, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: w, SkipTrue: 1}, take)
	}
	return append(program, pass)
}

// firstMulticast is the least first byte of a group: those of IPv6 have 255.
const firstMulticast = 224

// packet is what matters of one.
type packet struct {
	source, destination netip.Addr
	protocol            uint8 // behind extension headers
	body                []byte
}

func parsePacket(b []byte) (packet, bool) {
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		header := int(b[0]&0xf) * 4
		if header < 20 || header > len(b) || binary.BigEndian.Uint16(b[6:])&0x1fff != 0 {
			return packet{}, false // a fragment but the first has no ports
		}
		return packet{netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20])), b[9], b[header:]}, true
	case len(b) >= 40 && b[0]>>4 == 6:
		p := packet{netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40])), b[6], b[40:]}
		if p.protocol == unix.IPPROTO_HOPOPTS {
			if len(p.body) < 8 || len(p.body) < 8+int(p.body[1])*8 {
				return packet{}, false
			}
			p.protocol, p.body = p.body[0], p.body[8+int(p.body[1])*8:]
		}
		return p, true
	}
	return packet{}, false
}

func (p packet) port() uint16 {
	if len(p.body) < 4 {
		return 0
	}
	return binary.BigEndian.Uint16(p.body[2:])
}

// The types of IGMP (RFC 3376, section 4; RFC 2236) and MLD (RFC 3810, section
// 5; RFC 2710).
const (
	igmpQuery    = 0x11
	igmpV1Report = 0x12
	igmpV2Report = 0x16
	igmpV2Leave  = 0x17
	igmpV3Report = 0x22
	mldQuery     = 130
	mldV1Report  = 131
	mldV1Done    = 132
	mldV2Report  = 143
)

// query returns the version of a query, and 0 of anything else (RFC 3376,
// section 7.1; RFC 3810, section 8.1).
func (p packet) query() int {
	switch {
	case p.protocol == unix.IPPROTO_IGMP && len(p.body) >= 8 && p.body[0] == igmpQuery:
		switch {
		case len(p.body) >= 12:
			return 3
		case p.body[1] != 0:
			return 2
		}
		return 1
	case p.protocol == unix.IPPROTO_ICMPV6 && len(p.body) >= 24 && p.body[0] == mldQuery:
		if len(p.body) >= 28 {
			return 2
		}
		return 1
	}
	return 0
}

// reports returns the groups of a report, or of a leave.
func (p packet) reports() []GroupReport {
	if len(p.body) < 8 {
		return nil
	}
	switch kind := p.body[0]; {
	case p.protocol == unix.IPPROTO_IGMP:
		switch kind {
		case igmpV3Report:
			return parseRecords(p.body, ifwatch.IPv4, 3)
		case igmpV1Report, igmpV2Report, igmpV2Leave:
			version := 2
			if kind == igmpV1Report {
				version = 1
			}
			return []GroupReport{{Group: netip.AddrFrom4([4]byte(p.body[4:8])), Version: version, Leave: kind == igmpV2Leave}}
		}
	case p.protocol == unix.IPPROTO_ICMPV6 && kind == mldV2Report:
		return parseRecords(p.body, ifwatch.IPv6, 2)
	case p.protocol == unix.IPPROTO_ICMPV6 && (kind == mldV1Report || kind == mldV1Done) && len(p.body) >= 24:
		return []GroupReport{{Group: netip.AddrFrom16([16]byte(p.body[8:24])), Version: 1, Leave: kind == mldV1Done}}
	}
	return nil
}

// blockOldSources is the one record that only takes sources away (RFC 3376,
// section 4.2.12).
const blockOldSources = 6

// parseRecords reads the group records of IGMPv3 and MLDv2, which are alike but
// for the length of addresses.
func parseRecords(b []byte, f ifwatch.Family, version int) []GroupReport {
	length := 4
	if f == ifwatch.IPv6 {
		length = 16
	}
	count, b := binary.BigEndian.Uint16(b[6:]), b[8:]
	var reports []GroupReport
	for range count {
		if len(b) < 4+length {
			break
		}
		kind, extra, sources := b[0], int(b[1])*4, int(binary.BigEndian.Uint16(b[2:]))
		group, _ := netip.AddrFromSlice(b[4 : 4+length])
		r := GroupReport{Group: group, Version: version, Leave: kind == blockOldSources}
		b = b[4+length:]
		if len(b) < sources*length+extra {
			sources, extra = len(b)/length, 0
		}
		for n := range sources {
			source, _ := netip.AddrFromSlice(b[n*length : (n+1)*length])
			r.Sources = append(r.Sources, source)
		}
		b = b[min(len(b), sources*length+extra):]
		reports = append(reports, r)
	}
	return reports
}
