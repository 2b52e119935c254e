package config

import (
	"slices"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/ssmd-project/ssmd/membership"
)

func reannounceKeys() keys { return keys{known: keyNames(reannounceKeyList())} }

// reannounce reads when the network is told anew, key by key over what is
// inherited.
func (r *reader) reannounce(n *yaml.Node, at *place, inherited membership.Reannounce) membership.Reannounce {
	f, ok := r.mapping(n, at, reannounceKeys(), `a mapping, for example {carrier: true, every: 0s}`)
	if !ok {
		return inherited
	}
	result := inherited.Normalize()
	for _, t := range membership.Triggers() {
		v, given := f[string(t)]
		if !given {
			continue
		}
		on, good := r.truth(v.value, at.at(string(t)))
		if !good {
			continue
		}
		result.On = slices.DeleteFunc(slices.Clone(result.On), func(o membership.Trigger) bool { return o == t })
		if on {
			result.On = append(result.On, t)
		}
	}
	if v, given := f["every"]; given {
		every, good := r.duration(v.value, at.at("every"))
		if good && every > 0 && every < membership.ShortestEvery {
			r.fail(deref(v.value), at.at("every"), "%s, want at least %s, or 0 for never", every, membership.ShortestEvery)
			good = false
		}
		if good {
			result.Every = every
		}
	}
	return result.Normalize()
}

// shortestAudit keeps audits from becoming all that the daemon does.
const shortestAudit = time.Second

func (r *reader) audit(n *yaml.Node, at *place, c *Settings) {
	every, ok := r.duration(n, at)
	switch {
	case !ok:
	case every > 0 && every < shortestAudit:
		r.fail(deref(n), at, "%s, want at least %s, or 0 for only where something hints at a loss", every, shortestAudit)
	default:
		c.Audit = every
	}
}
