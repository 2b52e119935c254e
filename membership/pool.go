package membership

import (
	"time"
)

// pool counts the wishes for the channels of one family on one instance and
// keeps the kernel in step: each channel is joined once, with the first wish,
// and left with the last.
type pool struct {
	poolKey
	holder   holder
	entries  entries
	users    int  // attachments that use the pool
	unproven bool // joined, maybe, before its probe was there

	added    []*entry  // wished for and not tried yet
	unwished []*entry  // joined, and maybe wished for no longer
	refused  []*entry  // refused by the kernel
	more     []Channel // of joinMore, to be filled anew

	announcing []*entry // to be announced anew
	late       int      // of those that were announced last, how many took too long

	again  int    // refused ones that are in line to be tried again
	barred *entry // whose refusal concerns all others too, nil for none

	joins  uint64    // ever, for their order
	joined int       // entries that are
	missed time.Time // since when the kernel lacks something, and it is not believed

	mayBeDeaf bool // the interface was set up anew, or may have been, since all was seen to be heard

	asked  bool      // wished for or not, or to be announced, since the last flush
	turn   int       // portions that were too short for all that is due, one after the other
	toldAt time.Time // when it was told last how far it is, zero where no portion was

	retry   time.Time // when to try the refused ones, or what was put off, again
	backoff time.Duration
	wait    time.Duration // of what is put off
}

// The waits before refused joins are tried again.
const (
	firstBackoff = 100 * time.Millisecond
	lastBackoff  = 30 * time.Second
)

// firstWait is the first of the waits, doubled up to firstBackoff, for the
// watcher to tell of an end, or for the kernel to be done with a beginning.
const firstWait = time.Millisecond

func newPool(key poolKey, h holder) *pool { return &pool{poolKey: key, holder: h} }

// wish adds a wish for each channel. Nothing is joined before flush.
func (p *pool) wish(channels []Channel) {
	p.asked = true
	if p.entries.len() == 0 {
		p.entries = newEntries(p.family, len(channels))
		p.added = make([]*entry, 0, len(channels))
	}
	var fresh []entry // many are made at once
	for n, c := range channels {
		e := p.entries.get(c)
		if e == nil {
			if len(fresh) == 0 {
				fresh = make([]entry, min(len(channels)-n, 1024))
			}
			e, fresh = &fresh[0], fresh[1:]
			e.channel = c
			p.entries.add(e)
			p.begin(e)
		}
		e.wishes++
	}
}

// begin has a channel joined, unless an earlier manager joined it.
func (p *pool) begin(e *entry) {
	if e.set = p.holder.takeInherited(e.channel); e.set == nil {
		p.added = append(p.added, e)
		return
	}
	p.noteJoined(e, e.set)
}

// unwish takes a wish for each channel back. Nothing is left before flush, so
// that a channel which somebody else comes to want is not touched.
func (p *pool) unwish(channels []Channel) {
	p.asked = true
	for _, c := range channels {
		e := p.entries.get(c)
		e.wishes--
		if e.wishes == 0 && !e.doubted {
			e.doubted = true
			p.unwished = append(p.unwished, e)
		}
	}
}

// announce has each channel that is joined announced anew at the next flush.
func (p *pool) announce(channels []Channel) {
	p.asked = true
	if len(p.announcing) == 0 {
		p.late = 0
	}
	for _, c := range channels {
		p.announceEntry(p.entries.get(c))
	}
}

func (p *pool) announceEntry(e *entry) {
	if e.order != 0 && !e.announcing {
		e.announcing = true
		p.announcing = append(p.announcing, e)
	}
}

// outcome is what a flush did.
type outcome struct {
	touched bool     // a channel was joined, left or refused
	refused int      // how many joins and leaves the kernel refused
	err     error    // the first refusal
	untried []*entry // what had its turn, and stood behind a refusal that concerned it too

	joinErrors map[string]uint64 // the joins among them, by errno
}

func (o *outcome) refuse(err error) {
	o.refused++
	if o.err == nil {
		o.err = err
	}
}

func (o *outcome) refuseJoin(err error) {
	o.refuse(err)
	if o.joinErrors == nil {
		o.joinErrors = make(map[string]uint64)
	}
	o.joinErrors[errnoName(err)]++
}

// due reports whether flush has anything to do.
func (p *pool) due(now time.Time, t *portion) bool {
	return p.owes(t) || p.users == 0 || len(p.refused) > 0 && !now.Before(p.retry)
}

// owes reports whether there is anything that was not tried yet.
func (p *pool) owes(t *portion) bool {
	return len(p.added) > 0 || len(p.unwished) > 0 || len(p.announcing) > 0 && !t.silent
}

// postpone puts off whatever is due.
func (p *pool) postpone(now time.Time) {
	p.wait = min(max(2*p.wait, firstWait), firstBackoff)
	p.retry = now.Add(p.wait)
}

// reportDelay is the shortest time after which the kernel reports a leave, two
// jiffies of the shortest kind.
const reportDelay = 2 * time.Millisecond
