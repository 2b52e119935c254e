package membership

import (
	"iter"
	"maps"
	"time"

	"github.com/ssmd-project/ssmd/ifwatch"
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

// These bound for how long the goroutine that reads from the kernel may be held
// up: joins, and verdicts, of one step.
const (
	mostEagerJoins    = 256
	mostEagerVerdicts = 256
)

// hasMuchToDo reports whether observing these changes may lead to many joins or
// verdicts, or go on with what is due besides, at the time that nextWake says.
func (k *keeper) hasMuchToDo(changes []ifwatch.Change, due, now time.Time) bool {
	if !due.IsZero() && !due.After(now) {
		return true
	}
	joins, verdicts := 0, 0
	for _, c := range changes {
		for r := range k.concernedBy(c) {
			for m := range r.members {
				joins += len(m.wish.channels)
				verdicts += len(r.near) + len(changes)
				if joins > mostEagerJoins || verdicts > mostEagerVerdicts {
					return true
				}
			}
		}
	}
	return false
}

// concernedBy are the rules that have to judge anew once a change is observed;
// some more than once.
func (k *keeper) concernedBy(c ifwatch.Change) iter.Seq[*rule] {
	return func(yield func(*rule) bool) {
		some := func(rules iter.Seq[*rule]) bool {
			for r := range rules {
				if !yield(r) {
					return false
				}
			}
			return true
		}
		if c.Removed != nil {
			if i := k.instances[c.Removed.ID]; i != nil && (!some(i.concerned()) || !some(maps.Keys(k.never))) {
				return
			}
		}
		if c.Now != nil {
			if i := k.instances[c.Now.ID]; i != nil && !some(i.concerned()) {
				return
			}
			some(k.index.Near(c.Now))
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
