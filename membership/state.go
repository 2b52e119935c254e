package membership

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/reattach"
)

// stateOf says where a member stands, and why: both from one look at what is
// joined, so that they never contradict each other.
func (k *keeper) stateOf(m *member) (State, string) {
	if len(m.attachments) == 0 {
		return m.idle, m.idleReason
	}
	var complete, waiting, degraded []string
	for _, a := range m.attachments {
		t := a.count()
		i := a.instance.now
		switch {
		case t.joined == len(m.wish.channels) && !i.Multicast:
			degraded = append(degraded, i.String()+": its MULTICAST flag is off: the kernel takes every join, and the interface may receive nothing")
		case t.joined == len(m.wish.channels):
			complete = append(complete, k.reasons.accepted(a)+a.remark())
		case t.first != nil:
			degraded = append(degraded, fmt.Sprintf("%s: %d of %d channels not joined: %s: %s",
				i, len(m.wish.channels)-t.joined, len(m.wish.channels), t.first.channel, k.explainRefusal(t.first)))
		case a.unready() == "" && k.isUnderWay(a, t):
			waiting = append(waiting, i.String()+" "+a.verdict.Reason()+"; "+k.howFar(a, t))
		default:
			degraded = append(degraded, i.String()+": "+cmp.Or(a.unready(), "channels not joined: its removal is under way"))
		}
	}
	if len(degraded) > 0 {
		return StateDegraded, joinReasons(degraded)
	}
	if len(waiting) > 0 {
		return StateSettling, joinReasons(waiting)
	}
	return StateJoined, joinReasons(complete)
}

// reasons are words that many members share: made once, and kept once.
type reasons struct {
	verdict *reattach.Check // the first of the verdict that they are for, which nobody changes
	id      ifwatch.ID      // of the instance, likewise
	name    string          // that it had
	words   string

	replaces *ifwatch.Interface // whose place it took, likewise
	longer   string             // the words with that
}

// accepted says why a member is attached where it is.
func (r *reasons) accepted(a *attachment) string {
	i, checks := &a.instance.now, a.verdict.Checks
	if len(checks) == 0 {
		return i.String() + " " + a.verdict.Reason()
	}
	if verdict := &checks[0]; r.verdict != verdict || r.id != i.ID || r.name != i.Name {
		*r = reasons{verdict: verdict, id: i.ID, name: i.Name, words: i.String() + " " + a.verdict.Reason()}
	}
	return r.words
}

// reattached says why a member is attached where it is, in the place of another
// instance.
func (r *reasons) reattached(a *attachment) string {
	words := r.accepted(a)
	if words == r.words && r.replaces == a.replaces {
		return r.longer
	}
	longer := words + "; takes the place of " + a.replaces.String()
	if words == r.words {
		r.replaces, r.longer = a.replaces, longer
	}
	return longer
}

// remark says what is not as it should be though everything is joined.
func (a *attachment) remark() string {
	if !a.isUnsourced() {
		return a.deafness()
	}
	return a.deafness() + "; IGMP" + strings.ToLower(a.instance.querier) + " is spoken: reports name no source, and the network may send every one"
}

// isUnsourced reports whether an older IGMP is spoken, whose reports name no
// source.
func (a *attachment) isUnsourced() bool {
	return a.instance.querier != "" && a.pools.of(ifwatch.IPv4) != nil
}

// unready says why the channels of a family are not even tried, nothing where
// they are.
func (a *attachment) unready() string {
	var parts []string
	for _, f := range a.member.wish.families {
		if f == ifwatch.IPv6 && !a.instance.now.Up {
			parts = append(parts, "IPv6 channels not joined: the interface is down, and a join would make it deaf once it is up")
			continue
		}
		if a.pools.of(f) == nil {
			parts = append(parts, fmt.Sprintf("%s channels not joined: %s", f, a.member.rule.rules.Ready(f, a.instance.now).Reason()))
		}
	}
	return strings.Join(parts, "; ")
}

// explainRefusal names the error and, where a limit is behind it, the limit.
func (k *keeper) explainRefusal(e *entry) string {
	text := e.err.Error()
	var errno syscall.Errno
	if errors.As(e.err, &errno) {
		text += " (" + unix.ErrnoName(errno) + ")"
	}
	if limits := k.kernel.limits(e.err, e.channel.Family()); limits != "" {
		text += ", limits: " + limits
	}
	return text
}
