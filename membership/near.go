package membership

import (
	"iter"

	"github.com/ssmd-project/ssmd/reattach"
)

// What an event of an interface costs must not depend on how many memberships
// want others, so each instance knows the rules near it, and an index of the
// selectors finds those that may be.

// addRule has a rule judge the instances from now on.
func (k *keeper) addRule(key string, r *rule) {
	k.rules[key] = r
	r.hint = r.rules.Selector.Hint()
	k.index.Add(r.hint, r)
	if r.rules.Policy.Kind == reattach.PolicyNever {
		k.never[r] = struct{}{}
	}
	for _, i := range k.instances {
		if !r.hint.Excludes(&i.now) {
			k.approach(r, i)
		}
	}
}

func (k *keeper) removeRule(key string, r *rule) {
	delete(k.rules, key)
	k.index.Remove(r.hint, r)
	delete(k.never, r)
	for id := range r.near {
		if i := k.instances[id]; i != nil {
			delete(i.near, r)
		}
	}
}

// concerned are the rules that an instance is near to, or whose members are
// attached to it; some more than once.
func (i *instance) concerned() iter.Seq[*rule] {
	return func(yield func(*rule) bool) {
		for r := range i.near {
			if !yield(r) {
				return
			}
		}
		for a := range i.attachments {
			if !yield(a.member.rule) {
				return
			}
		}
	}
}

// recede has no rule near an instance.
func (i *instance) recede() {
	for r := range i.near {
		delete(r.near, i.now.ID)
	}
	clear(i.near)
}

// judgeAnew finds which rules are near an instance that is new or no longer as it
// was. They are affected, and so is every rule that was.
func (k *keeper) judgeAnew(i *instance) {
	for r := range i.concerned() {
		k.affected[r] = struct{}{}
	}
	i.recede()
	for r := range k.index.Near(&i.now) {
		if k.approach(r, i) {
			k.affected[r] = struct{}{}
		}
	}
}
