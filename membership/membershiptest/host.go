package membershiptest

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"syscall"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/membership"
	"github.com/ssmd-project/ssmd/membership/internal/hook"
)

// Host is a host that is none. Its methods are safe for concurrent use, and panic
// where a test is wrong: where an interface is named that there is not.
type Host struct {
	mu         sync.Mutex
	interfaces map[int]*life
	nextIndex  int
	watchers   []*watcher
	sockets    uint64 // opened ever
	callers    map[syscall.Conn]*socket
	refused    map[membership.Channel]error
	refuseAll  error
}

// NewHost returns a host without interfaces.
func NewHost() *Host {
	return &Host{
		interfaces: make(map[int]*life),
		nextIndex:  ifwatch.LoopbackIndex + 1,
		callers:    make(map[syscall.Conn]*socket),
		refused:    make(map[membership.Channel]error),
	}
}

// New returns a manager on the host, in the place of membership.New. Watch and
// Handover in its options count for nothing. Several managers may be on one host.
func (h *Host) New(o membership.Options) *membership.Manager {
	o.Handover = nil
	h.mu.Lock()
	defer h.mu.Unlock()
	w := &watcher{host: h, told: make(map[int]ifwatch.Interface), wake: make(chan struct{}, 1)}
	w.notify() // of what there is
	h.watchers = append(h.watchers, w)
	return hook.New(kernel{h}, w, o).(*membership.Manager)
}

// Ethernet describes an Ethernet interface that is up, with a carrier, for Add.
func Ethernet(name string) ifwatch.Interface {
	return ifwatch.Interface{
		Name: name, Kind: "physical", LinkType: "ether", VLANID: -1, MTU: 1500,
		Up: true, Carrier: true, Running: true, Multicast: true,
		IPv4: ifwatch.Protocol{Alive: true}, IPv6: ifwatch.Protocol{Alive: true},
	}
}

// Add adds an interface and returns it with its ID, and its index, where that is
// zero in i: the next that none ever had. What was removed may come back with the
// index that it had, or another.
func (h *Host) Add(i ifwatch.Interface) ifwatch.Interface {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.find(i.Name) != nil {
		panic(fmt.Sprintf("membershiptest: add %s: there is one", i.Name))
	}
	if i.Index == 0 {
		i.Index = h.nextIndex
	}
	if other := h.interfaces[i.Index]; other != nil {
		panic(fmt.Sprintf("membershiptest: add %s at index %d: there is %s", i.Name, i.Index, other.now.Name))
	}
	h.nextIndex = max(h.nextIndex, i.Index+1)
	i.ID = ifwatch.NewID()
	h.interfaces[i.Index] = newLife(i)
	h.notify()
	return i
}

// Change changes an interface. Its ID and index stay; where it is no longer Alive
// for a protocol, all that was joined for that is lost, as it is when the MTU falls
// below the least.
func (h *Host) Change(name string, change func(*ifwatch.Interface)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.must("change", name)
	was := l.now
	l.now.Addresses, l.now.AltNames = slices.Clone(was.Addresses), slices.Clone(was.AltNames)
	change(&l.now)
	l.now.ID, l.now.Index = was.ID, was.Index
	l.note(was)
	h.notify()
}

// Remove removes an interface. What was joined on it is lost, as in the kernel.
func (h *Host) Remove(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.must("remove", name)
	for _, p := range l.protocols {
		p.dead = true
	}
	delete(h.interfaces, l.now.Index)
	h.notify()
}

// Refuse has joins of these channels, or of all where there are none, refused with
// an error, for example unix.EPERM; nil ends that. What is joined stays. What was
// refused is tried again after 100 ms, then twice as long each time.
func (h *Host) Refuse(err error, channels ...membership.Channel) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(channels) == 0 {
		h.refuseAll = err
		clear(h.refused)
	}
	for _, c := range channels {
		h.refused[c] = err
	}
}

// Joined returns the channels that are joined on an interface, sorted, each once,
// however many sockets have them; none where there is no such interface.
func (h *Host) Joined(name string) []membership.Channel {
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.find(name)
	if l == nil {
		return nil
	}
	var all []membership.Channel
	for _, p := range l.protocols {
		all = slices.AppendSeq(all, maps.Keys(p.joined))
	}
	slices.SortFunc(all, membership.Channel.Compare)
	return all
}

// JoinedOn returns the channels that are joined on an application's own socket, on
// interfaces that exist, sorted.
func (h *Host) JoinedOn(conn syscall.Conn) []membership.Channel {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []membership.Channel
	if s := h.callers[conn]; s != nil {
		for _, e := range s.entries {
			if !e.life.dead {
				all = append(all, e.channels...)
			}
		}
	}
	slices.SortFunc(all, membership.Channel.Compare)
	return slices.Compact(all)
}

// find returns the life of an interface, nil where there is none of that name.
func (h *Host) find(name string) *life {
	for _, l := range h.interfaces {
		if l.now.Name == name {
			return l
		}
	}
	return nil
}

func (h *Host) must(what, name string) *life {
	l := h.find(name)
	if l == nil {
		panic(fmt.Sprintf("membershiptest: %s %s: there is no such interface", what, name))
	}
	return l
}

func (h *Host) notify() {
	for _, w := range h.watchers {
		w.notify()
	}
}
