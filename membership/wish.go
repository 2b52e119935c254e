package membership

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/reattach"
)

// wish is a checked membership in its normal form: what two equal wishes have
// in common is equal. Nobody changes it.
type wish struct {
	*terms
	name     string
	channels []Channel // sorted, each once: those of IPv4 first
	first6   int       // of channels, where those of IPv6 begin
	socket   syscall.Conn
	keep     Keep
	anyRange AnyRange

	reannounce Reannounce
	namespace  string
	path       string // of its file, or what stands for a socket's; empty: the manager's own

	sum sum // asked for with digest
}

// terms are what wishes that are judged alike have in common.
type terms struct {
	rules       reattach.Rules
	families    []ifwatch.Family
	selectorKey string // equal for equal selectors
	ruleKey     string // equal for equal rules and families

	selectorDigest string
}

// checkSet returns the wishes of a set, or every error in it. A membership that
// is as it was before is neither checked again nor made into a wish anew.
func checkSet(set []Membership, before []*wish) ([]*wish, error) {
	wishes := make([]*wish, 0, len(set))
	names := make(map[string]bool, len(set))
	known := make(map[string]*wish, len(before))
	for _, w := range before {
		known[w.name] = w
	}
	agreed := make(agreements)
	var last *terms
	var errs []error
	for i := range set {
		m := &set[i]
		w := known[m.Name]
		if w != nil && !names[m.Name] && w.isOf(m) {
			names[m.Name] = true
			wishes = append(wishes, w)
			last = w.terms
			continue
		}
		if err := m.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("membership %q: %w", m.Name, err))
			continue
		}
		if names[m.Name] {
			errs = append(errs, fmt.Errorf("membership %q: name used twice", m.Name))
		}
		names[m.Name] = true
		last = agreed.on(m, last)
		wishes = append(wishes, newWish(m, last))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return wishes, nil
}

// agreements are the terms of a set, by their keys.
type agreements map[string]*terms

// on returns the terms of a membership, those there are where they are equal.
// Most often they are those of the membership before it.
func (a agreements) on(m *Membership, last *terms) *terms {
	families := m.families()
	if last != nil && slices.Equal(last.families, families) && last.rules.Equal(m.Rules) {
		return last
	}
	t := newTerms(m.Rules.Normalize(), families)
	if known := a[t.ruleKey]; known != nil {
		return known
	}
	a[t.ruleKey] = t
	return t
}

func newTerms(r reattach.Rules, families []ifwatch.Family) *terms {
	type fields reattach.Selector // without its String, which is no key
	selector := fmt.Sprintf("%q", fields(r.Selector))
	return &terms{
		rules: r, families: families, selectorKey: selector, selectorDigest: sumOf(selector).String(),
		ruleKey: selector + "\n" + fmt.Sprint(r.Policy, r.Require, r.Attach, r.Ambiguous, r.OnChange, r.Settle, r.Within, r.Limit, families) + "\n" + r.When.String(),
	}
}

func newWish(m *Membership, t *terms) *wish {
	w := &wish{terms: t, name: strings.Clone(m.Name), // which may be part of something large
		socket: m.Socket, keep: m.Keep, anyRange: m.AnyRange, reannounce: m.Reannounce.Normalize(), namespace: m.Namespace}
	if m.Namespace != "" {
		w.path = ifwatch.NamespacePath(m.Namespace)
	}
	w.channels = slices.Clone(m.Channels)
	slices.SortFunc(w.channels, Channel.Compare)
	w.channels = slices.Compact(w.channels)
	w.first6, _ = slices.BinarySearchFunc(w.channels, ifwatch.IPv6, func(c Channel, f ifwatch.Family) int { return int(c.Family()) - int(f) })
	return w
}

// channelsOf returns those of a family: sorted by group, they stand together.
func (w *wish) channelsOf(f ifwatch.Family) []Channel {
	if f == ifwatch.IPv4 {
		return w.channels[:w.first6]
	}
	return w.channels[w.first6:]
}

// isOf reports whether a wish is what a membership comes to. It may say no where
// it is, as it does of every caller's socket.
func (w *wish) isOf(m *Membership) bool {
	return w.socket == nil && m.Socket == nil && w.name == m.Name && w.namespace == m.Namespace && w.anyRange == m.AnyRange &&
		slices.Equal(w.channels, m.Channels) && w.reannounce.Equal(m.Reannounce) && w.rules.Equal(m.Rules)
}

// aliveOn reports whether a protocol of the channels is alive on an interface.
func (w *wish) aliveOn(i ifwatch.Interface) bool {
	return slices.ContainsFunc(w.families, func(f ifwatch.Family) bool { return i.Protocol(f).Alive })
}

// equal reports whether a wish asks for the same as another.
func (w *wish) equal(o *wish) bool {
	return w == o || w.name == o.name && w.socket == o.socket && w.keep == o.keep && w.ruleKey == o.ruleKey && w.reannounce.Equal(o.reannounce) && slices.Equal(w.channels, o.channels)
}

// without returns the channels that others lacks. Both are sorted.
func without(channels, others []Channel) []Channel {
	var rest []Channel
	for _, c := range channels {
		for len(others) > 0 && others[0].Compare(c) < 0 {
			others = others[1:]
		}
		if len(others) == 0 || others[0] != c {
			rest = append(rest, c)
		}
	}
	return rest
}
