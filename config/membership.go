package config

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/internal/monitor"
	"github.com/ssmd-project/ssmd/membership"
	"github.com/ssmd-project/ssmd/reattach"
)

// wish is a membership while it is read, or the defaults of all.
type wish struct {
	membership.Membership
	hasInterface bool // whether the key is there, good or not
	badPolicy    bool // whether reattach was refused already
	patterns     int  // of the selector
	monitor      Monitor
}

// The words that keys take.
var (
	attaches     = []reattach.Attach{reattach.AttachOne, reattach.AttachAll}
	ambiguities  = []reattach.Ambiguous{reattach.AmbiguousHold, reattach.AmbiguousOldest, reattach.AmbiguousNewest}
	requirements = []reattach.Requirement{reattach.RequireUp, reattach.RequireCarrier, reattach.RequireAddress}
	policies     = []reattach.PolicyKind{reattach.PolicyMatch, reattach.PolicySame, reattach.PolicyApprove, reattach.PolicyNever}
	onChanges    = []reattach.OnChange{reattach.OnChangeKeep, reattach.OnChangeLeave}
)

func ownKeys() []string { return keyNames(ownKeyList()) }

func sharedKeys() keys {
	k := keys{known: keyNames(sharedKeyList())}.
		refuse("not a key of memberships, want it under reattach", "policy", "same")
	for _, attribute := range interfaceKeys().known {
		if attribute != "name" {
			k.refuse("not a key of memberships, want it under interface", attribute)
		}
	}
	return k
}

func membershipKeys() keys {
	k := sharedKeys()
	k.known = append(ownKeys(), k.known...)
	return k
}

func defaultKeys() keys {
	return sharedKeys().refuse("no default, want it in each membership", ownKeys()...)
}

func reattachKeys() keys {
	return keys{known: keyNames(below(sharedKeyList(), "reattach"))}
}

// defaults reads the rules that memberships inherit.
func (r *reader) defaults(n *yaml.Node, at *place) wish {
	var w wish
	if f, ok := r.mapping(n, at, r.defaultKeys, `a mapping, as "require:"`); ok {
		r.shared(f, at, &w)
	}
	return w
}

// memberships appends those of a list.
func (r *reader) memberships(n *yaml.Node, at *place, base wish, all []membership.Membership) []membership.Membership {
	n = deref(n)
	if n.Kind != yaml.SequenceNode || n.Tag != "!!seq" {
		r.fail(n, at, "%s, want a list of memberships", describe(n))
		return all
	}
	if !r.visit(n, at) || len(n.Content) == 0 {
		return all
	}
	all = slices.Grow(all, len(n.Content))
	for i, element := range n.Content {
		if r.stopped {
			break
		}
		name, nameNode := nameOf(element)
		at := at.element(i, name)
		if first, known := r.names[name]; known {
			r.fail(nameNode, at.at("name"), "%s is the name of another membership, %s, want names that differ", quote(name), first.from(r.file))
		} else if name != "" {
			r.names[name] = spot{r.file, nameNode.Line}
		}
		m := r.membership(element, at, base)
		// What the checks above let through must not be news to the manager.
		if len(r.errs)+len(r.before) == 0 {
			if err := m.Validate(); err != nil {
				r.fail(deref(element), at, "%s", onOneLine(err))
			}
		}
		all = append(all, m)
	}
	return all
}

// spot is where a name was given.
type spot struct {
	file string
	line int
}

// from says where, to a reader of a file.
func (s spot) from(file string) string {
	if s.file == file {
		return fmt.Sprintf("on line %d", s.line)
	}
	return fmt.Sprintf("in %s:%d", s.file, s.line)
}

func onOneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// nameOf returns a membership's name before anything else of it was checked,
// so that errors can say it; nothing where there is no good one.
func nameOf(n *yaml.Node) (string, *yaml.Node) {
	n = deref(n)
	if n.Kind != yaml.MappingNode {
		return "", nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := deref(n.Content[i]), deref(n.Content[i+1])
		if key.Value == "name" && key.Kind == yaml.ScalarNode {
			if value.Kind == yaml.ScalarNode && value.Tag == "!!str" && membership.ValidateName(value.Value) == nil {
				return value.Value, value
			}
			break
		}
	}
	return "", nil
}

func (r *reader) membership(n *yaml.Node, at *place, base wish) membership.Membership {
	n = deref(n)
	w := base
	f, ok := r.mapping(n, at, r.membershipKeys, `a mapping, as "name:"`)
	if !ok {
		return w.Membership
	}
	r.shared(f, at, &w)
	r.name(n, f, at, &w)
	if !w.hasInterface {
		r.fail(n, at.at("interface"), "missing, want for example eth0, here or under defaults")
	}
	if w.Rules.Policy.Kind == reattach.PolicySame && len(w.Rules.Policy.Same) == 0 && !w.badPolicy {
		r.missingSame(n, f, at)
	}
	r.countPatterns(n, at, w.patterns)
	w.Channels = r.allChannels(n, f, at, w.AnyRange)
	r.checkMonitor(n, f, at, w.monitor)
	r.note(w)
	w.Rules, w.Reannounce = w.Rules.Normalize(), w.Reannounce.Normalize()
	return w.Membership
}

func (r *reader) name(n *yaml.Node, f fields, at *place, w *wish) {
	value, ok := f["name"]
	if !ok && w.Name != "" {
		return
	}
	if !ok {
		r.fail(n, at.at("name"), `missing, want letters, digits, ".", "_" and "-"`)
		return
	}
	text, ok := r.text(value.value, at.at("name"), "a name")
	if !ok {
		return
	}
	if err := membership.ValidateName(text); err != nil {
		r.fail(deref(value.value), at.at("name"), "%s", err)
	}
	w.Name = text
}

// shared reads the keys that may stand under defaults too.
func (r *reader) shared(f fields, at *place, w *wish) {
	if v, ok := f["allow_any_range"]; ok {
		if allow, ok := r.truth(v.value, at.at("allow_any_range")); ok {
			w.AnyRange = membership.AnyRange(allow)
		}
	}
	if v, ok := f["netns"]; ok {
		w.Namespace = r.netns(v.value, at.at("netns"))
	}
	rules := &w.Rules
	if v, ok := f["interface"]; ok {
		rules.Selector, w.patterns = r.selector(v.value, at.at("interface"))
		w.hasInterface = true
	}
	if v, ok := f["attach"]; ok {
		rules.Attach, _ = choice(r, v.value, at.at("attach"), attaches...)
	}
	if v, ok := f["ambiguous"]; ok {
		rules.Ambiguous, _ = choice(r, v.value, at.at("ambiguous"), ambiguities...)
	}
	if v, ok := f["require"]; ok {
		rules.Require, _ = choices(r, v.value, at.at("require"), requirements...)
	}
	if v, ok := f["reattach"]; ok && !isNull(v.value) {
		r.reattach(v.value, at.at("reattach"), w)
	}
	if v, ok := f["reannounce"]; ok && !isNull(v.value) {
		w.Reannounce = r.reannounce(v.value, at.at("reannounce"), w.Reannounce)
	}
	if v, ok := f["monitor"]; ok && !isNull(v.value) {
		w.monitor = r.monitor(v.value, at.at("monitor"), w.monitor)
	}
	if v, ok := f["on_stall"]; ok {
		if actions, good := choices(r, v.value, at.at("on_stall"), monitor.Actions()...); good {
			w.monitor.OnStall = actions
		}
	}
	if v, ok := f["on_change"]; ok {
		rules.OnChange, _ = choice(r, v.value, at.at("on_change"), onChanges...)
	}
}

// reattach reads the policy, key by key over the one inherited.
func (r *reader) reattach(n *yaml.Node, at *place, w *wish) {
	f, ok := r.mapping(n, at, r.reattachKeys, `a mapping, as "policy:"`)
	if !ok {
		w.badPolicy = true
		return
	}
	r.reattachRest(f, at, w)
	policy := &w.Rules.Policy
	if v, ok := f["policy"]; ok {
		policy.Kind = r.policyKind(v.value, at.at("policy"))
		w.badPolicy = policy.Kind == ""
		if policy.Kind != reattach.PolicySame {
			policy.Same = nil
		}
	}
	v, ok := f["same"]
	if !ok {
		return
	}
	same, good := choices(r, v.value, at.at("same"), reattach.Attributes()...)
	switch {
	case !good:
		w.badPolicy = true
	case len(same) == 0:
		r.fail(deref(v.value), at.at("same"), "an empty list, want at least one attribute, for example mac")
		w.badPolicy = true
	case policy.Kind != reattach.PolicySame && !w.badPolicy:
		r.fail(v.key, at.at("same"), "given with policy %s, want policy: same", w.Rules.Normalize().Policy.Kind)
		w.badPolicy = true
	default:
		policy.Same = slices.Clip(same)
	}
}

// policyKind returns nothing where it is refused.
func (r *reader) policyKind(n *yaml.Node, at *place) reattach.PolicyKind {
	kind, _ := choice(r, n, at, policies...)
	return kind
}

func (r *reader) missingSame(n *yaml.Node, f fields, at *place) {
	where := n
	if v, ok := f["reattach"]; ok {
		where = deref(v.value)
	}
	r.fail(where, at.at("reattach").at("same"), "missing with policy same, want at least one attribute, for example mac")
}

// netns reads a network namespace. An empty one is the daemon's own, as over
// another default.
func (r *reader) netns(n *yaml.Node, at *place) string {
	text, ok := r.text(n, at, "a network namespace, by name or path")
	if !ok || text == "" {
		return ""
	}
	if err := ifwatch.ValidateNamespace(text); err != nil {
		r.fail(deref(n), at, "%v", err)
		return ""
	}
	return text
}
