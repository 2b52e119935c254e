package membership

import (
	"iter"
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
	rules         map[string]*rule
	index         reattach.Index[*rule]
	never         map[*rule]struct{} // of that policy: any loss may end their members
	instances     map[ifwatch.ID]*instance
	used          map[*instance]struct{} // those of inUse, and some that were
	past          []InterfaceLife        // lives that have ended, the latest last
	looked        bool                   // at the interfaces, since there is a namespace
	parking       *parkingLot
	line          *line // nil for no pace

	inherited   map[place]*inheritance // from an earlier manager, and in no pool yet
	resuming    map[*member]struct{}   // that were somewhere when an earlier manager ended, and are not yet again; and some that are
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
	lost        []*ifwatch.Interface            // not replaced yet, the latest last
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
	seen     *ifwatch.Interface // the instance as it was when judged last
	pools    perFamily[*pool]   // by family, nil where its channels are not wished for

	cause     Cause
	resumed   []ifwatch.Family   // for which it was there before an earlier manager ended
	before    *ifwatch.Interface // as which that one knew the instance, nil where it did not
	replaces  *ifwatch.Interface // the lost instance whose place this is, nil for none
	announced bool
	measured  bool // how long it took to take that place

	announce    map[ifwatch.Family]Cause // to be announced anew, and why
	announcedAt time.Time                // last, or when it began
	refused     int                      // as reported last
	handed      perFamily[*pool]         // which were told what is to be announced
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

// use notes that an instance has a pool or a spare now.
func (k *keeper) use(i *instance) { k.used[i] = struct{}{} }

// inUse are the instances that have a pool or a spare: what each step looks at does
// not grow with those of others, of which a host of containers has thousands.
func (k *keeper) inUse() iter.Seq[*instance] {
	return func(yield func(*instance) bool) {
		for i := range k.used {
			if len(i.pools)+len(i.spares) == 0 || k.instances[i.now.ID] != i {
				delete(k.used, i)
				continue
			}
			if !yield(i) {
				return
			}
		}
	}
}

// poolsOf are the pools of a family, with their instances.
func (k *keeper) poolsOf(f ifwatch.Family) iter.Seq2[*instance, *pool] {
	return func(yield func(*instance, *pool) bool) {
		for i := range k.inUse() {
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
			if a.pools.of(p.family) == p && !yield(a) {
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
		used:       make(map[*instance]struct{}),
		resuming:   make(map[*member]struct{}),
		parking:    newParkingLot(),
		affected:   make(map[*rule]struct{}),
		totals:     newTotals(),

		timed:      make(map[*member]struct{}),
		announcing: make(map[*attachment]struct{}),
		periodic:   make(map[*member]struct{}),
	}
}

// mostSpares bounds the descriptors that wait: others may need them more.
const mostSpares = 8
