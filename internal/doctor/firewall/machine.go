package firewall

import (
	"bytes"
	"encoding/binary"

	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// machine runs one rule: it has the registers of nft_do_chain, of which some
// bytes are known. What no expression wrote is not known, so that expressions
// which are not decoded make doubtful what depends on them.
type machine struct {
	table     table
	packet    Packet
	registers value
	untracks  bool // a rule took the packet from connection tracking
}

// The numbers of registers: 1 to 4 have 16 bytes, and 8 on are their parts of 4
// bytes.
const (
	registerBytes = 64
	firstPart     = 8 // NFT_REG32_00
)

func newMachine(t table, p Packet) *machine {
	return &machine{table: t, packet: p, registers: unknown(registerBytes)}
}

func offset(register uint32) int {
	if register >= firstPart {
		return int(register-firstPart) * 4
	}
	return (int(register) - 1) * 16
}

func (m *machine) load(register uint32, length int) value {
	at := offset(register)
	if at < 0 {
		return unknown(length)
	}
	return m.registers.slice(at, length)
}

func (m *machine) store(register uint32, v value) {
	at := offset(register)
	for n := range v.bytes {
		if at >= 0 && at+n < registerBytes {
			m.registers.bytes[at+n], m.registers.known[at+n] = v.bytes[n], v.known[n]
		}
	}
}

// run returns whether the rule's conditions hold, and its verdict, if it has
// one.
func (m *machine) run(r rule) (answer, *expr.Verdict) {
	matched := yes
	for _, e := range r.exprs {
		a, v := m.step(e)
		if matched = matched.and(a); matched == no || v != nil {
			return matched, v
		}
	}
	return matched, nil
}

func (m *machine) step(e expr.Any) (answer, *expr.Verdict) {
	switch e := e.(type) {
	case *expr.Verdict:
		return yes, e
	case *expr.Reject:
		return yes, &expr.Verdict{Kind: expr.VerdictDrop}
	case *expr.Queue:
		return yes, &expr.Verdict{Kind: expr.VerdictQueue}
	case *expr.Target:
		if e.Name == "REJECT" || e.Name == "DROP" {
			return yes, &expr.Verdict{Kind: expr.VerdictDrop}
		}
	case *expr.Meta:
		if !e.SourceRegister {
			m.store(e.Register, m.meta(e.Key))
		}
	case *expr.Payload:
		if e.OperationType == expr.PayloadLoad {
			m.store(e.DestRegister, m.payload(e))
		}
	case *expr.Ct:
		if !e.SourceRegister {
			m.store(e.Register, m.conntrack(e.Key))
		}
	case *expr.Immediate:
		m.store(e.Register, known(e.Data...))
	case *expr.Bitwise:
		m.store(e.DestRegister, bitwise(m.load(e.SourceRegister, int(e.Len)), e.Mask, e.Xor))
	case *expr.Fib:
		m.store(e.Register, m.fib(e))
	case *expr.Notrack:
		m.untracks = true
	case *expr.Exthdr:
		m.store(e.DestRegister, unknown(int(e.Len)))
	case *expr.Hash:
		m.store(e.DestRegister, unknown(4))
	case *expr.Numgen:
		m.store(e.Register, unknown(4))
	case *expr.Cmp:
		return compare(m.load(e.Register, len(e.Data)), e.Op, e.Data), nil
	case *expr.Range:
		return between(m.load(e.Register, len(e.FromData)), e), nil
	case *expr.Lookup:
		return m.lookup(e)
	case *expr.Match:
		if e.Name == "rpfilter" {
			return m.reversePath(e), nil
		}
		return perhaps, nil
	case *expr.Limit, *expr.Quota, *expr.Connlimit, *expr.Dynset:
		return perhaps, nil
	}
	return yes, nil // counts, logs, marks: nothing that decides
}

func bitwise(v value, mask, xor []byte) value {
	if len(mask) != len(v.bytes) || len(xor) != len(v.bytes) {
		return unknown(len(v.bytes)) // a shift, as it is not decoded
	}
	for n := range v.bytes {
		if mask[n] == 0 {
			v.known[n] = true // whatever it was
		}
		v.bytes[n] = v.bytes[n]&mask[n] ^ xor[n]
	}
	return v
}

// compare compares as memcmp does, as the kernel.
func compare(v value, op expr.CmpOp, with []byte) answer {
	order, certain := 0, true
	for n, b := range with {
		if !v.known[n] {
			certain = false
			continue
		}
		if v.bytes[n] != b {
			if order = int(v.bytes[n]) - int(b); !certain && op != expr.CmpOpEq && op != expr.CmpOpNeq {
				return perhaps
			}
			certain = true // they differ, whatever else is in there
			break
		}
	}
	if !certain {
		return perhaps
	}
	switch op {
	case expr.CmpOpEq:
		return answerOf(order == 0)
	case expr.CmpOpNeq:
		return answerOf(order != 0)
	case expr.CmpOpLt:
		return answerOf(order < 0)
	case expr.CmpOpLte:
		return answerOf(order <= 0)
	case expr.CmpOpGt:
		return answerOf(order > 0)
	}
	return answerOf(order >= 0)
}

func between(v value, r *expr.Range) answer {
	in := compare(v, expr.CmpOpGte, r.FromData).and(compare(v, expr.CmpOpLte, r.ToData))
	if r.Op == expr.CmpOpNeq {
		return in.not()
	}
	return in
}

// meta is what is known of a packet besides its bytes, in the host's order but
// for the EtherType.
func (m *machine) meta(key expr.MetaKey) value {
	p := m.packet
	in := p.Direction == In
	switch key {
	case expr.MetaKeyL4PROTO:
		return known(p.Protocol)
	case expr.MetaKeyNFPROTO:
		if p.family() == ifwatch.IPv4 {
			return known(unix.NFPROTO_IPV4)
		}
		return known(unix.NFPROTO_IPV6)
	case expr.MetaKeyPROTOCOL:
		return p.link().slice(12, 2)
	case expr.MetaKeyPKTTYPE:
		if in {
			return known(unix.PACKET_MULTICAST)
		}
	case expr.MetaKeyIIFNAME, expr.MetaKeyOIFNAME:
		if in == (key == expr.MetaKeyIIFNAME) {
			name := make([]byte, unix.IFNAMSIZ)
			copy(name, p.Interface)
			return known(name...)
		}
		return known(make([]byte, unix.IFNAMSIZ)...)
	case expr.MetaKeyIIF, expr.MetaKeyOIF:
		if in == (key == expr.MetaKeyIIF) {
			return host32(uint32(p.Index))
		}
		return host32(0)
	}
	return unknown(unix.IFNAMSIZ)
}

// fib is what the routes say: of the source whether it is reached over the
// interface that the packet came in on, and of the destination that it is a group.
func (m *machine) fib(e *expr.Fib) value {
	switch {
	case e.ResultADDRTYPE && e.FlagDADDR:
		return host32(unix.RTN_MULTICAST)
	case e.ResultADDRTYPE || !e.FlagSADDR || !e.FlagIIF || m.packet.Path == PathUnknown:
		return unknown(16)
	case m.packet.Path == PathAway:
		return known(make([]byte, unix.IFNAMSIZ)...)
	case e.FlagPRESENT:
		return known(1, 0, 0, 0)
	case e.ResultOIF:
		return m.meta(expr.MetaKeyIIF)
	}
	return m.meta(expr.MetaKeyIIFNAME)
}

// The flags of struct xt_rpfilter_info.
const (
	rpfilterLoose  = 1 << 0
	rpfilterInvert = 1 << 3
)

// reversePath is the match of that name, which iptables puts into nftables as it
// is. Of what is loose nothing is known.
func (m *machine) reversePath(e *expr.Match) answer {
	info, read := e.Info.(*xt.Unknown)
	if !read || len(*info) == 0 || (*info)[0]&rpfilterLoose != 0 {
		return perhaps
	}
	matched := m.packet.returns()
	if (*info)[0]&rpfilterInvert != 0 {
		matched = matched.not()
	}
	return matched
}

func (m *machine) payload(e *expr.Payload) value {
	var header value
	switch e.Base {
	case expr.PayloadBaseLLHeader:
		header = m.packet.link()
	case expr.PayloadBaseNetworkHeader:
		header = m.packet.network()
	case expr.PayloadBaseTransportHeader:
		header = m.packet.transport()
	}
	return header.slice(int(e.Offset), int(e.Len))
}

// The states of connection tracking that a packet of these can have, as nft
// names them by bits.
const (
	stateNew       = 1 << 3
	stateUntracked = 1 << 6
)

// conntrack is the state of a packet's connection: nobody answers to multicast,
// so each is new, but where a rule keeps it from being tracked. MLD is not tracked
// (nf_conntrack_icmpv6).
func (m *machine) conntrack(key expr.CtKey) value {
	switch {
	case key != expr.CtKeySTATE:
		return unknown(16)
	case m.packet.untracked == perhaps:
		return unknown(4)
	case m.packet.untracked == yes || m.packet.Protocol == unix.IPPROTO_ICMPV6:
		return host32(stateUntracked)
	}
	return host32(stateNew)
}

func host32(n uint32) value {
	return known(binary.NativeEndian.AppendUint32(nil, n)...)
}

// lookup looks a register up in a set, or a map.
func (m *machine) lookup(e *expr.Lookup) (answer, *expr.Verdict) {
	s, ok := m.table.sets[e.SetName]
	if !ok || len(s.elements) > 0 && len(s.elements[0].Key) == 0 {
		return perhaps, nil
	}
	found, element := s.find(m.load(e.SourceRegister, s.keyLength()))
	if e.Invert {
		return found.not(), nil
	}
	if found == no || !e.IsDestRegSet {
		return found, nil
	}
	switch {
	case e.DestRegister != unix.NFT_REG_VERDICT && found == yes:
		m.store(e.DestRegister, known(element.Val...))
		return yes, nil
	case e.DestRegister != unix.NFT_REG_VERDICT:
		return perhaps, nil
	case found == yes:
		return yes, verdictOf(element)
	}
	return perhaps, &expr.Verdict{Kind: expr.VerdictDrop} // or none, or another
}

// equal reports whether a value is these bytes.
func equal(v value, with []byte) answer {
	if v.whole() {
		return answerOf(bytes.Equal(v.bytes, with))
	}
	return compare(v, expr.CmpOpEq, with)
}
