package membership

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/ssmd-project/ssmd/ifwatch"
	"github.com/ssmd-project/ssmd/reattach"
)

// fakeIndex is the index of a fake interface, which its name ends with.
func fakeIndex(name string) int {
	_, digits, _ := strings.Cut(name, "-")
	n, _ := strconv.Atoi(digits)
	return n
}

// world is a keeper over a fake kernel, with a watcher that lags behind it.
type world struct {
	kernel *fakeKernel
	keeper *keeper
	now    time.Time
	truth  map[int]ifwatch.Interface
	told   map[int]ifwatch.Interface
	lastID ifwatch.ID
	events []Event
	caller *fakeConn
}

func newWorld() *world {
	w := &world{
		kernel: newFakeKernel(),
		now:    time.Unix(1000, 0),
		truth:  make(map[int]ifwatch.Interface),
		told:   make(map[int]ifwatch.Interface),
	}
	w.keeper = newKeeper(w.kernel, func(ifwatch.ID) {}, func(e Event) { w.events = append(w.events, e) })
	w.caller = &fakeConn{&fakeSocket{kernel: w.kernel, entries: make(map[fakeEntryKey][]netip.Addr)}}
	return w
}

func (w *world) create(index int, mac string) {
	w.lastID++
	w.kernel.begin(index)
	w.truth[index] = ifwatch.Interface{
		ID: w.lastID, Index: index, Name: fmt.Sprintf("eth-%d", index), Kind: "veth", MAC: mac, VLANID: -1, MTU: 1500,
		Up: true, Carrier: true, Multicast: true,
		IPv4: ifwatch.Protocol{Alive: true}, IPv6: ifwatch.Protocol{Alive: true},
	}
}

func (w *world) remove(index int) {
	w.kernel.end(index)
	delete(w.truth, index)
}

// deliver tells the keeper what the watcher would, merged.
func (w *world) deliver() {
	var changes ifwatch.Changes
	for index := range 6 {
		was, known := w.told[index]
		is, exists := w.truth[index]
		c := ifwatch.Change{Index: index, Read: w.now}
		if known && (!exists || is.ID != was.ID) {
			c.Removed = &was
		}
		if exists && !is.Equal(was) {
			c.Now = &is
		}
		if c.Removed != nil || c.Now != nil {
			changes.Changes = append(changes.Changes, c)
		}
		delete(w.told, index)
		if exists {
			w.told[index] = is
		}
	}
	w.keeper.observe(changes, w.now)
}

// rest lets everything that is due happen.
func (w *world) rest() {
	w.deliver()
	for range 3 {
		w.now = w.now.Add(time.Minute)
		w.keeper.flush(w.now)
	}
}

// robbed returns a membership of another process that the kernel lost.
func (w *world) robbed() error {
	for index, life := range w.kernel.lives {
		users := make(map[netip.Addr]int)
		for c, n := range life.foreign {
			users[c.Group] += n
			if g := life.groups[c.Group]; g == nil || g.sources[c.Source] < n {
				return fmt.Errorf("index %d: another process's %s was taken", index, c)
			}
		}
		for group, n := range users {
			if life.groups[group].users < n {
				return fmt.Errorf("index %d: %s has %d users, other processes alone are %d", index, group, life.groups[group].users, n)
			}
		}
	}
	return nil
}

// untrue returns a membership whose status the kernel does not bear out.
func (w *world) untrue() error {
	for _, m := range w.keeper.members {
		if m.state != StateJoined {
			continue
		}
		for _, a := range m.attachments {
			life := w.kernel.lives[a.instance.now.Index]
			for _, c := range m.wish.channels {
				if life == nil || !life.hears(c) {
					return fmt.Errorf("%s is joined (%s), and the kernel does not hold %s", m.wish.name, m.reason, c)
				}
			}
		}
	}
	return nil
}

// leaked returns a socket that nobody needs.
func (w *world) leaked() error {
	pooled, parked := 0, 0
	for _, stale := range w.keeper.parking.stale {
		for _, s := range stale {
			if s.memberSocket != w.caller.socket {
				parked++
			}
		}
	}
	for _, i := range w.keeper.instances {
		for key, p := range i.pools {
			if key.socket == nil {
				pooled += len(p.holder.(*ownSockets).sockets)
			}
		}
	}
	if open := len(w.kernel.open_); open != pooled+parked {
		return fmt.Errorf("%d sockets open, %d in pools and %d parked", open, pooled, parked)
	}
	return nil
}

var modelChannels = func() []Channel {
	var channels []Channel
	for _, group := range []string{"232.0.0.1", "232.0.0.2", "232.0.0.3", "232.0.0.4", "ff3e::1"} {
		for _, source := range []string{"10.0.0.1", "10.0.0.2", "10.0.0.3"} {
			if strings.Contains(group, ":") {
				source = strings.ReplaceAll("2001:db8::"+source, "10.0.0.", "")
			}
			channels = append(channels, Channel{netip.MustParseAddr(source), netip.MustParseAddr(group)})
		}
	}
	return channels
}()

func drawMembership(t *rapid.T, w *world) Membership {
	m := Membership{
		Name:     rapid.SampledFrom([]string{"a", "b", "c", "own"}).Draw(t, "name"),
		Channels: rapid.SliceOfNDistinct(rapid.SampledFrom(modelChannels), 1, 8, func(c Channel) Channel { return c }).Draw(t, "channels"),
		Rules: reattach.Rules{
			Selector:  reattach.Selector{Name: reattach.Globs{rapid.SampledFrom([]string{"eth-1", "eth-2", "eth-[123]", "*"}).Draw(t, "glob")}},
			Attach:    rapid.SampledFrom([]reattach.Attach{reattach.AttachOne, reattach.AttachAll}).Draw(t, "attach"),
			Ambiguous: rapid.SampledFrom([]reattach.Ambiguous{reattach.AmbiguousHold, reattach.AmbiguousOldest, reattach.AmbiguousNewest}).Draw(t, "ambiguous"),
			OnChange:  rapid.SampledFrom([]reattach.OnChange{reattach.OnChangeKeep, reattach.OnChangeLeave}).Draw(t, "on change"),
			Policy: rapid.SampledFrom([]reattach.Policy{
				{}, {Kind: reattach.PolicySame, Same: []reattach.Attribute{reattach.MAC}}, {Kind: reattach.PolicyNever},
			}).Draw(t, "policy"),
		},
	}
	if m.Name == "own" {
		m.Socket, m.Rules.Attach = w.caller, reattach.AttachOne
	}
	return m
}

// TestKeeperAgainstModel does anything at all, with a watcher that lags, and
// checks after each step that nobody was robbed, and at each rest that what is
// said to be joined is, and that nothing leaked.
func TestKeeperAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld()
		index := rapid.IntRange(1, 3)
		mac := rapid.SampledFrom([]string{"02:00:00:00:00:01", "02:00:00:00:00:02"})
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) {
				if err := w.robbed(); err != nil {
					t.Fatal(err)
				}
				if err := w.leaked(); err != nil {
					t.Fatal(err)
				}
			},
			"create or remove": func(t *rapid.T) {
				i := index.Draw(t, "index")
				if _, exists := w.truth[i]; exists {
					w.remove(i)
				} else {
					w.create(i, mac.Draw(t, "mac"))
				}
			},
			"recreate": func(t *rapid.T) {
				i := index.Draw(t, "index")
				if _, exists := w.truth[i]; exists {
					w.remove(i)
					w.create(i, mac.Draw(t, "mac"))
				}
			},
			"flap": func(t *rapid.T) {
				i := index.Draw(t, "index")
				if iface, exists := w.truth[i]; exists {
					iface.Up = !iface.Up
					w.truth[i] = iface
				}
			},
			"foreign join": func(t *rapid.T) {
				if life := w.kernel.lives[index.Draw(t, "index")]; life != nil {
					life.foreignJoin(rapid.SampledFrom(modelChannels).Draw(t, "channel"))
				}
			},
			"refuse or not": func(t *rapid.T) {
				w.kernel.refuse = rapid.SampledFrom([]error{nil, unix.ENOMEM}).Draw(t, "error")
			},
			"deliver": func(*rapid.T) { w.deliver() },
			"retry": func(*rapid.T) {
				w.now = w.now.Add(time.Second)
				w.keeper.flush(w.now)
			},
			"put": func(t *rapid.T) {
				wishes, err := checkSet([]Membership{drawMembership(t, w)})
				if err != nil {
					t.Fatal(err)
				}
				w.keeper.put(wishes[0], w.now)
			},
			"delete": func(t *rapid.T) {
				w.keeper.delete(rapid.SampledFrom([]string{"a", "b", "c", "own"}).Draw(t, "name"), w.now)
			},
			"rest": func(t *rapid.T) {
				w.rest()
				if err := w.untrue(); err != nil {
					t.Fatal(err)
				}
			},
		})
		w.keeper.apply(nil, w.now)
		for i := range w.truth {
			w.remove(i)
		}
		w.rest()
		if n := len(w.kernel.open_); n > 0 {
			t.Fatalf("%d sockets still open without a membership and an interface", n)
		}
		if n := len(w.caller.socket.entries); n > 0 {
			t.Fatalf("%d entries left on the caller's socket", n)
		}
	})
}
