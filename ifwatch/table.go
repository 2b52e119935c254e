package ifwatch

import (
	"slices"
	"sync/atomic"
	"time"
)

var lastID atomic.Uint64

func nextID() ID { return ID(lastID.Add(1)) }

// NewID returns an ID that no instance has or will have: for one that an
// earlier process knew.
func NewID() ID { return nextID() }

// record is one instance in the table.
type record struct {
	link      link
	parent    upper
	master    upper
	addresses addresses
	renames   uint32
	returns   Returns
	ipv4      Protocol
	ipv6      Protocol

	now     Interface // what follows from the above
	healthy Interface // as it was before its removal began

	seen uint64 // the dump in which the link was seen last
}

// upper is an interface that another one is on, or enslaved to.
type upper struct {
	index int
	name  string
}

// table holds the interface instances that exist, by index. It takes messages
// in the kernel's order and tells its observer what changed. It is not safe
// for concurrent use.
type table struct {
	records map[int]*record
	// dependents are the indexes whose parent or master is the key: their
	// names follow it.
	dependents map[int]map[int]struct{}
	dump       uint64 // number of the dump under way, or of the last one
	// spoken holds what events spoke of since the dump was requested, true
	// where one said that it was gone; nil when no dump is under way.
	spoken  map[object]bool
	read    time.Time // when the messages that are applied were read
	changed func(now Interface)
	removed func(healthy Interface)
}

// object is what a message speaks of: a link, or one of its addresses.
type object struct {
	index   int
	address addressKey // zero: the link
}

func newTable(changed, removed func(Interface)) *table {
	return &table{
		records:    make(map[int]*record),
		dependents: make(map[int]map[int]struct{}),
		changed:    changed,
		removed:    removed,
	}
}

// apply takes one decoded message: an event, or an answer to a dump.
//
// The kernel may put an event before an answer that it overtook, because a
// dump is read first and queued later. So an answer about what an event spoke
// of since the dump was requested is not believed: whatever happened later has
// an event of its own.
func (t *table) apply(m any, answer bool) {
	switch m := m.(type) {
	case link:
		if t.believe(object{index: m.Index}, false, answer) {
			t.setLink(m)
		}
	case linkGone:
		if t.believe(object{index: m.index}, true, answer) {
			t.remove(m.index)
		}
	case addressEvent:
		if answer && t.spoken[object{index: m.index}] {
			return // of the life that ended
		}
		if t.believe(object{m.index, m.key()}, m.gone, answer) {
			t.setAddress(m)
		}
	}
}

func (t *table) believe(o object, gone, answer bool) bool {
	wasGone, spoken := t.spoken[o]
	if !answer && t.spoken != nil {
		t.spoken[o] = wasGone || gone
	}
	return !answer || !spoken
}

func (t *table) setLink(l link) {
	r := t.records[l.Index]
	if r == nil {
		r = &record{addresses: noAddresses()}
		r.now.ID = nextID()
		t.records[l.Index] = r
	}
	renamed := r.link.Name != l.Name
	if renamed && r.link.Name != "" {
		r.renames++
	}
	r.returns.count(r.link, l)
	t.follow(l.Index, r.link, l)
	r.link, r.seen = l, t.dump
	r.ipv4.update(l.MTU >= IPv4.MinMTU())
	r.ipv6.update(l.MTU >= IPv6.MinMTU())
	t.refresh(r)
	if renamed {
		for index := range t.dependents[l.Index] {
			if d := t.records[index]; d != nil && index != l.Index {
				t.refresh(d)
			}
		}
	}
}

// follow keeps dependents in step with a link's parent and master.
func (t *table) follow(index int, old, new link) {
	for _, on := range []int{old.parent, old.master} {
		if on != new.parent && on != new.master {
			delete(t.dependents[on], index)
			if len(t.dependents[on]) == 0 {
				delete(t.dependents, on)
			}
		}
	}
	for _, on := range []int{new.parent, new.master} {
		if on == 0 {
			continue
		}
		if t.dependents[on] == nil {
			t.dependents[on] = make(map[int]struct{})
		}
		t.dependents[on][index] = struct{}{}
	}
}

// count counts what came back between two messages. The kernel's own count of
// carriers tells of those that no message told of.
func (r *Returns) count(was, is link) {
	if is.notice {
		r.Notices++
	}
	if was.Name == "" { // seen for the first time
		r.Carriers = is.carriers
		return
	}
	if !was.Up && is.Up {
		r.Ups++
	}
	switch {
	case is.carriers > was.carriers:
		r.Carriers += is.carriers - was.carriers
	case !was.Carrier && is.Carrier:
		r.Carriers++
	}
}

// update counts the ends of a protocol's lives.
func (p *Protocol) update(alive bool) {
	if p.Alive && !alive {
		p.Life++
	}
	p.Alive = alive
}

func (t *table) setAddress(e addressEvent) {
	r := t.records[e.index]
	if r == nil {
		return // its link is gone already
	}
	r.addresses.set(e, t.dump, t.read)
	t.refresh(r)
}

// beginDump starts a dump: what is not seen from now on, in it or in an event,
// is gone when the sweeps come.
func (t *table) beginDump() { t.dump++ }

// requested says that a part of the dump was requested now.
func (t *table) requested() { t.spoken = make(map[object]bool) }

// endDump says that no answers are expected any more.
func (t *table) endDump() { t.spoken = nil }

// sweepLinks removes the instances that the dump did not show.
func (t *table) sweepLinks() {
	for index, r := range t.records {
		if r.seen != t.dump {
			t.remove(index)
		}
	}
}

// sweepAddresses removes the addresses that the dump did not show.
func (t *table) sweepAddresses() {
	for index, r := range t.records {
		for _, h := range r.addresses.unseen(t.dump) {
			t.setAddress(addressEvent{index, h.Address, h.peer, true})
		}
	}
}

func (t *table) remove(index int) {
	r := t.records[index]
	if r == nil {
		return
	}
	t.follow(index, r.link, link{})
	delete(t.records, index)
	t.removed(r.healthy)
}

// expire ends an instance that is known, from another source than its
// messages, to be another life by now, and begins a new one in its place.
func (t *table) expire(id ID) {
	for index, r := range t.records {
		if r.now.ID != id {
			continue
		}
		t.remove(index)
		t.setLink(r.link)
		for _, h := range r.addresses.held {
			t.setAddress(addressEvent{index, h.Address, h.peer, false})
		}
		return
	}
}

// refresh derives the instance's present value and reports it where it
// changed.
func (t *table) refresh(r *record) {
	r.parent = t.resolve(r.link.parent, r.parent)
	r.master = t.resolve(r.link.master, r.master)
	now := r.link.Interface
	now.ID, now.Renames = r.now.ID, r.renames
	now.Addresses, now.Returns = r.addresses.present, r.returns
	now.IPv4, now.IPv6 = r.ipv4, r.ipv6
	now.Parent, now.Master = r.parent.name, r.master.name
	if now.Equal(r.now) {
		return
	}
	r.now = now
	r.healthy = remember(r.healthy, now, r.addresses.departed)
	t.changed(now)
}

// resolve keeps the last known name of an interface that is gone: its
// dependents go next, and what they were on is what counts.
func (t *table) resolve(index int, last upper) upper {
	if index == 0 {
		return upper{}
	}
	if r := t.records[index]; r != nil {
		return upper{index, r.link.Name}
	}
	if last.index == index {
		return last
	}
	return upper{index: index}
}

// remember returns what the instance was like while healthy. A removal begins
// by taking the interface down and goes on through its addresses and its
// master, so master and parent are not forgotten while it is down; and what
// removes an interface often flushes its addresses first, so the last addresses
// of each family are kept until there are others.
func remember(was, now Interface, departed []departedAddress) Interface {
	healthy := now
	for _, f := range []Family{IPv4, IPv6} {
		if slices.ContainsFunc(now.Addresses, func(a Address) bool { return a.tells(f) }) {
			continue
		}
		healthy.Addresses = slices.Clone(healthy.Addresses)
		for _, d := range departed {
			if FamilyOf(d.Prefix.Addr()) == f {
				healthy.Addresses = append(healthy.Addresses, d.Address)
			}
		}
	}
	if !now.Up {
		if now.Master == "" {
			healthy.Master = was.Master
		}
		if now.Parent == "" {
			healthy.Parent = was.Parent
		}
		healthy.Up, healthy.Carrier, healthy.Running = was.Up, was.Carrier, was.Running
	}
	return healthy
}
