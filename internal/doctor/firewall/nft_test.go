package firewall

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
	"golang.org/x/sys/unix"
)

// inputChain is a table whose base chain sees what comes in.
func inputChain(policy nftables.ChainPolicy, rules ...[]expr.Any) table {
	c := &chain{name: "in", hook: nftables.ChainHookInput, policy: policy}
	for n, exprs := range rules {
		c.rules = append(c.rules, rule{uint64(n + 1), exprs})
	}
	return table{nftables.TableFamilyINet, "f", map[string]*chain{"in": c}, map[string]set{}}
}

func verdict(kind expr.VerdictKind) expr.Any { return &expr.Verdict{Kind: kind} }

// daddr loads the destination of IPv4, dport the port that it is sent to.
func daddr() expr.Any {
	return &expr.Payload{OperationType: expr.PayloadLoad, Base: expr.PayloadBaseNetworkHeader, Offset: 16, Len: 4, DestRegister: 1}
}
func dport() expr.Any {
	return &expr.Payload{OperationType: expr.PayloadLoad, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2, DestRegister: 1}
}
func is(data ...byte) expr.Any { return &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: data} }

func TestRules(t *testing.T) {
	drop, accept := verdict(expr.VerdictDrop), verdict(expr.VerdictAccept)
	unknownPort := of(func(p *Packet) { p.Port = 0 })
	on := func(path Path) Packet { return of(func(p *Packet) { p.Path = path }) }
	missing := &expr.Fib{Register: 1, ResultOIF: true, FlagSADDR: true, FlagIIF: true, FlagPRESENT: true}
	state := &expr.Ct{Register: 1, Key: expr.CtKeySTATE}
	for name, test := range map[string]struct {
		policy nftables.ChainPolicy
		rules  [][]expr.Any
		packet Packet
		want   Certainty // empty: it is not dropped
	}{
		"nothing":              {nftables.ChainPolicyAccept, nil, stream, ""},
		"policy":               {nftables.ChainPolicyDrop, nil, stream, Certain},
		"group":                {nftables.ChainPolicyAccept, [][]expr.Any{{daddr(), is(232, 1, 1, 1), drop}}, stream, Certain},
		"other group":          {nftables.ChainPolicyAccept, [][]expr.Any{{daddr(), is(232, 1, 1, 2), drop}}, stream, ""},
		"unknown port":         {nftables.ChainPolicyAccept, [][]expr.Any{{dport(), is(0x13, 0x88), drop}}, unknownPort, Perhaps},
		"port":                 {nftables.ChainPolicyAccept, [][]expr.Any{{dport(), is(0x13, 0x88), drop}}, stream, Certain},
		"perhaps accepted":     {nftables.ChainPolicyDrop, [][]expr.Any{{dport(), is(0x13, 0x88), accept}}, unknownPort, Perhaps},
		"never written":        {nftables.ChainPolicyAccept, [][]expr.Any{{is(1), drop}}, stream, Perhaps},
		"limit":                {nftables.ChainPolicyAccept, [][]expr.Any{{&expr.Limit{}, drop}}, stream, Perhaps},
		"masked to nothing":    {nftables.ChainPolicyAccept, [][]expr.Any{{dport(), &expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 2, Mask: []byte{0, 0}, Xor: []byte{0, 0}}, is(0, 0), drop}}, unknownPort, Certain},
		"a shift":              {nftables.ChainPolicyAccept, [][]expr.Any{{dport(), &expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 2}, is(0, 0), drop}}, stream, Perhaps},
		"range":                {nftables.ChainPolicyAccept, [][]expr.Any{{dport(), &expr.Range{Op: expr.CmpOpEq, Register: 1, FromData: []byte{0x13, 0}, ToData: []byte{0x14, 0}}, drop}}, stream, Certain},
		"outside of a range":   {nftables.ChainPolicyAccept, [][]expr.Any{{dport(), &expr.Range{Op: expr.CmpOpNeq, Register: 1, FromData: []byte{0x13, 0}, ToData: []byte{0x14, 0}}, drop}}, stream, ""},
		"less":                 {nftables.ChainPolicyAccept, [][]expr.Any{{dport(), &expr.Cmp{Op: expr.CmpOpLt, Register: 1, Data: []byte{0x13, 0x89}}, drop}}, stream, Certain},
		"rejected":             {nftables.ChainPolicyAccept, [][]expr.Any{{&expr.Counter{}, &expr.Log{}, &expr.Reject{}}}, stream, Certain},
		"another's target":     {nftables.ChainPolicyAccept, [][]expr.Any{{&expr.Target{Name: "MARK"}}, {&expr.Target{Name: "REJECT"}}}, stream, Certain},
		"a condition of xt":    {nftables.ChainPolicyAccept, [][]expr.Any{{&expr.Match{Name: "u32"}, drop}}, stream, Perhaps},
		"jump to what is gone": {nftables.ChainPolicyDrop, [][]expr.Any{{&expr.Verdict{Kind: expr.VerdictJump, Chain: "gone"}}}, stream, Perhaps},
		"jump to itself":       {nftables.ChainPolicyDrop, [][]expr.Any{{&expr.Verdict{Kind: expr.VerdictJump, Chain: "in"}}, {&expr.Verdict{Kind: expr.VerdictJump, Chain: "in"}}}, stream, Perhaps},
		"a program decides":    {nftables.ChainPolicyDrop, [][]expr.Any{{&expr.Queue{}}}, stream, ""},
		"reverse path":         {nftables.ChainPolicyAccept, [][]expr.Any{{missing, is(0, 0, 0, 0), drop}}, on(PathBack), ""},
		"no reverse path":      {nftables.ChainPolicyAccept, [][]expr.Any{{missing, is(0, 0, 0, 0), drop}}, on(PathAway), Certain},
		"unknown path":         {nftables.ChainPolicyAccept, [][]expr.Any{{missing, is(0, 0, 0, 0), drop}}, on(PathUnknown), Perhaps},
		"path by index":        {nftables.ChainPolicyAccept, [][]expr.Any{{&expr.Fib{Register: 1, ResultOIF: true, FlagSADDR: true, FlagIIF: true}, is(0, 0, 0, 0), drop}}, on(PathBack), ""},
		"path by name":         {nftables.ChainPolicyAccept, [][]expr.Any{{&expr.Fib{Register: 1, ResultOIFNAME: true, FlagSADDR: true, FlagIIF: true}, is([]byte("eth0\x00")...), drop}}, on(PathBack), Certain},
		"type of the group":    {nftables.ChainPolicyAccept, [][]expr.Any{{&expr.Fib{Register: 1, ResultADDRTYPE: true, FlagDADDR: true}, is(host32(unix.RTN_MULTICAST).bytes...), drop}}, stream, Certain},
		"type of the source":   {nftables.ChainPolicyAccept, [][]expr.Any{{&expr.Fib{Register: 1, ResultADDRTYPE: true, FlagSADDR: true, FlagIIF: true}, is(0, 0, 0, 0), drop}}, on(PathAway), Perhaps},
		"xt's reverse path":    {nftables.ChainPolicyAccept, [][]expr.Any{{&expr.Match{Name: "rpfilter", Info: &xt.Unknown{rpfilterInvert}}, drop}}, on(PathBack), ""},
		"xt's path away":       {nftables.ChainPolicyAccept, [][]expr.Any{{&expr.Match{Name: "rpfilter", Info: &xt.Unknown{rpfilterInvert}}, drop}}, on(PathAway), Certain},
		"xt's loose path":      {nftables.ChainPolicyAccept, [][]expr.Any{{&expr.Match{Name: "rpfilter", Info: &xt.Unknown{rpfilterLoose | rpfilterInvert}}, drop}}, on(PathAway), Perhaps},
		"untracked":            {nftables.ChainPolicyAccept, [][]expr.Any{{state, is(host32(stateUntracked).bytes...), drop}, {&expr.Notrack{}}}, stream, Certain},
		"tracked":              {nftables.ChainPolicyAccept, [][]expr.Any{{state, is(host32(stateUntracked).bytes...), drop}}, stream, ""},
		"perhaps untracked":    {nftables.ChainPolicyAccept, [][]expr.Any{{state, is(host32(stateUntracked).bytes...), drop}, {dport(), is(0x13, 0x88), &expr.Notrack{}}}, unknownPort, Perhaps},
		"returns":              {nftables.ChainPolicyDrop, [][]expr.Any{{verdict(expr.VerdictReturn)}, {accept}}, stream, Certain},
	} {
		t.Run(name, func(t *testing.T) {
			drops := Rules{tables: []table{inputChain(test.policy, test.rules...)}}.Drops(test.packet)
			switch {
			case len(drops) == 0 && test.want == "":
			case len(drops) != 1 || drops[0].Certainty != test.want:
				t.Errorf("dropped by %+v, want %q", drops, test.want)
			}
		})
	}
}

// Which chains a packet passes.
func TestHooks(t *testing.T) {
	v6 := of(func(p *Packet) {
		p.Source, p.Destination = netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("ff3e::1")
	})
	out := of(func(p *Packet) { p.Direction = Out })
	eth0 := map[string]bool{"eth0": true}
	ingress := nftables.ChainHookRef(inetIngress)
	for name, test := range map[string]struct {
		family  nftables.TableFamily
		hook    *nftables.ChainHook
		devices map[string]bool
		sees    []Packet
	}{
		"ip":            {nftables.TableFamilyIPv4, nftables.ChainHookInput, nil, []Packet{stream}},
		"ip6":           {nftables.TableFamilyIPv6, nftables.ChainHookPrerouting, nil, []Packet{v6}},
		"inet":          {nftables.TableFamilyINet, nftables.ChainHookInput, nil, []Packet{stream, v6}},
		"output":        {nftables.TableFamilyINet, nftables.ChainHookOutput, nil, []Packet{out}},
		"forward":       {nftables.TableFamilyINet, nftables.ChainHookForward, nil, nil},
		"inet ingress":  {nftables.TableFamilyINet, ingress, eth0, []Packet{stream, v6}},
		"other ingress": {nftables.TableFamilyINet, ingress, map[string]bool{"eth1": true}, nil},
		"netdev":        {nftables.TableFamilyNetdev, nftables.ChainHookIngress, eth0, []Packet{stream, v6}},
		"egress":        {nftables.TableFamilyNetdev, nftables.ChainHookEgress, eth0, []Packet{out}},
		"arp":           {nftables.TableFamilyARP, nftables.ChainHookInput, nil, nil},
		"no base chain": {nftables.TableFamilyINet, nil, nil, nil},
	} {
		c := &chain{name: "c", hook: test.hook, devices: test.devices}
		var sees []Packet
		for _, p := range []Packet{stream, v6, out} {
			if (table{family: test.family}).sees(c, p) {
				sees = append(sees, p)
			}
		}
		if diff := cmp.Diff(test.sees, sees, cmp.Comparer(func(a, b Packet) bool { return a == b })); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
	}
}

// Of a set with ranges only the ends are listed: 10/8, 232.1/16 up to 232.3/16,
// and one that begins where the other ends.
func TestSet(t *testing.T) {
	begin := func(a ...byte) nftables.SetElement { return nftables.SetElement{Key: a} }
	end := func(a ...byte) nftables.SetElement { return nftables.SetElement{Key: a, IntervalEnd: true} }
	ranges := newSet(&nftables.Set{Interval: true}, []nftables.SetElement{end(0, 0, 0, 0), begin(10, 0, 0, 0), end(11, 0, 0, 0),
		begin(232, 1, 0, 0), end(232, 3, 0, 0), begin(232, 3, 0, 0), end(232, 4, 0, 0)})
	single := newSet(&nftables.Set{}, []nftables.SetElement{begin(10, 0, 0, 1), begin(10, 0, 0, 2)})
	several := newSet(&nftables.Set{Interval: true, Concatenation: true}, []nftables.SetElement{
		{Key: []byte{10, 0, 0, 1}, KeyEnd: []byte{10, 0, 0, 1}}, {Key: []byte{20, 0, 0, 1}, KeyEnd: []byte{20, 0, 0, 9}}})
	half := unknown(4)
	half.put(0, 10)
	for name, test := range map[string]struct {
		set   set
		value value
		want  answer
	}{
		"in":                 {ranges, known(10, 9, 9, 9), yes},
		"first":              {ranges, known(10, 0, 0, 0), yes},
		"behind":             {ranges, known(11, 0, 0, 0), no},
		"before":             {ranges, known(9, 255, 255, 255), no},
		"at a seam":          {ranges, known(232, 3, 0, 0), yes},
		"behind all":         {ranges, known(240, 0, 0, 0), no},
		"not known":          {ranges, half, perhaps},
		"single":             {single, known(10, 0, 0, 2), yes},
		"single, not in it":  {single, known(10, 0, 0, 3), no},
		"single, half known": {single, half, perhaps},
		"fields":             {several, known(10, 0, 0, 1), yes},
		"fields of a range":  {several, known(20, 0, 0, 5), perhaps},
		"empty":              {set{}, unknown(0), no},
	} {
		if got, _ := test.set.find(test.value); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

// A map leads to verdicts.
func TestVerdictMap(t *testing.T) {
	code := binary.BigEndian.AppendUint32([]byte{8, 0, unix.NFTA_VERDICT_CODE, 0}, uint32(0)) // NF_DROP
	table := inputChain(nftables.ChainPolicyAccept, []expr.Any{dport(), &expr.Lookup{SourceRegister: 1, IsDestRegSet: true, SetName: "m"}})
	table.sets["m"] = newSet(&nftables.Set{IsMap: true}, []nftables.SetElement{{Key: []byte{0x13, 0x88}, Val: code}})
	for packet, want := range map[Packet]Certainty{stream: Certain, of(func(p *Packet) { p.Port = 0 }): Perhaps, of(func(p *Packet) { p.Port = 1 }): ""} {
		drops, _ := table.drops(packet)
		if len(drops) > 0 != (want != "") || len(drops) > 0 && drops[0].Certainty != want {
			t.Errorf("port %d is dropped by %+v, want %q", packet.Port, drops, want)
		}
	}
}
