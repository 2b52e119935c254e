package membership

import (
	"iter"
	"maps"
	"time"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/reattach"
)

// keeper is the manager's state: the wishes, the interface instances, and what
// is joined where. One goroutine at a time owns it. It takes the time as an
// argument and reaches the kernel through an interface.
//
// Each step goes: end what ended, judge, join, and only then report. So all of
// an old life is left before the first join on a new one.
type keeper struct {
	kernel  kernel
	place   string // the kernel's, asked for once
	netns   string // the namespace in what is told; empty: the manager's own
	absent  string // why there is no namespace, empty where there is one
	expire  func(ifwatch.ID)
	publish func(Event)

	members       map[string]*member
	remembered    map[string]Remembered // of memberships that are not added yet
	drainedBefore []Life                // by an earlier manager, and not seen yet
	noteMemory    func()                // called where something remembered changes, in the midst of a step
	newID         func() ifwatch.ID
	channels      int // of all members
	rules         map[string]*rule
	index         reattach.Index[*rule]
	never         map[*rule]struct{} // of that policy: any loss may end their members
	instances     map[ifwatch.ID]*instance
	past          []InterfaceLife // lives that have ended, the latest last
	looked        bool            // at the interfaces, since there is a namespace
	parking       *parkingLot
	line          *line // nil for no pace

	inherited   map[place]*inheritance // from an earlier manager, and in no pool yet
	fates       map[int]fate           // of the lives that it handed over, by index
	goingOn     map[place]bool         // where these go on, until all wishes are known
	wishesKnown bool                   // what is inherited and not wished for may go
	surrendered bool                   // everything was handed over

	timed      map[*member]struct{}     // to be judged again at a time
	announcing map[*attachment]struct{} // to be announced anew
	periodic   map[*member]struct{}     // members to be announced every so often
	everyDue   time.Time                // when the next of these is, zero: to be found out

	auditEvery time.Duration // zero: only where something hints at a loss
	nextAudit  time.Time
	lastAudit  time.Time
	auditTook  time.Duration // the last one
	auditing   auditState
	aside      func(now time.Time, read func(), then func(time.Time)) // has read run, perhaps elsewhere, and then the owner go on
	suspicious bool                                                   // something hints at a loss
	doubtful   bool                                                   // a loss is not believed yet
	looks      uint32                                                 // at the kernel's lists

	affected map[*rule]struct{} // to be judged before the end of the step
	reasons  reasons
	touched  []*member           // to be reported on at the end of the step
	told     []toldEvent         // to be published then
	held     []toldEvent         // to be published once the rest was left that they tell of
	heldOf   map[string]struct{} // memberships, likewise

	newPortion func() *portion
	portion    *portion           // of this step, nil before its first join or leave
	cut        map[*pool]struct{} // go on with the next one
	cutAt      time.Time          // when they were put off
	due        []duePool          // of a flush, to be filled anew
	asked      []*pool            // of what was asked for in this step
	awaited    []undone
	cause      Cause     // what the step is about
	began      time.Time // when that was read or asked for
	flushed    time.Time // when its joins and leaves were done

	totals Totals // but for what is there to be counted
}

// instance is an interface instance with what is joined on it.
type instance struct {
	now         ifwatch.Interface
	shared      *ifwatch.Interface // now, for whoever keeps it; nil until somebody does
	read        time.Time          // when its last change was read from the kernel
	pools       map[poolKey]*pool
	attachments map[*attachment]struct{}
	near        map[*rule]struct{}               // whose selectors do not reject it
	probes      map[ifwatch.Family]lifeProbe     // where some rule is near
	spares      map[ifwatch.Family]holdingSocket // opened ahead while it is down
	querier     string                           // the version of IGMP that is spoken there, if older than 3

	began   time.Time // when it was read of first
	before  bool      // it had begun before anybody looked
	wasNear bool      // to some rule, at some time
	known   bool      // some member remembers that it was lost, or approved
	drained bool      // to be left alone until it is gone or undrained
	leaving bool      // a drain left channels in this step
	quiet   time.Time // when the reports of the last drain are out
}

// poolKey tells the pools of one instance apart: one for the manager's own
// sockets, and one for each socket of a caller.
type poolKey struct {
	family ifwatch.Family
	socket cookie // zero: the manager's own
}

// rule is what memberships that are judged alike share.
type rule struct {
	rules    reattach.Rules
	hint     reattach.Hint
	families []ifwatch.Family
	members  map[*member]struct{}
	near     map[ifwatch.ID]bool // instances that the selector does not reject
}

// member is one membership with its history.
type member struct {
	wish        *wish
	rule        *rule
	attachments []*attachment
	lost        []ifwatch.Interface             // not replaced yet, the latest last
	resumed     map[ifwatch.ID][]ifwatch.Family // of these, those on which it was when an earlier manager ended, and for which families
	previous    *ifwatch.Interface              // lost last
	lostAt      time.Time                       // when the last of these was lost
	ended       string                          // why it has ended, empty while it has not
	endedErr    error                           // the same, where it was an error

	settling   map[ifwatch.ID]time.Time // chosen since then, and not attached yet
	reattached []time.Time              // as many as the limit needs, oldest first
	approved   []ifwatch.ID             // may take a lost one's place
	due        time.Time                // to be judged again, zero for not by the time

	idle       State  // of a member without attachments, as judged last
	idleReason string // and why

	state        State
	reason       string
	cause        Cause // of the last attach or detach
	since        time.Time
	counters     Counters
	lastReattach *float64
	isTouched    bool
}

// attachment is one membership on one instance.
type attachment struct {
	member   *member
	instance *instance
	since    time.Time
	began    time.Time // when what led to it was read or asked for
	verdict  reattach.Verdict
	seen     *ifwatch.Interface      // the instance as it was when judged last
	pools    [ifwatch.IPv6 + 1]*pool // by family, nil where its channels are not wished for

	cause     Cause
	resumed   []ifwatch.Family   // for which it was there before an earlier manager ended
	before    *ifwatch.Interface // as which that one knew the instance, nil where it did not
	replaces  *ifwatch.Interface // the lost instance whose place this is, nil for none
	announced bool
	measured  bool // how long it took to take that place

	announce    map[ifwatch.Family]Cause // to be announced anew, and why
	announcedAt time.Time                // last, or when it began
	refused     int                      // as reported last
	handed      [ifwatch.IPv6 + 1]*pool  // which were told what is to be announced
	quarters    int                      // of its channels joined, as told last between two portions
}

// isRemembered reports whether the memory tells of an instance besides those that
// are attached to it.
func (i *instance) isRemembered() bool { return i.known || i.drained }

// snapshot returns the instance as it is now. Nobody changes it, and all that is
// attached there shares it.
func (i *instance) snapshot() *ifwatch.Interface {
	if i.shared == nil {
		now := i.now
		i.shared = &now
	}
	return i.shared
}

// poolsOf are the pools of a family, with their instances.
func (k *keeper) poolsOf(f ifwatch.Family) iter.Seq2[*instance, *pool] {
	return func(yield func(*instance, *pool) bool) {
		for _, i := range k.instances {
			for key, p := range i.pools {
				if key.family == f && !yield(i, p) {
					return
				}
			}
		}
	}
}

// users are the attachments whose channels are wished for in a pool.
func (i *instance) users(p *pool) iter.Seq[*attachment] {
	return func(yield func(*attachment) bool) {
		for a := range i.attachments {
			if a.pools[p.family] == p && !yield(a) {
				return
			}
		}
	}
}

func newKeeper(k kernel, expire func(ifwatch.ID), publish func(Event)) *keeper {
	return &keeper{
		kernel:     k,
		expire:     expire,
		publish:    publish,
		members:    make(map[string]*member),
		noteMemory: func() {},
		newID:      ifwatch.NewID,
		aside:      atOnce,
		newPortion: newPortion,
		cut:        make(map[*pool]struct{}),
		heldOf:     make(map[string]struct{}),
		rules:      make(map[string]*rule),
		never:      make(map[*rule]struct{}),
		instances:  make(map[ifwatch.ID]*instance),
		parking:    newParkingLot(),
		affected:   make(map[*rule]struct{}),
		totals:     newTotals(),

		timed:      make(map[*member]struct{}),
		announcing: make(map[*attachment]struct{}),
		periodic:   make(map[*member]struct{}),
	}
}

// observe takes changes of interfaces.
func (k *keeper) observe(changes ifwatch.Changes, now time.Time) {
	if changes.Resynced {
		k.suspicious = true // a dump cannot show all that happened
		k.tell(Event{Time: now, Type: EventResynced, Cause: CauseKernel, Reason: "events of interfaces were lost; all interfaces compared anew"})
	}
	k.cause, k.began = CauseAppeared, now
	for _, c := range changes.Changes {
		if c.Read.Before(k.began) {
			k.began = c.Read
		}
	}
	for _, c := range changes.Changes {
		if c.Removed != nil {
			k.instanceGone(*c.Removed, now)
		}
		if c.Now != nil {
			k.instanceChanged(*c.Now, c.Read, now)
		}
	}
	k.looked = true
	k.parking.vacateAll() // at each index: of a short life nothing is told
	k.kernel.leftBehind().vacate()
	for r := range k.affected {
		k.settle(r, now)
	}
	clear(k.affected)
	k.flush(now)
}

// instanceGone ends everything on an instance. healthy is what it was like
// before its removal began.
func (k *keeper) instanceGone(healthy ifwatch.Interface, now time.Time) {
	i := k.instances[healthy.ID]
	if i == nil {
		return
	}
	delete(k.instances, healthy.ID)
	k.lifeEnded(i, healthy, now)
	if i.isRemembered() || len(k.remembered) > 0 {
		k.noteMemory()
	}
	k.fateSealed(healthy.Index)
	for key, p := range i.pools {
		k.bury(i, key.family, p)
	}
	i.closeProbes()
	i.closeSpares()
	for r := range i.concerned() {
		k.affected[r] = struct{}{}
	}
	maps.Copy(k.affected, k.never)
	i.recede()
	for a := range i.attachments {
		k.detached(a, healthy, CauseRemoval, healthy.String()+" was removed", now)
	}
}

// instanceChanged takes an instance that is new or no longer as it was.
func (k *keeper) instanceChanged(iface ifwatch.Interface, read, now time.Time) {
	i := k.instances[iface.ID]
	if i == nil {
		i = &instance{
			now:         iface,
			pools:       make(map[poolKey]*pool),
			attachments: make(map[*attachment]struct{}),
			near:        make(map[*rule]struct{}),
			probes:      make(map[ifwatch.Family]lifeProbe),
			spares:      make(map[ifwatch.Family]holdingSocket),
			began:       read,
			before:      !k.looked,
		}
		k.instances[iface.ID] = i
		k.recallDrained(i)
	}
	was := i.now
	i.now, i.shared, i.read = iface, nil, read
	if i.isRemembered() || len(k.remembered) > 0 {
		k.noteMemory()
	}
	for _, f := range bothFamilies {
		if was.Protocol(f).Life != iface.Protocol(f).Life {
			k.protocolDied(i, f, now)
		}
	}
	if was.Renames != iface.Renames {
		k.renewProbes(i)
	}
	k.notice(i, was)
	if was.Multicast != iface.Multicast {
		k.touchAll(i)
	}
	k.judgeAnew(i)
}

// approach notes where the selector of a rule does not reject an instance, and
// gets ready for joins there: what takes time is done before they are due.
func (k *keeper) approach(r *rule, i *instance) bool {
	if r.rules.Selector.Match(i.now).Result() == reattach.Reject {
		return false
	}
	r.near[i.now.ID], i.near[r], i.wasNear = true, struct{}{}, true
	for _, f := range r.families {
		k.probe(i, f)
		if !i.now.Up && i.now.Protocol(f).Alive && i.pools[poolKey{family: f}] == nil {
			k.openSpare(i, f)
		}
	}
	return true
}

// openSpare opens the first socket of a pool ahead. A failure is met again,
// and told of, when the pool needs it.
func (k *keeper) openSpare(i *instance, f ifwatch.Family) {
	if i.spares[f] != nil || k.spares() >= mostSpares {
		return
	}
	if spare, err := k.kernel.open(f); err == nil {
		i.spares[f] = spare
	}
}

// mostSpares bounds the descriptors that wait: others may need them more.
const mostSpares = 8

func (k *keeper) spares() int {
	n := 0
	for _, i := range k.instances {
		n += len(i.spares)
	}
	return n
}

// takeSpare returns the socket that was opened ahead, nil where none was.
func (i *instance) takeSpare(f ifwatch.Family) holdingSocket {
	spare := i.spares[f]
	delete(i.spares, f)
	return spare
}

func (i *instance) closeSpares() {
	for _, spare := range i.spares {
		spare.close()
	}
	clear(i.spares)
}

// protocolDied ends what was joined for a family on an instance. A membership
// with channels of the other family stays attached.
func (k *keeper) protocolDied(i *instance, f ifwatch.Family, now time.Time) {
	for key, p := range i.pools {
		if key.family == f {
			k.bury(i, f, p)
			delete(i.pools, key)
		}
	}
	delete(k.goingOn, place{i.now.Index, f})
	if probe := i.probes[f]; probe != nil {
		probe.close()
		delete(i.probes, f)
	}
	for a := range i.attachments {
		if a.pools[f] == nil {
			continue
		}
		k.affected[a.member.rule] = struct{}{}
		k.touch(a.member)
		k.noteMemory()
		if len(a.families()) == 1 {
			k.detached(a, *a.seen, CauseProtocol, f.String()+" died on "+i.now.String(), now)
		}
		a.pools[f] = nil
	}
}

// vanish ends everything on all instances: their namespace lost its name. What
// would keep it alive is closed, whoever lives there yet.
func (k *keeper) vanish(reason string, now time.Time) {
	k.cause, k.began, k.looked = CauseNamespace, now, false
	for _, i := range k.instances {
		k.lifeEnded(i, i.now, now)
		for key, p := range i.pools {
			k.bury(i, key.family, p)
		}
		i.closeProbes()
		i.closeSpares()
	}
	for at, i := range k.inherited {
		i.closeAll()
		delete(k.inherited, at)
	}
	k.parking.closeAll()
	k.noteMemory()
	for id, i := range k.instances {
		delete(k.instances, id)
		i.recede()
		for a := range i.attachments {
			k.detached(a, *a.seen, CauseNamespace, reason, now)
		}
	}
	k.line.clear()
	k.setAbsent(reason, now)
}

// setAbsent says why there is nothing to join on.
func (k *keeper) setAbsent(reason string, now time.Time) {
	k.absent = reason
	for _, r := range k.rules {
		k.settle(r, now)
	}
	clear(k.affected)
	k.flush(now)
}
