package firewall

import (
	"fmt"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/internal/text"
)

// table is one of nftables.
type table struct {
	family nftables.TableFamily
	name   string
	chains map[string]*chain
	sets   map[string]set
}

type chain struct {
	name    string
	hook    *nftables.ChainHook // nil: no base chain
	devices map[string]bool     // of hooks that belong to interfaces
	policy  nftables.ChainPolicy
	rules   []rule
}

type rule struct {
	handle uint64
	exprs  []expr.Any
}

// The hooks of chains that see what is for the host itself, or comes from it,
// by direction. The numbers of netdev are others.
var hooks = map[Direction]map[nftables.ChainHook]bool{
	In:  {unix.NF_INET_PRE_ROUTING: true, unix.NF_INET_LOCAL_IN: true, inetIngress: true},
	Out: {unix.NF_INET_LOCAL_OUT: true, unix.NF_INET_POST_ROUTING: true},
}

const (
	inetIngress  = 5 // NF_INET_INGRESS
	netdevEgress = 1 // NF_NETDEV_EGRESS
)

// sees reports whether a base chain is on the way of a packet.
func (t table) sees(c *chain, p Packet) bool {
	if c.hook == nil {
		return false
	}
	switch t.family {
	case nftables.TableFamilyIPv4:
		return p.family() == ifwatch.IPv4 && hooks[p.Direction][*c.hook]
	case nftables.TableFamilyIPv6:
		return p.family() == ifwatch.IPv6 && hooks[p.Direction][*c.hook]
	case nftables.TableFamilyINet:
		return hooks[p.Direction][*c.hook] && (*c.hook != inetIngress || c.devices[p.Interface])
	case nftables.TableFamilyNetdev:
		return (p.Direction == Out) == (*c.hook == netdevEgress) && c.devices[p.Interface]
	}
	return false
}

// drops runs every base chain that the packet passes, and says whether one keeps it
// from connection tracking.
func (t table) drops(p Packet) (drops []Drop, untracked answer) {
	for _, c := range t.chains {
		if !t.sees(c, p) {
			continue
		}
		w := &walk{}
		if t.run(c, p, w, 0) == goesOn && c.policy == nftables.ChainPolicyDrop {
			w.drop(yes, fmt.Sprintf("nft %s, policy drop", t.path(c)), fmt.Sprintf("nft insert rule %s %s accept", t.target(c), t.words(p)))
		}
		drops = append(drops, w.worst()...)
		untracked = either(untracked, w.untracked)
	}
	return drops, untracked
}

// worst returns the drop that is certain, or else the first.
func (w *walk) worst() []Drop {
	for _, d := range w.drops {
		if d.Certainty == Certain {
			return []Drop{d}
		}
	}
	return w.drops[:min(1, len(w.drops))]
}

func (t table) path(c *chain) string {
	return fmt.Sprintf("%s %s %s", familyName(t.family), t.name, c.name)
}

// target is path in a command.
func (t table) target(c *chain) string {
	return fmt.Sprintf("%s %s %s", familyName(t.family), text.ShellWord(t.name), text.ShellWord(c.name))
}

// run has a packet pass the rules of a chain.
func (t table) run(c *chain, p Packet, w *walk, depth int) fate {
	if depth > deepest {
		w.doubtful = true
		return goesOn
	}
	for _, r := range c.rules {
		if w.tired() {
			return goesOn
		}
		m := newMachine(t, p)
		matched, v := m.run(r)
		if m.untracks {
			w.untrack(matched)
		}
		if matched == no || v == nil {
			continue
		}
		if f, over := t.obey(c, r, matched, *v, p, w, depth); over {
			return f
		}
	}
	return goesOn
}

// obey does what a rule says, and reports whether the chain ends by that.
func (t table) obey(c *chain, r rule, matched answer, v expr.Verdict, p Packet, w *walk, depth int) (f fate, over bool) {
	switch v.Kind {
	case expr.VerdictDrop:
		w.drop(matched, fmt.Sprintf("nft %s, rule handle %d", t.path(c), r.handle),
			fmt.Sprintf("nft insert rule %s handle %d %s accept", t.target(c), r.handle, t.words(p)))
		return dropped, matched == yes
	case expr.VerdictJump, expr.VerdictGoto:
		return t.follow(r, matched, v, p, w, depth)
	case expr.VerdictReturn:
		f = goesOn
	case expr.VerdictContinue, expr.VerdictBreak:
		return goesOn, false
	default: // accept, or a program that decides
		f = accepted
	}
	if matched == yes {
		return f, true
	}
	w.doubtful = true
	return goesOn, false
}

// follow leads to another chain, and back from it.
func (t table) follow(r rule, matched answer, v expr.Verdict, p Packet, w *walk, depth int) (f fate, over bool) {
	below := t.chains[v.Chain]
	if below == nil {
		w.doubtful = true
		return goesOn, false
	}
	before := w.doubtful
	w.doubtful = before || matched != yes
	f = t.run(below, p, w, depth+1)
	switch {
	case matched == yes && (f != goesOn || v.Kind == expr.VerdictGoto):
		return f, true
	case matched != yes:
		w.doubtful = before || f == accepted || v.Kind == expr.VerdictGoto
	}
	return goesOn, false
}

// words are the packet in nft's words, so that what lets it through lets
// nothing else through.
func (t table) words(p Packet) string {
	var words []string
	switch {
	case strings.ContainsAny(p.Interface, `"*`): // nft has no words for it
	case p.Direction == In && t.family != nftables.TableFamilyNetdev:
		words = append(words, `iifname "`+p.Interface+`"`)
	case p.Direction == Out && t.family != nftables.TableFamilyNetdev:
		words = append(words, `oifname "`+p.Interface+`"`)
	}
	ip := "ip"
	if p.family() == ifwatch.IPv6 {
		ip = "ip6"
	}
	if p.Source.IsValid() {
		words = append(words, ip+" saddr "+p.Source.String())
	}
	switch p.Protocol {
	case unix.IPPROTO_UDP:
		words = append(words, ip+" daddr "+p.Destination.String(), "meta l4proto udp")
		if p.Port != 0 {
			words[len(words)-1] = fmt.Sprintf("udp dport %d", p.Port)
		}
	case unix.IPPROTO_IGMP:
		words = append(words, "ip protocol igmp")
	default:
		words = append(words, fmt.Sprintf("icmpv6 type %d", p.Type))
	}
	return text.ShellWord(strings.Join(words, " ")) // nft takes them together
}

func familyName(f nftables.TableFamily) string {
	switch f {
	case nftables.TableFamilyIPv4:
		return "ip"
	case nftables.TableFamilyIPv6:
		return "ip6"
	case nftables.TableFamilyINet:
		return "inet"
	case nftables.TableFamilyNetdev:
		return "netdev"
	}
	return fmt.Sprint(byte(f))
}
