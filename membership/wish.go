package membership

import (
	"errors"
	"fmt"
	"slices"
	"syscall"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/reattach"
)

// wish is a checked membership in its normal form: what two equal wishes have
// in common is equal.
type wish struct {
	name     string
	channels []Channel                    // sorted, each once
	byFamily map[ifwatch.Family][]Channel // the same
	families []ifwatch.Family
	rules    reattach.Rules
	socket   syscall.Conn

	reannounce Reannounce
	namespace  string

	selectorKey string // equal for equal selectors
	ruleKey     string // equal for equal rules and families
	digests     digests
}

// checkSet returns the wishes of a set, or every error in it.
func checkSet(set []Membership) ([]*wish, error) {
	wishes := make([]*wish, 0, len(set))
	names := make(map[string]bool, len(set))
	var errs []error
	for _, m := range set {
		if err := m.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("membership %q: %w", m.Name, err))
			continue
		}
		if names[m.Name] {
			errs = append(errs, fmt.Errorf("membership %q: name used twice", m.Name))
		}
		names[m.Name] = true
		wishes = append(wishes, newWish(m))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return wishes, nil
}

func newWish(m Membership) *wish {
	w := &wish{name: m.Name, rules: m.Rules.Normalize(), socket: m.Socket, families: m.families(), reannounce: m.Reannounce.Normalize(), namespace: m.Namespace}
	w.channels = slices.Clone(m.Channels)
	slices.SortFunc(w.channels, Channel.Compare)
	w.channels = slices.Compact(w.channels)
	// Sorted by group, the channels of each family stand together.
	w.byFamily = make(map[ifwatch.Family][]Channel, len(w.families))
	first6, _ := slices.BinarySearchFunc(w.channels, ifwatch.IPv6, func(c Channel, f ifwatch.Family) int { return int(c.Family()) - int(f) })
	if first6 > 0 {
		w.byFamily[ifwatch.IPv4] = w.channels[:first6]
	}
	if first6 < len(w.channels) {
		w.byFamily[ifwatch.IPv6] = w.channels[first6:]
	}
	r := w.rules
	type fields reattach.Selector // without its String, which is no key
	w.selectorKey = fmt.Sprintf("%q", fields(r.Selector))
	w.ruleKey = w.selectorKey + "\n" + fmt.Sprint(r.Policy, r.Require, r.Attach, r.Ambiguous, r.OnChange, r.Settle, r.Within, r.Limit, w.families) + "\n" + r.When.String()
	return w
}

// aliveOn reports whether a protocol of the channels is alive on an interface.
func (w *wish) aliveOn(i ifwatch.Interface) bool {
	return slices.ContainsFunc(w.families, func(f ifwatch.Family) bool { return i.Protocol(f).Alive })
}

// equal reports whether a wish asks for the same as another.
func (w *wish) equal(o *wish) bool {
	return w.name == o.name && w.socket == o.socket && w.ruleKey == o.ruleKey && w.reannounce.Equal(o.reannounce) && slices.Equal(w.channels, o.channels)
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
