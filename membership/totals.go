package membership

import (
	"context"
	"errors"
	"maps"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ssmd-project/ssmd/ifwatch"
)

// Totals are a manager's numbers: over all its memberships, in all network
// namespaces. What counts events never falls: not when a membership is
// removed, and not when a namespace is gone.
type Totals struct {
	Memberships map[State]int // how many are in each state; every state is there
	Channels    int           // that the kernel holds: one on two interfaces counts twice, one that two memberships want once
	Sockets     int           // the manager's own that are open, those that are parked or opened ahead among them

	Attaches    uint64
	Detaches    map[Cause]uint64 // every cause that can be is there; so below
	Reattaches  uint64           // attaches that took a lost instance's place
	Reannounces map[Cause]uint64
	Repairs     uint64            // channels that the kernel had lost, each on each interface
	JoinErrors  map[string]uint64 // joins that the kernel refused, each try, by the name of the errno; OtherErrno where it gave none

	// ReattachTimes are of the reattachments: from the reading of what led to
	// each to the last join that could be made then. Joins that had to be put
	// off for some milliseconds are waited for.
	ReattachTimes Histogram

	Netlink ifwatch.Counters
}

// OtherErrno stands in Totals for the refusals that no errno tells.
const OtherErrno = "other"

// detachCauses are those with which an attachment can end.
var detachCauses = []Cause{CauseRemoval, CauseProtocol, CauseNamespace, CauseMismatch, CauseRequest, CauseShutdown, CauseSocket, CauseDrain}

// reannounceCauses are those for which a membership is announced anew.
var reannounceCauses = []Cause{CauseUp, CauseCarrier, CauseNotifyPeers, CauseAddress, CauseEvery, CauseRequest}

// joinErrnos are those with which a join is refused as a rule; others are added
// when they are met.
var joinErrnos = []syscall.Errno{
	unix.ENOBUFS, unix.ENOMEM, unix.EMFILE, unix.ENFILE, unix.EPERM, unix.EACCES,
	unix.ENODEV, unix.EADDRINUSE, unix.EINVAL, unix.EAFNOSUPPORT,
}

func newTotals() Totals {
	t := Totals{
		Memberships:   make(map[State]int),
		Detaches:      make(map[Cause]uint64),
		Reannounces:   make(map[Cause]uint64),
		JoinErrors:    map[string]uint64{OtherErrno: 0},
		ReattachTimes: newHistogram(),
	}
	for _, s := range States() {
		t.Memberships[s] = 0
	}
	for _, c := range detachCauses {
		t.Detaches[c] = 0
	}
	for _, c := range reannounceCauses {
		t.Reannounces[c] = 0
	}
	for _, e := range joinErrnos {
		t.JoinErrors[unix.ErrnoName(e)] = 0
	}
	return t
}

// clone returns a copy that shares nothing.
func (t Totals) clone() Totals {
	t.Memberships, t.Detaches = maps.Clone(t.Memberships), maps.Clone(t.Detaches)
	t.Reannounces, t.JoinErrors = maps.Clone(t.Reannounces), maps.Clone(t.JoinErrors)
	t.ReattachTimes.Counts = slices.Clone(t.ReattachTimes.Counts)
	return t
}

func (t *Totals) add(o Totals) {
	addAll(t.Memberships, o.Memberships)
	t.Channels += o.Channels
	t.Sockets += o.Sockets
	t.Attaches += o.Attaches
	addAll(t.Detaches, o.Detaches)
	t.Reattaches += o.Reattaches
	addAll(t.Reannounces, o.Reannounces)
	t.Repairs += o.Repairs
	addAll(t.JoinErrors, o.JoinErrors)
	t.ReattachTimes.add(o.ReattachTimes)
	t.Netlink = t.Netlink.Plus(o.Netlink)
}

func addAll[K comparable, N int | uint64](to, from map[K]N) {
	for key, n := range from {
		to[key] += n
	}
}

// errnoName names what a refusal is counted under.
func errnoName(err error) string {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		if name := unix.ErrnoName(errno); name != "" {
			return name
		}
	}
	return OtherErrno
}

// Totals returns the manager's numbers as they are between two steps of its
// work in each namespace. It costs some microseconds, however many memberships
// there are.
func (m *Manager) Totals(ctx context.Context) (Totals, error) {
	m.mu.Lock()
	whole := m.finished.clone()
	engines := slices.Collect(maps.Values(m.engines))
	m.mu.Unlock()
	own, err := m.engine.totals(ctx)
	if err != nil {
		return Totals{}, err
	}
	whole.add(own)
	for _, e := range engines {
		t, err := e.totals(ctx)
		if err == ErrStopped {
			t = e.lastTotals // it is not among the finished of before
		} else if err != nil {
			return Totals{}, err
		}
		whole.add(t)
	}
	return whole, nil
}

func (e *engine) totals(ctx context.Context) (Totals, error) {
	var t Totals
	err := e.do(ctx, func() { t = e.totalsNow() })
	return t, err
}

// totalsNow is for the owner.
func (e *engine) totalsNow() Totals {
	t := e.keeper.totalsNow()
	t.Netlink = e.watched
	if e.session != nil {
		t.Netlink = t.Netlink.Plus(e.session.watcher.Counters())
	}
	return t
}

// totalsNow returns the counts with what is there to be counted.
func (k *keeper) totalsNow() Totals {
	t := k.totals.clone()
	t.Sockets = k.parking.sockets()
	for _, i := range k.inherited {
		t.Sockets += len(i.sockets)
	}
	for _, i := range k.instances {
		t.Sockets += len(i.spares)
		for _, p := range i.pools {
			t.Channels += p.joined
			t.Sockets += p.holder.openSockets()
		}
	}
	return t
}

// enter notes that a member is in another state than before; empty is none.
func (t *Totals) enter(was, is State) {
	if was != "" {
		t.Memberships[was]--
	}
	if is != "" {
		t.Memberships[is]++
	}
}

// countRefusals counts the joins that a flush tried in vain.
func (t *Totals) countRefusals(out outcome) { addAll(t.JoinErrors, out.joinErrors) }

// measure notes, once, how long a reattachment took. What is put off, or stands in
// line, is waited for, but where nothing may be joined by now.
func (k *keeper) measure(a *attachment) {
	if a.measured || a.replaces == nil {
		return
	}
	for _, f := range a.families() {
		p := a.pools.of(f)
		if _, cut := k.cut[p]; a.instance.mayChange(f) && (!cut && len(p.added) > 0 || cut && p.isToTry(a.member.wish.channelsOf(f)) || p.count(a.member.wish.channelsOf(f)).inLine > 0) {
			return
		}
	}
	k.measured(a, k.flushed)
}

// measured notes, once, that the joins of a reattachment were done at a time.
func (k *keeper) measured(a *attachment, done time.Time) {
	if a.measured || a.replaces == nil {
		return
	}
	a.measured = true
	took := done.Sub(a.began)
	seconds := took.Seconds()
	a.member.lastReattach = &seconds
	k.totals.ReattachTimes.observe(took)
}
